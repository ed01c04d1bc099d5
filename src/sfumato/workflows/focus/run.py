"""Focus on one finished render: finders and judge that suit the model, the pass, and the plan of both.

Joins engine and critic. Start reading at `focus_result`; `plan_focus` says before what it may cost.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

from sfumato.canvas.workspace.workspace import MemoryWorkspace, Workspace
from sfumato.core.errors import RequestError
from sfumato.core.focus import AUTO, FocusSettings
from sfumato.core.geometry import PixelSize
from sfumato.core.request import RenderRequest
from sfumato.critic.finders.finder import Finder
from sfumato.models.contract import ModelContract
from sfumato.render.passes.focus import FocusPass, list_strengths, run_focus
from sfumato.render.passes.focus_box import make_part_request
from sfumato.render.passes.focus_outcome import FocusOutcome
from sfumato.render.passes.focus_part import FocusTarget, find_crop
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import RenderResult
from sfumato.render.stages import FocusForecast, ForecastPart
from sfumato.workflows.find.finders import FINDERS, FinderRow, make_finders
from sfumato.workflows.focus.judge import PartJudge
from sfumato.workflows.focus.kinds import KINDS, choose_kinds
from sfumato.workflows.focus.read_face import FaceReader
from sfumato.workflows.focus.read_hand import HandReader
from sfumato.workflows.focus.targets import PartChooser
from sfumato.workflows.focus.words import WordFinder, list_things
from sfumato.workflows.personalize.resolve import attach_for_part

if TYPE_CHECKING:
    from sfumato.canvas.pixels import PixelStore
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.plan.budget import RenderBudget
    from sfumato.render.progress import Progress

# The digest of a crop that is only planned.
_NO_DIGEST = "0" * 64


def list_rows(contract: ModelContract) -> tuple[FinderRow, ...]:
    """Return the rows of the finders that know the pictures of a model: of mini's world, or of real pictures.

    What mini's world needs ships with mini, so its pictures do not depend on parts that somebody fetched.
    """
    world = "drawn" if contract.family == "mini" else "real"
    return tuple(row for row in FINDERS if row.world == world)


def list_finders(contract: ModelContract, words: tuple[str, ...] = (AUTO,)) -> tuple[Finder, ...]:
    """Return the finders of a model's pictures that know a kind which words take."""
    wanted = choose_kinds(words)
    return make_finders(row for row in list_rows(contract) if row.kinds & wanted)


def list_judges(contract: ModelContract) -> tuple[Finder, ...]:
    """Return the finders that see whether something is new or lost where only boxes of the user are drawn anew."""
    return make_finders(row for row in list_rows(contract) if not row.list_missing())


def check_focus(request: RenderRequest, contract: ModelContract) -> None:
    """Check, before anything is loaded, that somebody can find what focus names.

    Raises:
        RequestError: no finder here finds these kinds in pictures of this model, and the prompt names no such thing.
    """
    if request.focus is None or not request.focus.words:
        return
    things = list_things(request.prompt)
    wanted = frozenset(
        word for word in choose_kinds(request.focus.words) if not any(thing.is_called(word) for thing in things)
    )
    if not wanted:
        return
    rows = [row for row in list_rows(contract) if row.kinds & wanted]
    parts = sorted({name for row in rows for name in row.list_missing()})
    if parts:
        do = f"Run sfumato parts get {' '.join(parts)} once, or give a `focus_box`."
        raise RequestError("what finds parts of real pictures was not fetched", got=", ".join(parts), do=do)
    known = frozenset(kind for row in rows for kind in row.kinds)
    if wanted & known and (request.focus.words == (AUTO,) or wanted <= known):
        return
    missing = ", ".join(sorted(wanted if not known else wanted - known))
    others = ", ".join(sorted(known.union(thing.word for thing in things)))
    do = "Give `focus_box` X,Y,W,H:PROMPT for each part" + (f", or name {others}." if others else ".")
    raise RequestError(f"nothing here finds {missing} in pictures of {contract.name}", do=do)


