"""The repair pass: hands that are wrong are drawn anew in rounds, and one is put back only if two judges agree.

A round draws several candidates. `choose` picks the best of them, or none; `audit` is then asked of that one alone and
never sees the others, so nothing was picked to please it. A hand that no round mends keeps its bytes. All four are handed
in: nothing here knows what a finger is. Start reading at `RepairPass`, then `run_repair`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch

from sfumato.canvas.grid import find_grid_boxes
from sfumato.canvas.overlay import OverlayPixels, measure_own
from sfumato.canvas.pixels import PixelStore
from sfumato.core.errors import BudgetError, ModelError, SfumatoError, StorageError
from sfumato.core.seeds import sub_seed
from sfumato.core.serialize import Json, canonical_text, parse_json
from sfumato.render.passes.focus_part import find_crop
from sfumato.render.passes.repair_box import RepairStep, choose_context, draw_candidate

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.geometry import PixelBox, PixelSize
    from sfumato.core.request import AnatomySettings, RenderRequest
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.progress import Progress

# The noise of a repair must not repeat that of any level, look, trial, redraw or focus: see `render.passes.run`.
REPAIR_STAGES, HAND_STAGES, ROUND_STAGES = 7 << 13, 32, 8
MOST_HANDS = 256
# A share of new pixels below it is no mask that anything is drawn through.
LEAST_SHARE = 0.25
# What a repair fails of without harm to the picture that is there.
_HARMLESS = (StorageError, BudgetError, ModelError, MemoryError, torch.OutOfMemoryError)
Verdict = Literal["repaired", "rolled-back", "left"]


@dataclass(frozen=True, eq=False, kw_only=True)
class HandWork:
    """Name a hand: its box in px, what is wrong with it, and the prompt of its crop; `reason` says why it is left, if it is."""

    box: PixelBox
    cause: str
    prompt: str = ""
    reason: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Choice:
    """Say which candidate of a round is best, None for none, and why each of the others is not."""

    index: int | None
    reasons: tuple[str, ...]
    facts: dict[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, eq=False, kw_only=True)
class HandCrop:
    """Hold a hand and the part of the picture that is drawn for it: `frame` in px, its pixels, uint8 [h, w, 3]."""

    work: HandWork
    frame: PixelBox
    before: NDArray[np.uint8]


FindHands: TypeAlias = Callable[[PixelStore], Sequence[HandWork]]
PlanRound: TypeAlias = Callable[[HandCrop, int], RepairStep]
ChooseCandidate: TypeAlias = Callable[[PixelStore, HandCrop, RepairStep, Sequence["NDArray[np.uint8]"]], Choice]
AuditCandidate: TypeAlias = Callable[[PixelStore, HandCrop, "NDArray[np.uint8]"], Choice]


@dataclass(frozen=True, eq=False, kw_only=True)
class RepairPass:
    """Hold what a repair does.

    `find` names every hand of a picture. `plan` says what a round, from 0, draws. `choose` and `audit` get the picture
    as it is and the crops; `audit` answers index 0 or None. All of them decide by pixels alone.
    """

    settings: AnatomySettings
    find: FindHands
    plan: PlanRound
    choose: ChooseCandidate
    audit: AuditCandidate


@dataclass(frozen=True, eq=False, kw_only=True)
class RepairRound:
    """State one round: what was done, how strongly, how many candidates, and what the judges said."""

    words: str
    strength: float
    candidates: int
    reasons: tuple[str, ...]
    facts: dict[str, Json]

    def to_json(self) -> dict[str, Json]:
        """Return the round as JSON values."""
        return {
            "words": self.words,
            "strength": self.strength,
            "candidates": self.candidates,
            "reasons": list(self.reasons),
            "facts": self.facts,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class RepairOutcome:
    """Say what became of one hand.

    `before` and `after` show the crop `frame`, uint8 [h, w, 3]; None where no crop was put back.
    """

    box: PixelBox
    cause: str
    verdict: Verdict
    rounds: tuple[RepairRound, ...] = ()
    reason: str = ""
    seconds: float = 0.0
    frame: PixelBox | None = None
    before: NDArray[np.uint8] | None = None
    after: NDArray[np.uint8] | None = None

    @property
    def candidates(self) -> int:
        """Count the candidates that were drawn."""
        return sum(one.candidates for one in self.rounds)

    def to_json(self) -> dict[str, Json]:
        """Return the form of `--json`: box as [x, y, width, height]."""
        return {
            "box": [self.box.left, self.box.top, self.box.width, self.box.height],
            "cause": self.cause,
            "verdict": self.verdict,
            "reason": self.reason,
            "candidates": self.candidates,
            "rounds": [one.to_json() for one in self.rounds],
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class RepairResult:
    """Hold the picture after the repair, the very one before where nothing was mended, and what became of every hand."""

    pixels: PixelStore
    outcomes: tuple[RepairOutcome, ...]


def run_repair(
    work: RepairPass,
    pixels: PixelStore,
    request: RenderRequest,
    model: LatentModel,
    space: Workspace,
    *,
    window_batch: int = 1,
) -> Generator[Progress, None, RepairResult]:
    """Repair the hands of a picture; yield the progress of every step. The picture itself is never written to.

    A stopped repair goes on after the last hand that was decided, with the same result. A hand that the disk, the memory
    or the model has no room for is rolled back and ends the pass: what was mended before stays.
    """
    hands = tuple(work.find(pixels))[:MOST_HANDS]
    targets = [one for one in hands if not one.reason]
    outcomes = [
        RepairOutcome(box=one.box, cause=one.cause, verdict="left", reason=one.reason) for one in hands if one.reason
    ]
    if not targets:
        return RepairResult(pixels=pixels, outcomes=tuple(outcomes))
    context = choose_context(model.contract.native.width)
    frames = [find_crop(one.box, context, pixels.size, model.contract)[0] for one in targets]
    squares = find_grid_boxes(pixels.size, frames)
    # What a stopped pass left is laid again, from the hands that were decided.
    space.drop("repair-pixels")
    after = OverlayPixels(pixels, squares, space.open_pixels("repair-pixels", measure_own(squares)))
    for square in squares:
        after.write(square, pixels.read(square))
    for index, target in enumerate(targets):
        frame, canvas = find_crop(target.box, context, pixels.size, model.contract)
        crop = HandCrop(work=target, frame=frame, before=after.read(frame))
        known = space.load_part(f"repair-{index}")
        if known is not None:
            outcome = _repeat(crop, known)
        else:
            one = _Mending(
                work=work, crop=crop, canvas=canvas, index=index, count=len(targets), window_batch=window_batch
            )
            outcome = yield from _mend(one, after, replace(request, batch=1), model)
            _note(index, outcome, space)
        outcomes.append(outcome)
        if outcome.after is not None:
            after.write(frame, outcome.after)
            after.flush()
        if outcome.reason:
            break
    changed = any(one.verdict == "repaired" for one in outcomes)
    return RepairResult(pixels=after if changed else pixels, outcomes=tuple(outcomes))


@dataclass(frozen=True, eq=False, kw_only=True)
class _Mending:
    """Hold one hand and its place in the pass."""

    work: RepairPass
    crop: HandCrop
    canvas: PixelSize
    index: int
    count: int
    window_batch: int

    def tell(self, progress: Progress, number: int, candidate: int) -> Progress:
        """Return the progress of a candidate as one of the whole pass."""
        settings = self.work.settings
        stage = f"repair, hand {self.index + 1} of {self.count}, round {number + 1}, candidate {candidate + 1}"
        drawn = number * settings.candidates + candidate + progress.step / max(1, progress.steps)
        share = drawn / (settings.rounds * settings.candidates)
        return replace(progress, stage=stage, done_frac=(self.index + share) / self.count, eta_s=None)


def _mend(
    one: _Mending, after: PixelStore, request: RenderRequest, model: LatentModel
) -> Generator[Progress, None, RepairOutcome]:
    """Draw rounds of candidates until both judges agree to one."""
    crop, settings, began = one.crop, one.work.settings, time.monotonic()
    rounds = list[RepairRound]()
    outcome = RepairOutcome(box=crop.work.box, cause=crop.work.cause, verdict="rolled-back", frame=crop.frame)
    for number in range(settings.rounds):
        is_new = number >= len(settings.strengths)
        step = one.work.plan(crop, number)
        if not (step.change >= LEAST_SHARE).any():
            said = ("nothing is left that may change",)
            rounds.append(RepairRound(words=step.words, strength=step.strength, candidates=0, reasons=said, facts={}))
            continue
        # Another seed, as if the picture had been asked for again.
        drawn_as = replace(request, seed=sub_seed(request.seed, "repair", "new seed")) if is_new else request
        try:
            candidates = yield from _draw_round(one, step, number, drawn_as, model)
        except _HARMLESS as error:
            why = str(error) if isinstance(error, SfumatoError) else "the memory is full"
            outcome = replace(outcome, reason=f"could not be drawn: {why}", rounds=tuple(rounds))
            break
        choice = one.work.choose(after, crop, step, candidates)
        told = [f"candidate {place + 1}: {text}" for place, text in enumerate(choice.reasons) if text]
        facts = dict(choice.facts)
        if choice.index is not None:
            facts["chosen"] = choice.index + 1
            second = one.work.audit(after, crop, candidates[choice.index])
            facts |= second.facts
            told += [f"the auditor: {text}" for text in second.reasons if text]
            if second.index is not None:
                outcome = replace(outcome, verdict="repaired", before=crop.before, after=candidates[choice.index])
        words = f"{step.words}, from another seed" if is_new else step.words
        rounds.append(
            RepairRound(
                words=words, strength=step.strength, candidates=len(candidates), reasons=tuple(told), facts=facts
            )
        )
        if outcome.verdict == "repaired":
            break
    return replace(outcome, rounds=tuple(rounds), seconds=time.monotonic() - began)


def _draw_round(
    one: _Mending, step: RepairStep, number: int, request: RenderRequest, model: LatentModel
) -> Generator[Progress, None, list[NDArray[np.uint8]]]:
    candidates = list["NDArray[np.uint8]"]()
    for candidate in range(one.work.settings.candidates):
        steps = draw_candidate(
            step,
            one.crop.before,
            one.canvas,
            request,
            model,
            prompt=one.crop.work.prompt,
            noise_stage=REPAIR_STAGES + one.index * HAND_STAGES + number * ROUND_STAGES + candidate,
            window_batch=one.window_batch,
        )
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                candidates.append(end.value)
                break
            yield one.tell(progress, number, candidate)
    return candidates


def _note(index: int, outcome: RepairOutcome, space: Workspace) -> None:
    """Keep what was decided, so that a stopped pass does not draw it again; what could not be drawn is tried again."""
    if outcome.reason:
        return
    words = canonical_text({"rounds": [one.to_json() for one in outcome.rounds], "seconds": outcome.seconds})
    arrays: dict[str, NDArray[np.generic]] = {"words": np.frombuffer(words.encode(), np.uint8)}
    if outcome.after is not None:
        arrays["pixels"] = outcome.after
    space.save_part(f"repair-{index}", arrays)


def _repeat(crop: HandCrop, known: dict[str, NDArray[np.generic]]) -> RepairOutcome:
    """Say again what was decided before a stop."""
    words = parse_json(np.asarray(known["words"], np.uint8).tobytes().decode(), what="a decision of a repair")
    assert isinstance(words, dict), "written by us"
    rounds = tuple(
        RepairRound(
            words=one["words"],
            strength=one["strength"],
            candidates=one["candidates"],
            reasons=tuple(one["reasons"]),
            facts=one["facts"],
        )
        for one in words["rounds"]  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable]
    )
    drawn = known.get("pixels")
    new = None if drawn is None else np.asarray(drawn, np.uint8)
    return RepairOutcome(
        box=crop.work.box,
        cause=crop.work.cause,
        verdict="rolled-back" if new is None else "repaired",
        rounds=rounds,
        seconds=float(words["seconds"]),  # pyright: ignore[reportArgumentType]
        frame=crop.frame,
        before=None if new is None else crop.before,
        after=new,
    )
