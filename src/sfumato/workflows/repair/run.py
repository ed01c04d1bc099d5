"""Anatomy on one finished render: its hands are checked, and those that are wrong repaired if the request says so.

Joins critic and engine. Start reading at `mend_result`; `plan_anatomy` says before what it may cost.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image

from sfumato.canvas.workspace.workspace import MemoryWorkspace, Workspace
from sfumato.core.errors import RequestError
from sfumato.core.found import Found
from sfumato.core.geometry import PixelSize
from sfumato.core.request import REPAIR, AnatomySettings, RenderRequest
from sfumato.core.serialize import Json
from sfumato.critic.anatomy.auditor import SecondJudge, has_auditor, load_auditor
from sfumato.critic.anatomy.judge import JudgedHand, judge_hands
from sfumato.critic.anatomy.parser import Parser, has_parser, load_parser
from sfumato.critic.anatomy.skin_counter import SkinCounter
from sfumato.critic.anatomy.verdict import find_licences
from sfumato.models.contract import ModelContract
from sfumato.render.passes.focus_part import find_crop
from sfumato.render.passes.repair import HandCrop, HandWork, RepairOutcome, RepairPass, run_repair
from sfumato.render.passes.repair_box import RepairStep, choose_context, make_candidate_request
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import RenderResult
from sfumato.render.stages import FocusForecast, ForecastPart
from sfumato.workflows.check.check import BY_USER, LEAST_HAND_PX, UnreadHand
from sfumato.workflows.find.finders import make_finders
from sfumato.workflows.focus.owner import ANYBODY, choose_owner, list_owners, word_crop
from sfumato.workflows.focus.run import list_judges, list_rows
from sfumato.workflows.repair.hand_masks import SeenHand
from sfumato.workflows.repair.judge import HandJudge
from sfumato.workflows.repair.plan_round import plan_round

if TYPE_CHECKING:
    from sfumato.canvas.pixels import PixelStore
    from sfumato.core.geometry import PixelBox
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.plan.budget import RenderBudget
    from sfumato.render.progress import Progress

_NO_DIGEST = "0" * 64
# A hand whose longer side takes so much of the picture's is what the picture's own words speak of.
CLOSE_FRAC = 0.45
# A count of digits that the words of a hand get, where they name none.
_COUNT = "five fingers"


@dataclass(frozen=True, eq=False, kw_only=True)
class AnatomyResult:
    """Hold what was seen of the hands of a render before, what became of each that was worked on, and who judged."""

    settings: AnatomySettings
    hands: tuple[JudgedHand | UnreadHand, ...]
    outcomes: tuple[RepairOutcome, ...]
    licences: tuple[str, ...]
    prompted: bool
    parser: Parser

    def list_wrong(self) -> tuple[JudgedHand, ...]:
        """Return the hands that are delivered wrong: called goof, or named wrong by the user, and not repaired."""
        mended = {one.box for one in self.outcomes if one.verdict == "repaired"}
        told = {one.box for one in self.settings.boxes if one.cause}
        return tuple(
            hand
            for hand in self.hands
            if isinstance(hand, JudgedHand)
            and hand.box not in mended
            and (hand.verdict.word == "goof" or hand.box in told)
        )

    def to_json(self) -> dict[str, Json]:
        """Return the form of `--json`."""
        return {
            "mode": self.settings.mode,
            "hands": [hand.to_json() for hand in self.hands],  # pyright: ignore[reportReturnType]
            "repairs": [one.to_json() for one in self.outcomes],
            "licences": list(self.licences),
            "wrong": len(self.list_wrong()),
        }


def check_anatomy(request: RenderRequest, contract: ModelContract) -> None:
    """Check, before anything is loaded, that hands can be found and read.

    Raises:
        RequestError: the parts that find real hands were not fetched, or there is no parser.
    """
    if request.anatomy is None:
        return
    if not has_parser():
        do = "Train it with sfumato train mini --stage parser, or leave `anatomy` out."
        raise RequestError("the parser of hands is not trained yet", do=do)
    rows = [row for row in list_rows(contract) if "hand" in row.kinds]
    parts = sorted({name for row in rows for name in row.list_missing()})
    if parts and not request.anatomy.boxes:
        do = f"Run sfumato parts get {' '.join(parts)} once, or give the `box` of the hand."
        raise RequestError("what finds hands in real pictures was not fetched", got=", ".join(parts), do=do)


def mend_result(
    result: RenderResult, *, request: RenderRequest, model: LatentModel, space: Workspace | None, window_batch: int
) -> Generator[Progress, None, tuple[RenderResult, AnatomyResult]]:
    """Check the hands of a finished render, and repair them where the request says so; yield the progress of every step.

    Depends on pixels and request alone, so a resumed render decides alike. Where nothing was mended the render is
    returned as it is.
    """
    settings = request.anatomy
    assert settings is not None, "somebody asked for anatomy"
    finder = HandChooser(request=request, settings=settings, contract=model.contract)
    pixels = result.pixels
    if settings.mode != REPAIR:
        finder.look(pixels)
        return result, finder.conclude(())
    judge = finder.make_judge(pixels)

    def plan(crop: HandCrop, number: int) -> RepairStep:
        hand = SeenHand(judged=judge.hands[crop.work.box], frame=crop.frame, before=crop.before)
        return plan_round(hand, crop.work.cause, number, settings.strengths)

    work = RepairPass(settings=settings, find=finder.find, plan=plan, choose=judge.choose, audit=judge.audit)
    mended = yield from run_repair(work, pixels, request, model, space or MemoryWorkspace(), window_batch=window_batch)
    done = finder.conclude(mended.outcomes)
    if mended.pixels is pixels:
        return result, done
    shown: Image.Image | PixelStore = mended.pixels
    if isinstance(result.shown, Image.Image):
        shown = Image.fromarray(mended.pixels.read(mended.pixels.size.box))
    return replace(result, shown=shown), done


class HandChooser:
    """Find and judge the hands of one picture, and say which are worked on. A leaf."""

    def __init__(self, *, request: RenderRequest, settings: AnatomySettings, contract: ModelContract) -> None:
        """Take a request and the model's contract."""
        self._request, self._settings, self._contract = request, settings, contract
        self._causes = {one.box: one.cause for one in settings.boxes}
        self._licences = find_licences(request.prompt)
        self._seen: tuple[JudgedHand | UnreadHand, ...] | None = None

    @property
    def parser(self) -> Parser:
        """Return the parser that ships with mini."""
        return _open_parser()

    def look(self, pixels: PixelStore) -> tuple[JudgedHand | UnreadHand, ...]:
        """Return every hand of a picture, judged; looked at once."""
        if self._seen is None:
            self._seen = tuple(self._judge(pixels, one) for one in self._find(pixels))
        return self._seen

    def _find(self, pixels: PixelStore) -> list[Found]:
        if self._settings.boxes:
            boxes = [one.box.clip(pixels.size) for one in self._settings.boxes]
            return [Found(kind="hand", box=box, confidence=1.0, by=BY_USER) for box in boxes]
        rows = [row for row in list_rows(self._contract) if "hand" in row.kinds and not row.list_missing()]
        found = [one for finder in make_finders(rows) for one in finder.find(pixels) if one.kind == "hand"]
        return sorted(found, key=lambda one: one.box)

    def _judge(self, pixels: PixelStore, one: Found) -> JudgedHand | UnreadHand:
        if max(one.box.width, one.box.height) < LEAST_HAND_PX:
            return UnreadHand(one.box, f"a hand of fewer than {LEAST_HAND_PX} px shows no digits")
        prompted = bool(self._request.prompt)
        (hand,) = judge_hands(self.parser, pixels, [one], licences=self._licences, prompted=prompted)
        return hand

    def find(self, pixels: PixelStore) -> tuple[HandWork, ...]:
        """Name every hand for the repair pass: what is wrong with it, or why it is left."""
        return tuple(self._name_work(hand, pixels.size) for hand in self.look(pixels))

    def _name_work(self, hand: JudgedHand | UnreadHand, size: PixelSize) -> HandWork:
        if isinstance(hand, UnreadHand):
            return HandWork(box=hand.box, cause="", reason=hand.reason)
        cause = self._causes.get(hand.box, "")
        verdict = hand.verdict
        if not cause:
            cause = verdict.findings[0].cause if verdict.findings else ""
            if verdict.word != "goof":
                return HandWork(box=hand.box, cause=cause, reason=f"{verdict.word}: {verdict.reason}")
        return HandWork(box=hand.box, cause=cause, prompt=self._word(hand.box, size))

    def _word(self, box: PixelBox, size: PixelSize) -> str:
        """Return the prompt of a hand's crop: of the picture itself where it shows little else."""
        text = self._request.prompt
        if "hand" in text.lower() and max(box.width, box.height) >= CLOSE_FRAC * min(size.width, size.height):
            return text if "finger" in text.lower() else f"{text}, {_COUNT}"
        owners = list_owners(text)
        owner = choose_owner(owners, {}) or ANYBODY
        drawn = self._contract.family == "mini"
        return (
            f"an open hand, {_COUNT}, {owners.tail}".rstrip(", ")
            if drawn
            else (f"{word_crop('hand', owner, owners, drawn=False)}, {_COUNT}")
        )

    def make_judge(self, pixels: PixelStore) -> HandJudge:
        """Return who judges the candidates for this picture."""
        hands = {hand.box: hand for hand in self.look(pixels) if isinstance(hand, JudgedHand)}
        finders = list_judges(self._contract)
        told = frozenset(box for box, cause in self._causes.items() if cause)
        return HandJudge(
            parser=self.parser,
            auditor=open_auditor(drawn=self._contract.family == "mini"),
            finders=finders,
            hands=hands,
            told=told,
        )

    def conclude(self, outcomes: tuple[RepairOutcome, ...]) -> AnatomyResult:
        """Return what was seen and done."""
        assert self._seen is not None, "somebody looked"
        return AnatomyResult(
            settings=self._settings,
            hands=self._seen,
            outcomes=outcomes,
            licences=self._licences,
            prompted=bool(self._request.prompt),
            parser=self.parser,
        )


