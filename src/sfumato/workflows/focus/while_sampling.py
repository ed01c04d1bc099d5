"""Focus while a picture is sampled: who names the parts of a level, who judges them, and what a window costs.

Joins the windows of the engine with the finders and the judge of focus. Start reading at `make_while_sampling`;
`plan_windows` says before what it may cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.core.resampling import FloatBox
from sfumato.nn.schedules import first_step
from sfumato.render.focus_windows.place import place_window
from sfumato.render.passes.deep_level import open_deep_level
from sfumato.render.passes.focus_outcome import FocusWhileSampling
from sfumato.render.passes.focus_part import FocusTarget
from sfumato.render.plan.cost import price_stage
from sfumato.render.plan.list_stages import StageList
from sfumato.render.stages import FocusForecast, ForecastPart
from sfumato.workflows.focus.run import make_pass
from sfumato.workflows.focus.targets import PartChooser
from sfumato.workflows.personalize.resolve import attach_for_part

if TYPE_CHECKING:
    from sfumato.canvas.pixels import PixelStore
    from sfumato.models.contract import ModelContract
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.passes.focus import FocusPass
    from sfumato.render.plan.budget import RenderBudget
    from sfumato.render.stages import Stage

# A level is at most so many times as large as what lies below it.
LOOKED_TIMES = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowPlacer:
    """Name the parts of a level by what the picture below it shows. A leaf."""

    request: RenderRequest
    work: FocusPass
    boxes: PartChooser

    def place(self, below: PixelStore, taken: FloatBox, canvas: PixelSize) -> tuple[FocusTarget, ...]:
        """Return parts in px of the level: boxes of the user first, then what lies deepest.

        A face comes before the person that it belongs to: it has fewer cells.
        """
        scale = canvas.width / self.request.size.width, canvas.height / self.request.size.height
        targets = [_scale(one, scale, (0.0, 0.0), canvas) for one in self.boxes.find_user_boxes(self.request.size)]
        # Finders see as much as they would in the level: what lies below is shown to them twice as large.
        large = open_deep_level(below, (), LOOKED_TIMES)
        left, top, right, bottom = (LOOKED_TIMES * side for side in taken)
        scale, origin = (canvas.width / (right - left), canvas.height / (bottom - top)), (left, top)
        for level in reversed(range(self.work.levels)):
            parts = self.work.find(large, level, ())
            targets += [_scale(part, scale, origin, canvas) for part in parts if isinstance(part, FocusTarget)]
        return tuple(one for one in targets if one is not None)


def make_while_sampling(request: RenderRequest, model: LatentModel) -> FocusWhileSampling | None:
    """Return what the levels of a request need to draw parts while they are sampled, None where nobody asked."""
    settings = request.focus
    if settings is None or not settings.is_while:
        return None
    work = make_pass(request, replace(settings, boxes=()) if settings.words else settings, model.contract, model)
    boxes = PartChooser(request=request, settings=settings, contract=model.contract, finders=())
    words = work if settings.words else replace(work, levels=0)
    placer = WindowPlacer(request=request, work=words, boxes=boxes)
    return FocusWhileSampling(
        settings=settings, place=placer.place, judge=work.judge, attach=partial(attach_for_part, model, request)
    )


def check_while_sampling(request: RenderRequest) -> None:
    """Check that a render has levels in which parts can be drawn.

    Raises:
        RequestError: it has none.
    """
    if request.focus is not None and request.focus.is_while and not isinstance(request.method, CohesiveMethod):
        do = "Render larger than native size with `method` cohesive, or say `focus_when` after."
        raise RequestError(
            "only the levels of the cohesive method draw parts while sampling", got=request.method.kind, do=do
        )


def plan_windows(
    request: RenderRequest, contract: ModelContract, budget: RenderBudget, stages: Sequence[Stage]
) -> FocusForecast | None:
    """Say what a window costs in all levels together, and what each box of the user costs; None where nobody asked.

    A part that a level shows large enough gets no window there, so this is the most.
    """
    settings = request.focus
    if settings is None or not settings.is_while:
        return None
    costs = [_price_window(request, contract, budget, stage) for stage in stages[1:]]
    parts = list[ForecastPart]()
    chooser = PartChooser(request=request, settings=settings, contract=contract, finders=())
    for target in chooser.find_user_boxes(request.size):
        drawn = [
            cost for stage, cost in zip(stages[1:], costs, strict=True) if _has_window(target, request, stage, contract)
        ]
        reason = f"a window in {len(drawn)} of {len(costs)} levels" if drawn else "it is large enough in every level"
        parts.append(
            ForecastPart(
                kind=target.kind,
                box=target.box,
                is_taken=bool(drawn),
                reason=reason,
                seconds=sum(seconds for seconds, _ in drawn),
                evaluations=sum(evaluations for _, evaluations in drawn),
            )
        )
    return FocusForecast(
        tries=1,
        part_seconds=sum(seconds for seconds, _ in costs),
        part_evaluations=sum(evaluations for _, evaluations in costs),
        is_complete=not settings.words,
        parts=tuple(parts),
    )


def _has_window(target: FocusTarget, request: RenderRequest, stage: Stage, contract: ModelContract) -> bool:
    scale = stage.canvas.width / request.size.width, stage.canvas.height / request.size.height
    shown = _scale(target, scale, (0.0, 0.0), stage.canvas)
    return shown is not None and place_window(shown, stage.canvas, contract) is not None


def _price_window(
    request: RenderRequest, contract: ModelContract, budget: RenderBudget, stage: Stage
) -> tuple[float, int]:
    """Return the seconds and evaluations of a window of a level: its steps, and the autoencoder in each that it shares."""
    assert request.focus is not None, "somebody asked for focus"
    stages = StageList(request=request, contract=contract, window_batch=1)
    begin = min(stage.first_step, first_step(request.steps, request.focus.strength))
    use = stages.make("window", contract.native, stages.cover(contract.native), first_step=begin)
    shared = stages.make("window", contract.native, stages.cover(contract.native), first_step=stage.first_step)
    asked = shared.stage.evaluations // stages.halves
    use = replace(use, encodes=asked + 1, decodes=asked + 1)
    return price_stage(use, contract, budget, stages.halves).stage.seconds, use.stage.evaluations


def _scale(
    target: FocusTarget, scale: tuple[float, float], origin: tuple[float, float], canvas: PixelSize
) -> FocusTarget | None:
    """Return a part in px of a level, None where it lies outside."""

    def place(box: PixelBox) -> PixelBox | None:
        left, right = (round((side - origin[0]) * scale[0]) for side in (box.left, box.right))
        top, bottom = (round((side - origin[1]) * scale[1]) for side in (box.top, box.bottom))
        return canvas.box.find_overlap(PixelBox(left, top, max(left + 1, right), max(top + 1, bottom)))

    box, core = place(target.box), place(target.core)
    return None if box is None or core is None else replace(target, box=box, core=core)
