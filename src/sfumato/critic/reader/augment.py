"""Small damage to training pictures, so that a reader does not live on pixel-exact strokes.

Generated pictures are softer, noisier and slightly off in colour. Nothing here may change an
answer: no mirroring (left hands), no hue turns (colours), no large shifts. Knows no labels.
Start reading at `damage_pictures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Generator, Tensor

# A third of the pictures stays clean: the reader is also judged on drawn ones.
CLEAN_SHARE = 1 / 3
# In [-1, 1]: 0.08 is ten grey levels, about the grain of a picture from few steps.
MOST_NOISE = 0.08
# Gain and offset of a channel: colour names are families 0.03 wide and 0.2 apart.
MOST_GAIN, MOST_OFFSET = 0.06, 0.05
MOST_SHIFT_PX = 4


def damage_pictures(pixels: Float[Tensor, "b 3 h w"], noise: Generator) -> Float[Tensor, "b 3 h w"]:
    """Return softened, noisy, tinted and shifted copies; some are left clean. Pixels in [-1, 1]."""
    return _shift(blemish_pictures(pixels, noise), noise)


def blemish_pictures(pixels: Float[Tensor, "b 3 h w"], noise: Generator) -> Float[Tensor, "b 3 h w"]:
    """Return softened, noisy and tinted copies in which nothing moves; some are left clean."""
    count, device = len(pixels), pixels.device

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=noise, device=device)

    hurt = (draw(count, 1, 1, 1) > CLEAN_SHARE).float()
    soft = draw(count, 1, 1, 1) * hurt
    result = pixels + soft * (_blur(pixels) - pixels)
    result = result * (1 + MOST_GAIN * hurt * (2 * draw(count, 3, 1, 1) - 1))
    result = result + MOST_OFFSET * hurt * (2 * draw(count, 3, 1, 1) - 1)
    grain = torch.randn(pixels.shape, generator=noise, device=device)
    result = result + MOST_NOISE * hurt * draw(count, 1, 1, 1) * grain
    return result.clamp(-1, 1)


def _blur(pixels: Tensor) -> Tensor:
    """Soften by two passes of a 3-pixel mean: about one pixel of Gaussian blur."""
    for _ in range(2):
        pixels = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return pixels


def _shift(pixels: Tensor, noise: Generator) -> Tensor:
    """Move the whole batch by up to `MOST_SHIFT_PX`; edges repeat. One shift a batch costs one copy."""
    down, across = (int(s) for s in torch.randint(0, 2 * MOST_SHIFT_PX + 1, (2,), generator=noise, device=noise.device))
    height, width = pixels.shape[-2:]
    padded = F.pad(pixels, (MOST_SHIFT_PX,) * 4, mode="replicate")
    return padded[..., down : down + height, across : across + width]
