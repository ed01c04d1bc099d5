"""Low and high bands of latents or pixels: what is large and what is fine.

The low band is what survives halving (or another factor) and enlarging again. Works on any tensor
[B, C, h, w]; knows no model and no sampler. Start reading at `take_low`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def take_low(x: Float[Tensor, "b c h w"], factor: float) -> Float[Tensor, "b c h w"]:
    """Return the band below 1 / (2 * factor) cycles per cell; a factor of 1 or less returns `x` itself."""
    if factor <= 1.0:
        return x
    height, width = x.shape[-2:]
    small = (max(1, round(height / factor)), max(1, round(width / factor)))
    return enlarge(F.interpolate(x, size=small, mode="area"), (height, width))


def shrink(x: Float[Tensor, "b c h w"], size_hw: tuple[int, int]) -> Float[Tensor, "b c H W"]:
    """Resample to a smaller size without aliasing."""
    return F.interpolate(x, size=size_hw, mode="bicubic", align_corners=False, antialias=True)


def enlarge(x: Float[Tensor, "b c h w"], size_hw: tuple[int, int]) -> Float[Tensor, "b c H W"]:
    """Resample smoothly to a larger size; a ramp stays a ramp."""
    # With antialias torch takes Keys' -0.5, exact for ramps; without, -0.75, which makes stairs of them.
    return F.interpolate(x, size=size_hw, mode="bicubic", align_corners=False, antialias=True)
