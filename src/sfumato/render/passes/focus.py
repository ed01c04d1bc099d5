"""The focus pass: parts of a finished picture are drawn anew at native size, each put back only if a judge agrees.

Parts are worked on level by level: people, then what lies in them, then what lies in that. Each part has a verdict of
its own, and a few tries, each weaker than the one before. Finder and judge are handed in, so nothing here knows what a
face is. Start reading at `FocusPass`, then `run_focus`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from sfumato.canvas.grid import find_grid_boxes
from sfumato.canvas.overlay import OverlayPixels, measure_own
from sfumato.canvas.pixels import PixelStore
from sfumato.core.errors import BudgetError, ModelError, SfumatoError, StorageError
from sfumato.core.focus import MOST_BOXES, MOST_DEPTH, MOST_TRIES, FocusSettings
from sfumato.core.geometry import PixelBox
from sfumato.render.passes.deep_level import DeepPart
from sfumato.render.passes.focus_box import draw_part
from sfumato.render.passes.focus_outcome import AttachWords, FocusOutcome, JudgePart
from sfumato.render.passes.focus_part import FocusTarget, find_crop, tighten

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.request import RenderRequest
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.progress import Progress

# The noise of focus must not repeat that of any level, look, trial or redraw: see `render.passes.run`.
FOCUS_STAGES = 3 << 14
# A part inside one that was drawn anew is drawn with so much of its strength, and a further try with so much of the last.
DEEPER_FRAC, WEAKER_FRAC = 0.75, 0.75
# A crop drawn so many times larger takes the whole strength; one that gains nothing, so much of it.
FULL_GAIN, LEAST_GAIN_FRAC = 2.0, 0.75
# A part whose fine detail changed by less than this share of itself (amplitudes) would not gain by going deeper; fine is
# what a Gaussian of so many px of the drawn crop takes away.
SETTLED_FRAC, FINE_PX = 0.25, 2.0
_SETTLED = "the detail of what it lies in no longer changes"
# What shows nothing of what it should is drawn anew so many times more strongly.
BLANK_TIMES = 1.5
# How the reason of a part begins that could not be drawn.
_FAILED = "could not be drawn: "


@dataclass(frozen=True, kw_only=True)
class LeftPart:
    """Name a part that is not worked on, and why not."""

    kind: str
    box: PixelBox
    reason: str


FindParts: TypeAlias = Callable[[PixelStore, int, Sequence[PixelBox]], Sequence[FocusTarget | LeftPart]]


@dataclass(frozen=True, eq=False, kw_only=True)
class FocusPass:
    """Hold what focus does.

    `find` gets the picture, the number of the level from 0, and the boxes that were put back so far; it names what to
    draw and what to leave. `judge` gets the picture before a part is put back, and the part; it returns why the part is
    dropped, or an empty text to keep it. Both have to decide by pixels alone, so a resumed render decides alike. `attach`
    gets the words of a part and is open while that part is drawn.
    """

    settings: FocusSettings
    find: FindParts
    judge: JudgePart
    levels: int = MOST_DEPTH
    attach: AttachWords = nullcontext


@dataclass(frozen=True, eq=False, kw_only=True)
class FocusResult:
    """Hold the picture after focus, and what became of every part."""

    pixels: PixelStore
    outcomes: tuple[FocusOutcome, ...]


def list_strengths(settings: FocusSettings, depth: int, gain: float, *, is_blank: bool = False) -> tuple[float, ...]:
    """Return the strength of each try of a part at a depth, the strongest first.

    `gain` is how many times larger a crop is drawn than it is: what is nearly large enough is drawn anew less, but for
    what is blank: there is nothing to keep.
    """
    share = min(1.0, max(LEAST_GAIN_FRAC, gain / FULL_GAIN))
    first = settings.strength * share * DEEPER_FRAC**depth
    if is_blank:
        first = min(1.0, settings.strength * BLANK_TIMES)
    return tuple(first * WEAKER_FRAC**number for number in range(settings.tries))


def run_focus(
    work: FocusPass,
    pixels: PixelStore,
    request: RenderRequest,
    model: LatentModel,
    space: Workspace,
    *,
    window_batch: int = 1,
) -> Generator[Progress, None, FocusResult]:
    """Draw the parts of a picture anew; yield the progress of every step. The picture itself is never written to.

    A stopped pass goes on after the last part that was decided, with the same result. A part that the disk, the memory
    or the model has no room for is dropped and ends the pass: what was put back before stays.
    """
    outcomes, kept, settled = list[FocusOutcome](), list[PixelBox](), list[PixelBox]()
    for level in range(work.levels):
        parts = tuple(work.find(pixels, level, tuple(kept)))[:MOST_BOXES]
        parts = tuple(_leave_settled(part, settled) for part in parts)
        targets = [part for part in parts if isinstance(part, FocusTarget)]
        outcomes += [
            FocusOutcome(kind=part.kind, box=part.box, verdict="left", reasons=(part.reason,))
            for part in parts
            if isinstance(part, LeftPart)
        ]
        if not targets:
            continue
        after = _open_level(level, targets, pixels, model, space)
        for index, target in enumerate(targets):
            one = _PartWork(
                work=work, level=level, index=index, count=len(targets), target=target, window_batch=window_batch
            )
            with work.attach(target.prompt):
                outcome = yield from _work_on(one, after, request, model, space)
            outcomes.append(outcome)
            if outcome.verdict == "kept":
                kept.append(target.core)
                if outcome.changed < SETTLED_FRAC:
                    settled.append(target.core)
            if outcome.reasons[-1:] and outcome.reasons[-1].startswith(_FAILED):
                return FocusResult(pixels=after, outcomes=tuple(outcomes))
        pixels = after
    return FocusResult(pixels=pixels, outcomes=tuple(outcomes))


def _leave_settled(part: FocusTarget | LeftPart, settled: Sequence[PixelBox]) -> FocusTarget | LeftPart:
    """Leave a part that lies in one whose detail stopped changing."""
    x, y = (part.box.left + part.box.right) // 2, (part.box.top + part.box.bottom) // 2
    if isinstance(part, FocusTarget) and any(
        one.left <= x < one.right and one.top <= y < one.bottom for one in settled
    ):
        return LeftPart(kind=part.kind, box=part.box, reason=_SETTLED)
    return part


def measure_fine_change(parent: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> float:
    """Return how much of the fine detail of a drawn crop, uint8 [h, w, 3], is new: 0 as it was, 1 all of it."""
    fine = [_take_fine(one) for one in (parent, drawn)]
    return float(np.linalg.norm(fine[1] - fine[0]) / max(1e-6, float(np.linalg.norm(fine[1]))))


def _take_fine(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    # Here: a plan comes this way and needs none of it.
    from scipy import ndimage

    grey = values.astype(np.float32).mean(axis=2)
    return grey - ndimage.gaussian_filter(grey, FINE_PX, mode="nearest")


def _open_level(
    level: int,
    targets: Sequence[FocusTarget],
    pixels: PixelStore,
    model: LatentModel,
    space: Workspace,
) -> PixelStore:
    """Return the picture with squares of its own where parts of this level may change."""
    frames = [find_crop(one.box, one.context, pixels.size, model.contract)[0] for one in targets]
    squares = find_grid_boxes(pixels.size, frames)
    name = f"focus{level}-pixels"
    # What a stopped pass left is laid again, from the parts that were decided.
    space.drop(name)
    after = OverlayPixels(pixels, squares, space.open_pixels(name, measure_own(squares)))
    for square in squares:
        after.write(square, pixels.read(square))
    return after


@dataclass(frozen=True, eq=False, kw_only=True)
class _PartWork:
    """Hold one part and its place in the pass."""

    work: FocusPass
    level: int
    index: int
    count: int
    target: FocusTarget
    window_batch: int

    @property
    def name(self) -> str:
        """Return the name under which its decision is kept."""
        return f"focus{self.level}-{self.index}"

    def tell(self, progress: Progress, number: int) -> Progress:
        """Return the progress of a try as one of the whole level."""
        stage = f"focus, {self.target.kind} {self.index + 1} of {self.count}" + (
            f", try {number + 1}" if number else ""
        )
        done = (self.index + progress.step / max(1, progress.steps)) / self.count
        return replace(progress, stage=stage, done_frac=done, eta_s=None)

    def find_stage(self, number: int) -> int:
        """Return the stage of noise of a try; no two tries share noise."""
        return FOCUS_STAGES + (self.level * MOST_BOXES + self.index) * MOST_TRIES + number


def _work_on(
    part: _PartWork, after: PixelStore, request: RenderRequest, model: LatentModel, space: Workspace
) -> Generator[Progress, None, FocusOutcome]:
    """Try a part until one try is kept, write that, and note what was decided."""
    known = space.load_part(part.name)
    frame, canvas = find_crop(part.target.box, part.target.context, after.size, model.contract)
    before = after.read(frame)
    if known is not None:
        return _repeat(part, after, frame, before, known)
    gain = canvas.width / frame.width
    settings, began, reasons = part.work.settings, time.monotonic(), list[str]()
    outcome = FocusOutcome(kind=part.target.kind, box=part.target.box, verdict="dropped", frame=frame)
    for number, strength in enumerate(list_strengths(settings, part.target.depth, gain, is_blank=part.target.is_blank)):
        try:
            steps = draw_part(
                part.target,
                before,
                frame,
                canvas,
                replace(request, batch=1),
                model,
                strength=strength,
                lock=settings.lock,
                noise_stage=part.find_stage(number),
                window_batch=part.window_batch,
            )
            while True:
                try:
                    progress = next(steps)
                except StopIteration as end:
                    drawn = end.value
                    break
                yield part.tell(progress, number)
        except _list_harmless() as error:
            why = str(error) if isinstance(error, SfumatoError) else "the memory is full"
            outcome = replace(outcome, tries=number + 1, reasons=(*reasons, f"{_FAILED}{why}"))
            return replace(outcome, seconds=time.monotonic() - began)
        reason = part.work.judge(after, drawn)
        if reason and part.target.core != part.target.box:
            # The drawing may be right and only what lies around it wrong: that needs no weaker try.
            tight = tighten(drawn)
            if not part.work.judge(after, tight):
                drawn, reason = tight, ""
        outcome = replace(outcome, tries=number + 1, strength=strength)
        if not reason:
            after.write(frame, drawn.after)
            after.flush()
            changed = measure_fine_change(drawn.parent, drawn.drawn)
            outcome = replace(outcome, verdict="kept", before=before, after=drawn.after, changed=changed)
            if settings.detail > 1:
                outcome = replace(outcome, deep=_make_deep(drawn.target, frame, drawn.drawn))
            break
        reasons.append(reason)
    outcome = replace(outcome, reasons=tuple(reasons), seconds=time.monotonic() - began)
    _note(part, outcome, space)
    return outcome


def _note(part: _PartWork, outcome: FocusOutcome, space: Workspace) -> None:
    """Keep what was decided, so that a stopped pass does not draw it again."""
    arrays: dict[str, NDArray[np.generic]] = {
        "tries": np.array(outcome.tries),
        "numbers": np.array([outcome.strength, outcome.seconds, outcome.changed]),
        "reasons": np.frombuffer("\n".join(outcome.reasons).encode(), np.uint8),
    }
    if outcome.after is not None:
        arrays["pixels"] = outcome.after
    if outcome.deep is not None:
        arrays["drawn"] = outcome.deep.drawn
    space.save_part(part.name, arrays)


def _repeat(
    part: _PartWork,
    after: PixelStore,
    frame: PixelBox,
    before: NDArray[np.uint8],
    known: dict[str, NDArray[np.generic]],
) -> FocusOutcome:
    """Do again what was decided before a stop."""
    drawn = known.get("pixels")
    new = None if drawn is None else np.asarray(drawn, np.uint8)
    if new is not None:
        after.write(frame, new)
        after.flush()
    strength, seconds, changed = (float(number) for number in np.asarray(known["numbers"], np.float64))
    text = np.asarray(known["reasons"], np.uint8).tobytes().decode()
    deep = np.asarray(known["drawn"], np.uint8) if "drawn" in known else None
    return FocusOutcome(
        kind=part.target.kind,
        box=part.target.box,
        verdict="dropped" if new is None else "kept",
        tries=int(np.asarray(known["tries"], np.int64)),
        strength=strength,
        reasons=tuple(text.split("\n")) if text else (),
        seconds=seconds,
        frame=frame,
        before=None if new is None else before,
        after=new,
        deep=None if deep is None else _make_deep(part.target, frame, deep),
        changed=changed,
    )


def _make_deep(target: FocusTarget, frame: PixelBox, drawn: NDArray[np.uint8]) -> DeepPart:
    return DeepPart(frame=frame, core=target.core, drawn=drawn, oval=target.oval)


def _list_harmless() -> tuple[type[Exception], ...]:
    """Return what focus fails of without harm to the picture that is there."""
    import torch

    return (StorageError, BudgetError, ModelError, MemoryError, torch.OutOfMemoryError)
