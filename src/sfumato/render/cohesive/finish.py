"""A finished level held to its base: colours that drifted over wide areas are taken back, lost parts are given back.

Every level passes through the autoencoder and the denoiser once more. Each pass moves colours a little, and eats small
parts. The residual is taken at the size of the base: averaged without its edges, which may become sharper, and as it is
where something is gone. Knows pixels and a small picture; no latents. Start reading at `hold_base`.

Source: back projection, Irani and Peleg 1991, "Improving resolution by image registration", one round of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from sfumato.canvas.grid import list_grid_boxes
from sfumato.core.geometry import PixelSize
from sfumato.core.memory import give_back_memory
from sfumato.nn.resample import Shrinking, enlarge_part
from sfumato.render.cohesive.lost_detail import find_lost_detail

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.canvas.pixels import PixelStore
    from sfumato.core.geometry import PixelBox
    from sfumato.core.resampling import FloatBox

# Half the side of the square that a drift is averaged over, in px of the base, taken twice.
REACH_PX = 1
# Levels of 255 that count half: drift is a few levels, an edge that became sharp is many.
TYPICAL_LEVELS = 6.0


def hold_base(
    pixels: PixelStore, base: Image.Image, part: FloatBox | None, *, colours: bool = True, parts: bool = True
) -> None:
    """Add what a base has and the shrunk picture has not, square by square: `colours` of wide areas, small `parts`.

    The picture shows the `part` of the base (left, top, right, bottom in px); None is all of it. A part comes back as
    the base shows it; the next level makes it sharp.
    """
    size, small = pixels.size, PixelSize(*base.size)
    shown = base.resize(base.size, Image.Resampling.BICUBIC, box=part)
    wanted = torch.from_numpy(np.array(shown, dtype=np.float32)).permute(2, 0, 1)
    squares = tuple(list_grid_boxes(size))
    # In float64: what a sum was added up in order of must not be seen.
    shrinking = Shrinking(size.shape_hw, small.shape_hw, wanted.double())
    for box in squares:
        rows, columns = box.slices_hw
        shrinking.add(rows, _read(pixels, box).double(), columns)
    missing = _find_missing(wanted, shrinking.finish().float(), colours=colours, parts=parts)
    for box in squares:
        moved = _read(pixels, box) + enlarge_part(missing, size.shape_hw, *box.slices_hw)
        pixels.write(box, moved.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy())
    # Nothing that comes after it fits what the squares leave in the heap.
    give_back_memory()


def _find_missing(wanted: Tensor, shown: Tensor, *, colours: bool, parts: bool) -> Tensor:
    """Return what is to be added to a shrunk picture, [3, h, w]."""
    drift = _find_drift(wanted - shown)
    missing = drift if colours else torch.zeros_like(drift)
    if not parts:
        return missing
    # Without the drift, or a part on a darker wall would seem to be another one.
    return missing + find_lost_detail(wanted, shown + drift) * (wanted - shown - drift)


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
