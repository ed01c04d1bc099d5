"""Run a plan: a generator of progress that returns the picture. It decides nothing.

Between two reports the caller may stop: closing the generator or raising from the loop leaves
nothing half done; files are touched only in the workspace that is given. Start reading at `run_plan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core.request import CohesiveMethod, GobigMethod
from sfumato.models.upscaler.upscaler import LANCZOS, load_upscaler
from sfumato.render.cohesive.run import run_cohesive
from sfumato.render.methods.gobig import run_refine
from sfumato.render.methods.multidiffusion import run_fuse
from sfumato.render.methods.native import Inputs, run_sample
from sfumato.render.progress import Progress, RenderResult, Stopwatch
from sfumato.render.sampling.preview import Preview
from sfumato.render.sampling.prompt_schedule import Words
from sfumato.render.sampling.run_steps import Work

if TYPE_CHECKING:
    from collections.abc import Generator

    from PIL.Image import Image

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.request import RenderRequest
    from sfumato.models.latent_model import LatentModel
    from sfumato.models.upscaler.upscaler import Upscaler
    from sfumato.render.stages import Plan, Stage

__all__ = ["Inputs", "run_plan"]


def run_plan(
    plan: Plan,
    request: RenderRequest,
    model: LatentModel,
    inputs: Inputs | None = None,
    space: Workspace | None = None,
) -> Generator[Progress, None, RenderResult]:
    """Run the stages of a plan for the first picture of a request; yield after every step, or row of windows.

    Guarantees the same bytes for the same plan, request, weights and build of torch. The cohesive method
    keeps its canvases in `space`, and goes on where it was left there; without one, in memory.

    Raises:
        ModelError: a step or the upscaler gave numbers that are no picture.
        RequestError: the mask does not fit its picture.
        StorageError: the disk of the workspace refuses.
    """
    work = Work(model=model, request=request, words=Words(model, request), preview=Preview(model))
    watch, inputs = Stopwatch(plan), inputs or Inputs()
    upscaler = load_upscaler(_upscaler_name(request), model.device)
    if isinstance(request.method, CohesiveMethod):
        pixels, base = yield from run_cohesive(work, plan, (inputs, upscaler, space or MemoryWorkspace()), watch)
        return RenderResult(shown=pixels, base=base, trace=watch.trace)
    pictures: list[Image] = []
    for stage in plan.stages:
        before = pictures[-1] if pictures else None
        pictures.append((yield from _run_stage(work, stage, (inputs, before, upscaler), watch)))
        watch.close(stage)
    base = pictures[0] if len(pictures) > 1 else None
    return RenderResult(shown=pictures[-1], base=base, trace=watch.trace)


def _run_stage(
    work: Work, stage: Stage, given: tuple[Inputs, Image | None, Upscaler], watch: Stopwatch
) -> Generator[Progress, None, Image]:
    inputs, before, upscaler = given
    if stage.kind == "sample":
        return (yield from run_sample(work, stage, inputs, watch))
    if stage.kind == "fuse":
        return (yield from run_fuse(work, stage, inputs, watch))
    assert before is not None, "a plan refines only what an earlier stage made"
    return (yield from run_refine(work, stage, before, watch, upscaler))


def _upscaler_name(request: RenderRequest) -> str:
    return request.method.upscaler if isinstance(request.method, GobigMethod | CohesiveMethod) else LANCZOS
