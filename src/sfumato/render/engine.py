"""Run a plan: a generator of progress that returns the picture. It decides nothing.

Between two reports the caller may stop: closing the generator or raising from the loop leaves
nothing half done; files are touched only in the workspace that is given. Start reading at `run_plan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.models.upscaler.upscaler import load_upscaler
from sfumato.render.methods.registry import find_method
from sfumato.render.progress import Inputs, Progress, RenderResult, Stopwatch
from sfumato.render.sampling.control_pictures import ControlPictures
from sfumato.render.sampling.pixels import flatten
from sfumato.render.sampling.preview import Preview
from sfumato.render.sampling.prompt_schedule import PromptSchedule
from sfumato.render.sampling.run_steps import Work

if TYPE_CHECKING:
    from collections.abc import Generator

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.request import RenderRequest
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.stages import Plan

__all__ = ["Inputs", "run_plan"]


def run_plan(
    plan: Plan,
    request: RenderRequest,
    model: LatentModel,
    inputs: Inputs | None = None,
    space: Workspace | None = None,
) -> Generator[Progress, None, RenderResult]:
    """Run the stages of a plan for the first picture of a request; yield after every step, or row of windows.

    Guarantees the same bytes for the same plan, request, weights and build of torch. A method that keeps work keeps
    its canvases in `space`, and goes on where it was left there; without one, in memory.

    Raises:
        ModelError: a step or the upscaler gave numbers that are no picture.
        RequestError: the mask does not fit its picture.
        StorageError: the disk of the workspace refuses.
    """
    name = getattr(request.method, "upscaler", None)
    work = Work(
        model=model,
        request=request,
        prompts=PromptSchedule(model, request),
        preview=Preview(model),
        controls=_open_controls(request, plan, model, inputs or Inputs()),
        upscaler=None if name is None else load_upscaler(name, model.device),
    )
    run = find_method(request.method).run
    return (yield from run(work, plan, inputs or Inputs(), space or MemoryWorkspace(), Stopwatch(plan)))


def _open_controls(request: RenderRequest, plan: Plan, model: LatentModel, inputs: Inputs) -> ControlPictures | None:
    """Return the control pictures of a request, None where it has none."""
    if not request.controls:
        return None
    assert len(inputs.controls) == len(request.controls), "the workflow reads the control pictures"
    return ControlPictures(
        request=request,
        networks=model.controls,
        pictures=tuple(flatten(picture) for picture in inputs.controls),
        base=plan.stages[0].canvas,
        factor=model.contract.factor,
    )
