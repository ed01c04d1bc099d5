"""Colours of a finished level held to those of the base: what drifted over wide areas is taken back.

Every level passes through the autoencoder and the denoiser once more, and each pass moves colours a little.
The residual is taken at the size of the base and averaged without its edges, which may become sharper. Knows
pixels and a small picture; no latents. Start reading at `hold_colours`.

Source: back projection, Irani and Peleg 1991, "Improving resolution by image registration", one round of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from sfumato.canvas.grid import list_grid_boxes
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.memory import give_back_memory
from sfumato.nn.resample import Shrinking, enlarge_part, find_touched

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from sfumato.canvas.pixels import PixelStore
    from sfumato.core.resampling import FloatBox

# Half the side of the square that a drift is averaged over, in px of the base, taken twice.
REACH_PX = 1
# Levels of 255 that count half: drift is a few levels, an edge that became sharp is many.
TYPICAL_LEVELS = 6.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Held:
    """Say that only some squares have changed since all colours of a picture were held.

    `shrunk` is what `hold_colours` returned then. `squares` are those whose pixels or colours change; they have
    their pixels from before any holding. See `find_drifting`.
    """

    shrunk: Float[Tensor, "3 h w"]
    squares: tuple[PixelBox, ...]


def hold_colours(
    pixels: PixelStore, against: tuple[Image.Image, FloatBox | None], held: Held | None = None
) -> Float[Tensor, "3 h w"]:
    """Add the smoothed difference between the base and the shrunk picture, square by square; return it shrunk before.

    It is held `against` a base and the part of that (left, top, right, bottom in px) which the picture shows; None is all
    of it. Where all but some squares are `held`, those come out as if the whole had been held.
    """
    base, part = against
    size, small = pixels.size, PixelSize(*base.size)
    shown = base.resize(base.size, Image.Resampling.BICUBIC, box=part)
    wanted = torch.from_numpy(np.array(shown, dtype=np.float32)).permute(2, 0, 1)
    squares = tuple(list_grid_boxes(size)) if held is None else held.squares
    # In float64: what a sum was added up in order of must not be seen.
    shrinking = Shrinking(size.shape_hw, small.shape_hw, wanted.double())
    for box in squares:
        rows, columns = box.slices_hw
        shrinking.add(rows, _read(pixels, box).double(), columns)
    shrunk = shrinking.finish().float()
    if held is not None:
        shrunk = torch.where(_find_whole(size, small, squares), shrunk, held.shrunk)
    drift = _find_drift(wanted - shrunk)
    for box in squares:
        moved = _read(pixels, box) + enlarge_part(drift, size.shape_hw, *box.slices_hw)
        pixels.write(box, moved.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy())
    # Nothing that comes after it fits what the squares leave in the heap.
    give_back_memory()
    return shrunk


def find_drifting(size: PixelSize, base: PixelSize, box: PixelBox) -> PixelBox:
    """Return where colours may be held otherwise when the pixels of a box change."""
    across = _find_span(size.width, base.width, slice(box.left, box.right))
    down = _find_span(size.height, base.height, slice(box.top, box.bottom))
    return PixelBox(across.start, down.start, across.stop, down.stop)


def _find_span(canvas: int, small: int, span: slice) -> slice:
    touched = find_touched(canvas, small, span)
    # The mean is taken twice, and the cubic that enlarges it looks two cells around.
    reach = 2 * REACH_PX + 2
    begin, end = max(0, touched.start - reach), min(small, touched.stop + reach)
    return slice(begin * canvas // small, -(-end * canvas // small))


def _find_whole(size: PixelSize, small: PixelSize, squares: tuple[PixelBox, ...]) -> Bool[Tensor, "h w"]:
    """Tell which cells of the shrunk picture lie under some squares, and under no other."""
    whole, known = torch.ones(small.shape_hw, dtype=torch.bool), set(squares)
    for box in list_grid_boxes(size):
        if box not in known:
            rows, columns = box.slices_hw
            down = find_touched(size.height, small.height, rows)
            whole[down, find_touched(size.width, small.width, columns)] = False
    return whole


def _find_drift(residual: Tensor) -> Tensor:
    """Return what a residual [3, h, w] is over wide areas; where it is large it counts little."""
    worst = residual.abs().amax(dim=0, keepdim=True)
    weight = 1.0 / (1.0 + (worst / TYPICAL_LEVELS).square())
    for _ in range(2):
        total = _blur(weight)
        residual, weight = _blur(weight * residual) / total, total
    return residual


def _blur(values: Tensor) -> Tensor:
    padded = F.pad(values[None], (REACH_PX,) * 4, mode="replicate")
    return F.avg_pool2d(padded, 2 * REACH_PX + 1, stride=1)[0]


def _read(pixels: PixelStore, box: PixelBox) -> Tensor:
    return torch.from_numpy(pixels.read(box)).permute(2, 0, 1).float()
