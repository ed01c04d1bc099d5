"""What a given picture shows sharply, kept in the levels that grow from it.

The autoencoder eats small things and the denoiser draws others in their place; what the level below knows is
still in its pixels. Octave by octave and place by place: where those have the detail that a sharp picture has,
they stay; where they are blurred, and in the new octave, what was drawn stays. Knows pixels in bands; no
latents and no step. Start reading at `KnownDetail.keep`; how sharp a picture is as a whole says `measure_sharpness`.

Source: back projection, Irani and Peleg 1991, "Improving resolution by image registration", one round of it,
here for each octave and only as far as it is not blurred.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sfumato.canvas.grid import list_grid_boxes
from sfumato.core.geometry import PixelBox
from sfumato.core.resampling import Resampling
from sfumato.nn.octaves import average_boxes, measure_reach, take_lows
from sfumato.render.layout import show_whole
from sfumato.render.sampling.latent_rows import grow_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jaxtyping import Float

    from sfumato.canvas.pixels import PixelStore
    from sfumato.core.geometry import PixelSize
    from sfumato.core.resampling import FloatBox, ReadPixels

# Octaves of the level below that may be blurred; what is coarser is always kept.
OCTAVES = 3
# Across an edge without blur an octave has half the energy of the next coarser one. Of that share, what is too
# little to be kept, and what is enough to be kept whole. Chosen on drawn scenes, see docs/upscale.md.
BLURRED, SHARP = 0.1, 0.5
# Energy (levels of 255, squared) below which a place is flat: no blur can be told there, and nothing is missing.
FLAT_ENERGY = 1.0
# What rounding to bytes leaves in an octave: a picture without more has nothing to lose.
ROUNDING_ENERGY = 0.05
# The same share in the finest octave of a whole picture: drawn scenes have 0.89 to 1.5, blurred by 0.7 px 0.39 to 0.65,
# and what mini draws 0.67 to 0.76.
SOFT_PICTURE, SHARP_PICTURE = 0.76, 0.9


@dataclass(frozen=True, eq=False, kw_only=True)
class KnownDetail:
    """Hold what a level grew from, how much of its sharp detail is kept, 0 to 1, and the part of it (px) that is shown. A leaf."""

    share: float
    open_below: Callable[[], PixelStore]
    box: FloatBox | None = None

    def keep(self, made: PixelStore, target: PixelStore) -> None:
        """Write `made` to `target` with the sharp detail of the level below; the two are not one store."""
        below, size = self.open_below(), made.size
        box = self.box or show_whole(below.size).shown
        enlarged, scale = partial(Resampling(below.size, size, box).compute, below.read), _find_scale(box, size)
        margin = _find_margin(scale)
        for square in list_grid_boxes(size):
            high, down = grow_rows(square.slices_hw[0], margin, size.height)
            wide, across = grow_rows(square.slices_hw[1], margin, size.width)
            part = PixelBox(wide.start, high.start, wide.stop, high.stop)
            drawn = _read(made.read, part)
            mixed = mix_octaves(drawn, _read(enlarged, part), scale).clamp(0, 255)
            held = torch.lerp(drawn, mixed, self.share)[0, :, down, across]
            target.write(square, held.round().to(torch.uint8).permute(1, 2, 0).numpy())


def mix_octaves(
    drawn: Float[Tensor, "1 3 h w"], known: Float[Tensor, "1 3 h w"], scale: float
) -> Float[Tensor, "1 3 h w"]:
    """Return what was drawn, with the octaves that a level `scale` times smaller holds from `known` where that is sharp."""
    shares = list_shares(known, scale)
    lows = take_lows(known - drawn, scale, OCTAVES)
    mixed = drawn + lows[-1]
    for share, (fine, coarse) in zip(shares, pairwise(lows), strict=True):
        mixed += share * (fine - coarse)
    return mixed


def list_shares(known: Float[Tensor, "1 3 h w"], scale: float) -> list[Float[Tensor, "1 1 h w"]]:
    """Return for each octave, the finest first, from 0 (blurred) to 1 (as sharp as an edge, or flat)."""
    energies = [
        average_boxes(energy, _smoothing(scale, octave)) for octave, energy in enumerate(_list_energies(known, scale))
    ]
    shares, share = list[Tensor](), torch.ones_like(energies[0])
    for octave in reversed(range(OCTAVES)):
        coarser = energies[octave + 1 :]
        expected = torch.stack([energy * 0.5 ** (1 + step) for step, energy in enumerate(coarser)]).amax(dim=0)
        ratio = (energies[octave] + FLAT_ENERGY) / (expected + FLAT_ENERGY)
        # Where an octave is blurred, the finer ones are.
        share = torch.minimum(share, ((ratio - BLURRED) / (SHARP - BLURRED)).clamp(0.0, 1.0))
        shares.insert(0, share)
    return shares


def measure_sharpness(pixels: PixelStore) -> float:
    """Return from 0 (soft throughout) to 1 (as sharp as its pixels allow), by the finest octave of a whole picture."""
    flat = ROUNDING_ENERGY * pixels.size.area
    fine, coarse = (sum(band) for band in zip(*_walk_energies(pixels), strict=True))
    ratio = (fine + flat) / (0.5 * coarse + flat)
    return min(1.0, max(0.0, (ratio - SOFT_PICTURE) / (SHARP_PICTURE - SOFT_PICTURE)))


def _walk_energies(pixels: PixelStore) -> Iterator[tuple[float, float]]:
    """Yield the energy of the two finest octaves of a picture, tile by tile."""
    margin, size = measure_reach(1.0, 2), pixels.size
    for square in list_grid_boxes(size):
        high, down = grow_rows(square.slices_hw[0], margin, size.height)
        wide, across = grow_rows(square.slices_hw[1], margin, size.width)
        values = _read(pixels.read, PixelBox(wide.start, high.start, wide.stop, high.stop))
        fine, coarse, *_ = (energy[:, :, down, across] for energy in _list_energies(values, 1.0))
        yield float(fine.sum(dtype=torch.float64)), float(coarse.sum(dtype=torch.float64))


def _list_energies(known: Tensor, scale: float) -> list[Tensor]:
    lows = take_lows(known.mean(dim=1, keepdim=True), scale, OCTAVES + 1)
    return [(fine - coarse).square() for fine, coarse in pairwise(lows)]


def _find_scale(box: FloatBox, size: PixelSize) -> float:
    """Return how many times larger a part of a picture becomes at a size; a canvas on the way is stretched a little."""
    return max(size.width / (box[2] - box[0]), size.height / (box[3] - box[1]))


def _find_margin(scale: float) -> int:
    return measure_reach(scale, OCTAVES + 1) + _smoothing(scale, OCTAVES)


def _smoothing(scale: float, octave: int) -> int:
    """Return half the side of the square an octave's energy is averaged over: about one of its waves."""
    return math.ceil(1.5 * scale * 2**octave)


def _read(read: ReadPixels, box: PixelBox) -> Tensor:
    return torch.from_numpy(read(box)).permute(2, 0, 1)[None].float()
