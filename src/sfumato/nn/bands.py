"""Low and high bands of latents or pixels: what is large and what is fine.

The low band is cut off half an octave of cells up by a short filter, so the band of some rows needs
only those rows and `REACH_CELLS` more on either side. Works on any tensor [B, C, h, w]; knows no model
and no sampler. Start reading at `take_low`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

# A half-band filter: 1 for what is wide, 1/2 at a quarter of the cell rate, 0 for a chessboard. The level below
# knows what lies under that quarter. Source: the maximally flat filter of order 4, Herrmann 1971.
HALF_BAND = (-1 / 32, 0.0, 9 / 32, 16 / 32, 9 / 32, 0.0, -1 / 32)
REACH_CELLS = len(HALF_BAND) // 2


def take_low(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return the band below a quarter of the cell rate; beyond the edge the outermost cells repeat."""
    import torch
    import torch.nn.functional as F

    taps = torch.tensor(HALF_BAND, dtype=x.dtype, device=x.device)
    channels = x.shape[1]
    padded = F.pad(x, (REACH_CELLS,) * 4, mode="replicate")
    across = F.conv2d(padded, taps.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)
    return F.conv2d(across, taps.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)


def enlarge(x: Float[Tensor, "b c h w"], size_hw: tuple[int, int]) -> Float[Tensor, "b c H W"]:
    """Resample smoothly to a larger size; a ramp stays a ramp."""
    import torch.nn.functional as F

    # With antialias torch takes Keys' -0.5, exact for ramps; without, -0.75, which makes stairs of them.
    return F.interpolate(x, size=size_hw, mode="bicubic", align_corners=False, antialias=True)
