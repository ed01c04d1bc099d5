"""The canvas denoised at once: txt2img, img2img and inpaint at a size the model can hold.

Knows no windows; `multidiffusion` differs from this in one function. Start reading at
`run_native`.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from sfumato.canvas.mask import read_mask
from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.core.request import TextSource
from sfumato.core.request_parts.seamless import wraps_across, wraps_down
from sfumato.nn.ring import cut_ring, pad_circularly
from sfumato.render.layout import grow_ring
from sfumato.render.progress import RenderResult
from sfumato.render.sampling.pixels import (
    flatten,
    mask_cells,
    pad_picture,
    place_picture,
    put_inside,
    to_picture,
    to_tensor,
)
from sfumato.render.sampling.run_steps import make_noise, predict_windows, run_steps, stage_sigmas

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.nn.samplers import SamplerState
    from sfumato.render.progress import Inputs, Progress, Stopwatch
    from sfumato.render.sampling.base_journal import BaseNotes
    from sfumato.render.sampling.run_steps import StepDenoise, Work
    from sfumato.render.stages import Plan, Stage


@dataclass(frozen=True, eq=False, kw_only=True)
class Start:
    """Hold where a canvas starts: x at the first sigma, the latents of the starting picture, and what inpainting frees.

    `inside` [H, W] has the picture's own size, which may be smaller than the canvas to the right and below.
    A `state` that an earlier run left takes the place of x.
    """

    x: Tensor
    state: SamplerState | None = None
    kept: Tensor | None = None
    free_cells: Tensor | None = None
    inside: NDArray[np.float32] | None = None


def run_native(
    work: Work, plan: Plan, inputs: Inputs, space: Workspace, watch: Stopwatch
) -> Generator[Progress, None, RenderResult]:
    """Draw the one stage of a plan."""
    del space
    (stage,) = plan.stages
    picture = yield from run_sample(work, stage, inputs, watch)
    watch.close(stage)
    return RenderResult(shown=picture, base=None, trace=watch.trace)


def run_sample(work: Work, stage: Stage, inputs: Inputs, watch: Stopwatch) -> Generator[Progress, None, Image]:
    """Denoise the whole canvas of a stage; return the picture."""
    return (yield from run_canvas(work, stage, inputs, watch, partial(_predict_whole, work, stage)))


def run_canvas(
    work: Work, stage: Stage, inputs: Inputs, watch: Stopwatch, denoise: StepDenoise
) -> Generator[Progress, None, Image]:
    """Denoise a canvas with a given denoiser of the whole canvas; return the picture."""
    start = make_start(work, stage, inputs)
    clean = yield from report_steps(work, stage, walk_steps(work, stage, start, denoise), watch)
    picture = to_picture(decode_canvas(work, clean))
    if start.inside is None:
        return picture
    assert inputs.picture is not None, "a mask comes with its picture"
    return put_inside(inputs.picture, picture, start.inside)


def run_latents(
    work: Work, stage: Stage, inputs: Inputs, watch: Stopwatch, notes: BaseNotes
) -> Generator[Progress, None, Tensor]:
    """Denoise the whole canvas of a stage, on from where the notes say; return the clean latents [1, C, h, w]."""
    start = replace(make_start(work, stage, inputs), state=notes.find_state())
    if start.state is not None:
        watch.go_on(stage, start.state.index)
    steps = walk_steps(work, stage, start, partial(_predict_whole, work, stage))
    return (yield from report_steps(work, stage, notes.follow(steps), watch))


def walk_steps(work: Work, stage: Stage, start: Start, denoise: StepDenoise) -> Generator[SamplerState, None, Tensor]:
    """Walk from a start to a clean canvas with a denoiser of the whole canvas; yield the state after every step."""
    noise = make_noise(work, stage, (stage.canvas.to_latent(work.model.contract.factor).box,))
    begin = start.x if start.state is None else start.state
    return run_steps(work, stage, begin, partial(keep_outside, start, denoise), noise)


def report_steps(
    work: Work, stage: Stage, steps: Generator[SamplerState, None, Tensor], watch: Stopwatch
) -> Generator[Progress, None, Tensor]:
    """Turn the states of a sampler into progress with a preview; return the clean latents."""
    while True:
        try:
            state = next(steps)
        except StopIteration as end:
            return end.value
        assert state.x0 is not None, "a step leaves its prediction behind"
        yield watch.tick(stage, state.index, partial(work.preview.draw, state.x0))


def make_start(work: Work, stage: Stage, inputs: Inputs) -> Start:
    """Return noise alone, or the encoded starting picture with noise on top, and its mask."""
    cells = stage.canvas.to_latent(work.model.contract.factor)
    noise = make_noise(work, stage, (cells.box,)).initial()
    first = float(stage_sigmas(work, stage)[0])
    if isinstance(work.request.source, TextSource):
        return Start(x=first * noise)
    assert inputs.picture is not None, "the workflow reads the starting picture"
    picture, canvas = flatten(inputs.picture), stage.canvas
    fitted = place_picture(picture, canvas, work.request.size) if inputs.mask is None else pad_picture(picture, canvas)
    kept = _encode_canvas(work, to_tensor(fitted)).to(noise.device)
    if inputs.mask is None:
        return Start(x=kept + first * noise, kept=kept)
    inside = read_mask(inputs.mask, work.request.size)
    free = mask_cells(inside, work.model.contract.factor).to(noise.device)
    return Start(x=kept + first * noise, kept=kept, free_cells=free, inside=inside)


def keep_outside(start: Start, denoise: StepDenoise, step: int, x: Tensor, sigma: float) -> Tensor:
    """Predict x0, with the known latents outside the mask.

    Fixing the prediction instead of x keeps the sampler's history true, so every sampler works.
    """
    clean = denoise(step, x, sigma)
    if start.kept is None or start.free_cells is None:
        return clean
    return torch.lerp(start.kept, clean, start.free_cells)


def _predict_whole(work: Work, stage: Stage, step: int, x: Tensor, sigma: float) -> Tensor:
    word = work.request.seamless
    with meet_sides(work, across=wraps_across(word), down=wraps_down(word)):
        return predict_windows(work, stage, (stage.canvas.to_latent(work.model.contract.factor).box,), step, x, sigma)


@contextmanager
def meet_sides(work: Work, *, across: bool, down: bool) -> Generator[None]:
    """Let the denoiser, and control networks, read around the edges that are named while this is open."""
    with ExitStack() as stack:
        for network in (work.model.unet, *work.model.controls.values()) if across or down else ():
            stack.enter_context(pad_circularly(network, across=across, down=down))
        yield


def decode_canvas(work: Work, clean: Tensor) -> Tensor:
    """Decode a canvas [1, C, h, w]; where its sides meet, the decoder sees what lies on the other side."""
    canvas = LatentSize(clean.shape[-1], clean.shape[-2])
    grown = grow_ring(canvas, work.request.seamless)
    if grown == canvas.box:
        return work.model.decode(clean)
    return work.model.decode_box(cut_ring(clean, grown), canvas.box.shift(-grown.left, -grown.top))


def _encode_canvas(work: Work, pixels: Tensor) -> Tensor:
    factor = work.model.contract.factor
    canvas = LatentSize(pixels.shape[-1] // factor, pixels.shape[-2] // factor)
    grown = grow_ring(canvas, work.request.seamless)
    if grown == canvas.box:
        return work.model.encode_image(pixels)
    # Cells of one pixel: the ring of a picture.
    beyond = LatentBox(grown.left * factor, grown.top * factor, grown.right * factor, grown.bottom * factor)
    return cut_ring(work.model.encode_image(cut_ring(pixels, beyond)), canvas.box.shift(-grown.left, -grown.top))
