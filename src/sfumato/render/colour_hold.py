"""Colours of a finished level held to those of the base: what drifted over wide areas is taken back.

Every level passes through the autoencoder and the denoiser once more, and each pass moves colours a little.
The residual is taken at the size of the base and averaged without its edges, which may become sharper. Knows
pixels and a small picture; no latents. Start reading at `hold_colours`.

Source: back projection, Irani and Peleg 1991, "Improving resolution by image registration", one round of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.nn.resample import Shrinking, enlarge_rows
from sfumato.render.layout import fit_box
from sfumato.render.planes import cut_rows

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.core.canvas.pixels import PixelStore

# Pixels held at once.
BAND_PX = 1 << 18
# Half the side of the square that a drift is averaged over, in px of the base, taken twice.
REACH_PX = 1
# Levels of 255 that count half: drift is a few levels, an edge that became sharp is many.
TYPICAL_LEVELS = 6.0


def hold_colours(pixels: PixelStore, base: Image.Image) -> None:
    """Add the smoothed difference between the base and the shrunk picture, in bands of rows."""
    size, small = pixels.size, PixelSize(*base.size)
    shown = base.resize(base.size, Image.Resampling.BICUBIC, box=fit_box(small, size))
    wanted = torch.from_numpy(np.array(shown, dtype=np.float32)).permute(2, 0, 1)
    shrinking = Shrinking(size.shape_hw, small.shape_hw, wanted)
    bands = cut_rows(size.height, max(1, BAND_PX // size.width))
    for rows in bands:
        shrinking.add(rows, _read(pixels, rows))
    drift = _find_drift(wanted - shrinking.finish())
    for rows in bands:
        held = _read(pixels, rows) + enlarge_rows(drift, size.shape_hw, rows)
        raw = held.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        pixels.write(PixelBox(0, rows.start, size.width, rows.stop), raw)


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


def _read(pixels: PixelStore, rows: slice) -> Tensor:
    raw = pixels.read(PixelBox(0, rows.start, pixels.size.width, rows.stop))
    return torch.from_numpy(raw).permute(2, 0, 1).float()
