"""A part of a picture drawn anew, its low band held to what was there: the method of focus and of repair, not offered.

With a mask, what lies outside it stays as it was encoded.

A canvas beyond native size is denoised through windows. Knows no box and no judge. Start reading at `run_guided`.

Sources: low band kept, high band free, Kim et al. 2025, DiffuseHigh, and Vontobel et al. 2025, HiWave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.core.request import ImageSource, InpaintSource
from sfumato.nn.bands import take_low
from sfumato.render.methods.multidiffusion import predict_fused
from sfumato.render.methods.native import make_start, report_steps, walk_steps
from sfumato.render.methods.stage_lists import GuidedMethod
from sfumato.render.progress import RenderResult
from sfumato.render.sampling.pixels import to_picture

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.render.progress import Inputs, Progress, Stopwatch
    from sfumato.render.sampling.run_steps import Work
    from sfumato.render.stages import Plan


def run_guided(
    work: Work, plan: Plan, inputs: Inputs, space: Workspace, watch: Stopwatch
) -> Generator[Progress, None, RenderResult]:
    """Denoise a canvas that starts from a picture, its low band held at every step."""
    del space
    (stage,) = plan.stages
    method, source = work.request.method, work.request.source
    assert isinstance(method, GuidedMethod), "the row of the method runs its own settings"
    assert isinstance(source, ImageSource | InpaintSource), "a part starts from what is there"
    start = make_start(work, stage, inputs)
    assert start.kept is not None, "a starting picture is encoded"
    parent = take_low(start.kept)

    def denoise(step: int, x: Tensor, sigma: float, /) -> Tensor:
        clean = predict_fused(work, stage, step, x, sigma)
        return clean + method.lock * (parent - take_low(clean))

    clean = yield from report_steps(work, stage, walk_steps(work, stage, start, denoise), watch)
    watch.close(stage)
    return RenderResult(shown=to_picture(work.model.decode(clean)), base=None, trace=watch.trace)
