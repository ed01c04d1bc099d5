"""Run a plan: a generator of progress that returns the picture. It decides nothing.

Between two reports the caller may stop: closing the generator or raising from the loop leaves
nothing behind, since no file is touched here. Start reading at `run_plan`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sfumato.core.request import CohesiveMethod, GobigMethod
from sfumato.models.upscaler import LANCZOS, load_upscaler
from sfumato.render.cohesive import run_base, run_grow
from sfumato.render.gobig import run_refine
from sfumato.render.multidiffusion import run_fuse
from sfumato.render.native import Inputs, run_sample
from sfumato.render.preview import Preview
from sfumato.render.sampling import Work
from sfumato.render.trace import Progress, RenderResult, Stopwatch
from sfumato.render.words import Words

if TYPE_CHECKING:
    from collections.abc import Generator

    from PIL.Image import Image

    from sfumato.core.request import RenderRequest
    from sfumato.models.contract import LatentModel
    from sfumato.models.upscaler import Upscaler
    from sfumato.render.stages import Plan, Stage

__all__ = ["Inputs", "run_plan"]


def run_plan(
    plan: Plan, request: RenderRequest, model: LatentModel, inputs: Inputs | None = None
) -> Generator[Progress, None, RenderResult]:
    """Run the stages of a plan for the first picture of a request; yield after every step.

    Guarantees the same bytes for the same plan, request, weights and build of torch.

    Raises:
        ModelError: a step or the upscaler gave numbers that are no picture.
        RequestError: the mask does not fit its picture.
    """
    work = Work(model=model, request=request, words=Words(model, request), preview=Preview(model))
    watch = Stopwatch(plan)
    upscaler = load_upscaler(_upscaler_name(request), model.device)
    pictures: list[Image] = []
    for stage in plan.stages:
        before = pictures[-1] if pictures else None
        if before is None and isinstance(request.method, CohesiveMethod):
            picture, phrases = yield from run_base(work, plan.stages, inputs or Inputs(), watch)
            work = replace(work, phrases=phrases)
        else:
            picture = yield from _run_stage(work, stage, (inputs or Inputs(), before, upscaler), watch)
        pictures.append(picture)
        watch.close(stage)
    base = pictures[0] if len(pictures) > 1 else None
    return RenderResult(picture=pictures[-1], base=base, trace=watch.trace)


def _run_stage(
    work: Work, stage: Stage, given: tuple[Inputs, Image | None, Upscaler], watch: Stopwatch
) -> Generator[Progress, None, Image]:
    inputs, before, upscaler = given
    if stage.kind == "sample":
        return (yield from run_sample(work, stage, inputs, watch))
    if stage.kind == "fuse":
        return (yield from run_fuse(work, stage, inputs, watch))
    assert before is not None, "a plan refines only what an earlier stage made"
    if stage.kind == "grow":
        return (yield from run_grow(work, stage, before, watch, upscaler))
    return (yield from run_refine(work, stage, before, watch, upscaler))


def _upscaler_name(request: RenderRequest) -> str:
    return request.method.upscaler if isinstance(request.method, GobigMethod | CohesiveMethod) else LANCZOS
