"""A given picture as it is: nothing is drawn, passes work on it. What `sfumato focus` and `repair` render by; not offered as a method.

Knows no pass. Start reading at `run_picture`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.canvas.workspace.workspace import Entry
from sfumato.core.errors import RequestError
from sfumato.core.request import PictureSource
from sfumato.render.cohesive.input_picture import lay_out
from sfumato.render.plan.list_stages import StageUse
from sfumato.render.progress import RenderResult
from sfumato.render.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Generator

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.request import RenderRequest
    from sfumato.models.contract import ModelContract
    from sfumato.render.methods.native import Inputs
    from sfumato.render.plan.list_stages import StageList
    from sfumato.render.progress import Progress, Stopwatch
    from sfumato.render.sampling.run_steps import Work
    from sfumato.render.stages import Plan

# Red, green and blue of a pixel on disk.
_PIXEL_BYTES = 3


def list_picture_stages(stages: StageList) -> tuple[StageUse, ...]:
    """List the one stage: the picture is laid out; its memory is that of the crops that a pass draws."""
    native, canvas = stages.contract.native, stages.canvas
    stage = Stage(
        name="picture",
        canvas=canvas,
        windows=(native.to_latent(stages.contract.factor).box,),
        window_batch=1,
        overlap_cells=0,
        steps=1,
        first_step=0,
        ticks=1,
        evaluations=0,
    )
    return (
        StageUse(stage=stage, calls=0, coded=native, decodes=0, in_bands=True, work_bytes=canvas.area * _PIXEL_BYTES),
    )


def check_picture(request: RenderRequest, contract: ModelContract) -> None:
    """Check that there is a picture, and that it keeps its size.

    Raises:
        RequestError: it does not.
    """
    del contract
    if not isinstance(request.source, PictureSource) or request.source.size != request.size:
        do = "Leave `size` out; enlarge the picture with sfumato upscale."
        raise RequestError("a picture that is worked on keeps its size", got=str(request.size), do=do)
    if request.focus is None and request.anatomy is None:
        raise RequestError("nothing would be drawn anew", do="Say `focus` auto, or give a `focus_box`.")


def run_picture(
    work: Work, plan: Plan, inputs: Inputs, space: Workspace, watch: Stopwatch
) -> Generator[Progress, None, RenderResult]:
    """Lay the picture out in the workspace."""
    del work
    (stage,) = plan.stages
    assert inputs.source is not None, "the workflow opens the picture"
    pixels = lay_out(inputs.source, space)
    pixels.flush()
    # From here on stopped work can be gone on with.
    space.note(Entry({"picture": str(pixels.size)}))
    yield watch.tick(stage, 1)
    watch.close(stage)
    return RenderResult(shown=pixels, base=None, trace=watch.trace)