def focus_result(
    result: RenderResult, *, request: RenderRequest, model: LatentModel, space: Workspace | None, window_batch: int
) -> Generator[Progress, None, tuple[RenderResult, tuple[FocusOutcome, ...]]]:
    """Draw the parts of a finished render anew; yield the progress of every step; return the render and what became of each.

    Depends on pixels and request alone, so a resumed render decides alike. Without parts the render is returned as it is.
    """
    assert request.focus is not None, "somebody asked for focus"
    work = replace(
        make_pass(request, request.focus, model.contract, model), attach=partial(attach_for_part, model, request)
    )
    focused = yield from run_focus(
        work, result.pixels, request, model, space or MemoryWorkspace(), window_batch=window_batch
    )
    if not any(one.verdict == "kept" for one in focused.outcomes):
        return result, focused.outcomes
    shown: Image.Image | PixelStore = focused.pixels
    if isinstance(result.shown, Image.Image):
        shown = Image.fromarray(focused.pixels.read(focused.pixels.size.box))
    return replace(result, shown=shown), focused.outcomes


def make_pass(
    request: RenderRequest, settings: FocusSettings, contract: ModelContract, model: LatentModel | None = None
) -> FocusPass:
    """Return the pass of a request: who finds, who judges.

    The model itself finds things that only the prompt names; without it, before anything is loaded, nobody does.
    """
    things = list_named_things(request.prompt, settings)
    finders = list_finders(contract, settings.words) if settings.words else ()
    judges = finders or list_judges(contract)
    if model is not None and things:
        finders = (*finders, WordFinder(model, request, things))
        settings = replace(settings, words=(*settings.words, *sorted(things.difference(settings.words))))
    reader = FaceReader() if contract.family == "mini" else None
    chooser = PartChooser(request=request, settings=settings, contract=contract, finders=finders, reader=reader)
    return FocusPass(
        settings=settings, find=chooser.find, judge=PartJudge(finders=judges, reader=reader, hands=HandReader()).judge
    )


def list_named_things(prompt: str, settings: FocusSettings) -> frozenset[str]:
    """Return the things that focus names and the prompt too, in the words of the prompt.

    `auto` names none: nobody measured yet how often a thing that was drawn anew is worse.
    """
    named = frozenset(settings.words) - {AUTO} - KINDS.keys()
    return frozenset(
        thing.word for thing in (list_things(prompt) if named else ()) if any(thing.is_called(word) for word in named)
    )


def plan_focus(
    request: RenderRequest, contract: ModelContract, budget: RenderBudget, pixels: PixelStore | None = None
) -> FocusForecast:
    """Say what focus may cost: of one part at most, and of each part where the picture is there to be looked at.

    Boxes of a picture that is not drawn yet are unknown, but for those that the user named.

    Raises:
        BudgetError: a part does not fit the budget.
    """
    settings = request.focus
    assert settings is not None, "somebody asked for focus"
    native = _price(request, settings, contract, budget, contract.native, gain=1e9)
    parts = list[ForecastPart]()
    if pixels is not None:
        chooser = make_pass(request, settings, contract).find
        found = [part for level in range(settings.depth) for part in chooser(pixels, level, ())]
    else:
        chooser = PartChooser(request=request, settings=settings, contract=contract, finders=())
        found = list(chooser.find_user_boxes(request.size))
    for part in found:
        if not isinstance(part, FocusTarget):
            parts.append(ForecastPart(kind=part.kind, box=part.box, reason=part.reason))
            continue
        frame, canvas = find_crop(part.box, part.context, request.size, contract)
        cost = _price(request, settings, contract, budget, canvas, gain=canvas.width / frame.width)
        reason = f"{part.box.width}x{part.box.height} px are drawn at {canvas}"
        parts.append(
            ForecastPart(
                kind=part.kind, box=part.box, is_taken=True, reason=reason, seconds=cost[0], evaluations=cost[1]
            )
        )
    return FocusForecast(
        tries=settings.tries,
        part_seconds=native[0],
        part_evaluations=native[1],
        is_complete=(pixels is not None or not settings.words) and not list_named_things(request.prompt, settings),
        parts=tuple(parts),
    )


def _price(
    request: RenderRequest,
    settings: FocusSettings,
    contract: ModelContract,
    budget: RenderBudget,
    canvas: PixelSize,
    *,
    gain: float,
) -> tuple[float, int]:
    """Return the seconds and evaluations of a part whose tries all fail: the most that it can take."""
    seconds, evaluations = 0.0, 0
    for strength in list_strengths(settings, 0, gain):
        single = make_part_request(
            request, request.prompt, canvas, strength=strength, lock=settings.lock, sha256=_NO_DIGEST
        )
        plan = plan_render(single, contract, budget)
        seconds, evaluations = seconds + plan.seconds - budget.cost.start_s, evaluations + plan.evaluations
    return seconds, evaluations
