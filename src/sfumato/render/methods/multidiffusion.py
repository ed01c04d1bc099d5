"""One canvas, many windows: the predictions of overlapping windows are fused at every step.

The paper averages what each window's step gives; here the clean predictions are averaged and the
sampler takes one step on the whole canvas, so its history and its noise are those of the canvas
and every sampler works. Knows no pixels. Start reading at `predict_fused`.

Source: Bar-Tal et al. 2023, MultiDiffusion, eq. 5; averaging predictions, weighted: Barbero Jimenez
2023, Mixture of Diffusers, section 3.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from sfumato.core.request_parts.seamless import wraps_across, wraps_down
from sfumato.nn.ring import cut_ring
from sfumato.nn.windows import Fusion, make_weights
from sfumato.render.methods.native import meet_sides, run_canvas
from sfumato.render.progress import RenderResult
from sfumato.render.sampling.run_steps import Work, predict_windows, split_batches

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.render.progress import Inputs, Progress, Stopwatch
    from sfumato.render.stages import Plan, Stage


def run_multidiffusion(
    work: Work, plan: Plan, inputs: Inputs, space: Workspace, watch: Stopwatch
) -> Generator[Progress, None, RenderResult]:
    """Denoise a canvas through its windows."""
    del space
    (stage,) = plan.stages
    picture = yield from run_canvas(work, stage, inputs, watch, partial(predict_fused, work, stage))
    watch.close(stage)
    return RenderResult(shown=picture, base=None, trace=watch.trace)


def predict_fused(work: Work, stage: Stage, step: int, x: Tensor, sigma: float) -> Tensor:
    """Predict x0 of the whole canvas [1, C, h, w] from its windows, a few of them at a time."""
    canvas = stage.canvas.to_latent(work.model.contract.factor)
    fusion = Fusion(canvas, x)
    across, down = wraps_across(work.request.seamless), wraps_down(work.request.seamless)
    for boxes in split_batches(stage.windows, stage.window_batch):
        cuts = torch.cat([cut_ring(x, box) for box in boxes])
        # All windows have one size; one that is as wide as the canvas meets itself.
        whole = {"across": across and boxes[0].width == canvas.width, "down": down and boxes[0].height == canvas.height}
        with meet_sides(work, **whole):
            clean = predict_windows(work, stage, boxes, step, cuts, sigma)
        for box, values in zip(boxes, clean.split(1), strict=True):
            fusion.add(box, values, make_weights(box, canvas, stage.overlap_cells, across=across, down=down))
    return fusion.finish()