@lru_cache(maxsize=1)
def _open_parser() -> Parser:
    return load_parser()


@lru_cache(maxsize=2)
def open_auditor(*, drawn: bool) -> SecondJudge | None:
    """Return the trained auditor that ships with mini; without one, a counter for drawn pictures, and none for others.

    On hands in photograph style the counter is no better than chance, so there nobody confirms a repair.
    """
    if has_auditor():
        return load_auditor()
    return SkinCounter() if drawn else None


def plan_anatomy(
    request: RenderRequest, contract: ModelContract, budget: RenderBudget, pixels: PixelStore | None = None
) -> FocusForecast:
    """Say what anatomy may cost: of one hand whose rounds all fail, and of each hand where the picture can be looked at.

    Raises:
        BudgetError: a crop does not fit the budget.
    """
    settings = request.anatomy
    assert settings is not None, "somebody asked for anatomy"
    works = settings.mode == REPAIR
    seconds, evaluations = _price(request, settings, contract, budget, contract.native) if works else (0.0, 0)
    parts = list[ForecastPart]()
    if pixels is not None:
        chooser = HandChooser(request=request, settings=settings, contract=contract)
        context = choose_context(contract.native.width)
        for hand in chooser.find(pixels):
            if hand.reason or not works:
                parts.append(ForecastPart(kind="hand", box=hand.box, reason=hand.reason or "only checked"))
                continue
            frame, canvas = find_crop(hand.box, context, request.size, contract)
            cost = _price(request, settings, contract, budget, canvas)
            reason = f"{hand.cause}: {frame.width}x{frame.height} px are drawn at {canvas}"
            parts.append(
                ForecastPart(
                    kind="hand", box=hand.box, is_taken=True, reason=reason, seconds=cost[0], evaluations=cost[1]
                )
            )
    return FocusForecast(
        tries=settings.rounds * settings.candidates if works else 0,
        part_seconds=seconds,
        part_evaluations=evaluations,
        is_complete=pixels is not None,
        parts=tuple(parts),
    )


def _price(
    request: RenderRequest,
    settings: AnatomySettings,
    contract: ModelContract,
    budget: RenderBudget,
    canvas: PixelSize,
) -> tuple[float, int]:
    """Return the seconds and evaluations of a hand whose rounds all fail: the most that it can take."""
    seconds, evaluations = 0.0, 0
    rounds = [*settings.strengths, *([settings.strengths[-1]] if settings.new_seed else [])]
    for strength in rounds:
        single = make_candidate_request(request, request.prompt, canvas, strength=strength, sha256=_NO_DIGEST)
        plan = plan_render(single, contract, budget)
        seconds += (plan.seconds - budget.cost.start_s) * settings.candidates
        evaluations += plan.evaluations * settings.candidates
    return seconds, evaluations
