"""A picture enlarged, cut into overlapping slices, each re-rendered, and blended together again.

Every slice is its own img2img of the enlarged picture; slices agree where they overlap because
their noise comes from the canvas, and gradients blend what still differs. What no slice can see is
the rest of the picture: this is the honest baseline. Start reading at `run_gobig`.

Source: the GOBIG mode of ProgRockDiffusion and txt2imghd, 2022; img2img: Meng et al. 2022, SDEdit.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from PIL import Image

from sfumato.core.geometry import PixelSize
from sfumato.nn.windows import make_ramp
from sfumato.render.layout import show_whole
from sfumato.render.methods.native import run_sample
from sfumato.render.progress import RenderResult
from sfumato.render.sampling.pixels import to_picture, to_tensor
from sfumato.render.sampling.run_steps import Work, make_noise, predict_windows, run_steps, split_batches, stage_sigmas

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.geometry import LatentBox, PixelBox
    from sfumato.render.progress import Inputs, Progress, Stopwatch
    from sfumato.render.stages import Plan, Stage

# The preview of a slice round is the enlarged picture with the finished slices in it, at most this wide.
WIDEST_PREVIEW_PX = 1024


def run_gobig(
    work: Work, plan: Plan, inputs: Inputs, space: Workspace, watch: Stopwatch
) -> Generator[Progress, None, RenderResult]:
    """Draw the base, then enlarge it and re-render its slices round by round."""
    del space
    first, *rounds = plan.stages
    base = picture = yield from run_sample(work, first, inputs, watch)
    watch.close(first)
    for stage in rounds:
        picture = yield from run_refine(work, stage, picture, watch)
        watch.close(stage)
    return RenderResult(shown=picture, base=base, trace=watch.trace)


def run_refine(
    work: Work, stage: Stage, picture: Image.Image, watch: Stopwatch
) -> Generator[Progress, None, Image.Image]:
    """Enlarge a picture to the stage's canvas and re-render its slices; return the blended picture."""
    box = stage.taken or show_whole(PixelSize(*picture.size)).shown
    assert work.upscaler is not None, "the engine loads the upscaler that the settings name"
    enlarged = work.upscaler.enlarge(picture, stage.canvas, box)
    blend = Blend(stage.canvas, stage.overlap_cells * work.model.contract.factor)
    ticks = 0
    for boxes in split_batches(stage.windows, stage.window_batch):
        steps = _refine_slices(work, stage, enlarged, boxes)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                clean = end.value
                break
            ticks += 1
            yield watch.tick(stage, ticks, partial(blend.draw, enlarged))
        for box, decoded in zip(boxes, work.model.decode(clean).split(1), strict=True):
            blend.add(box.to_pixels(work.model.contract.factor), decoded.cpu())
    return blend.finish()


def _refine_slices(
    work: Work, stage: Stage, enlarged: Image.Image, boxes: tuple[LatentBox, ...]
) -> Generator[object, None, Tensor]:
    """Re-render a batch of slices by img2img; return their clean latents."""
    places = [box.to_pixels(work.model.contract.factor) for box in boxes]
    cuts = [to_tensor(enlarged.crop((at.left, at.top, at.right, at.bottom))) for at in places]
    latents = work.model.encode_image(torch.cat(cuts).to(work.model.device))
    noise = make_noise(work, stage, boxes)
    start = latents + float(stage_sigmas(work, stage)[0]) * noise.initial()
    return (yield from run_steps(work, stage, start, partial(predict_windows, work, stage, boxes), noise))


class Blend:
    """Blend decoded slices into one picture: gradients towards neighbours, full weight elsewhere."""

    def __init__(self, canvas: PixelSize, overlap_px: int) -> None:
        self._canvas = canvas
        self._overlap_px = overlap_px
        self._sum = torch.zeros(1, 3, *canvas.shape_hw)
        self._weight = torch.zeros(canvas.shape_hw)

    def add(self, box: PixelBox, pixels: Tensor) -> None:
        """Add one slice, [1, 3, h, w] in [-1, 1], at its place."""
        rows, columns = box.slices_hw
        weights = self._weights(box)
        self._sum[..., rows, columns] += pixels.float().clamp(-1.0, 1.0) * weights
        self._weight[rows, columns] += weights

    def finish(self) -> Image.Image:
        """Return the picture; every pixel has to have had a slice."""
        assert bool((self._weight > 0).all()), "the cover leaves no pixel out"
        return to_picture(self._sum.div_(self._weight))

    def draw(self, behind: Image.Image) -> Image.Image:
        """Draw what is finished over the enlarged picture, small."""
        scale = min(1.0, WIDEST_PREVIEW_PX / behind.width)
        size = (max(1, round(behind.width * scale)), max(1, round(behind.height * scale)))
        done = to_picture(self._sum / self._weight.clamp_min(1e-6)).resize(size)
        where = Image.fromarray(((self._weight > 0).to(torch.uint8) * 255).numpy()).resize(size)
        return Image.composite(done, behind.resize(size), where)

    def _weights(self, box: PixelBox) -> Tensor:
        size = self._canvas
        wide = self._ramp(box.width, head=box.left > 0, tail=box.right < size.width)
        high = self._ramp(box.height, head=box.top > 0, tail=box.bottom < size.height)
        return high[:, None] * wide[None, :]

    def _ramp(self, length: int, *, head: bool, tail: bool) -> Tensor:
        return make_ramp(length, min(self._overlap_px, length // 2), head=head, tail=tail)
