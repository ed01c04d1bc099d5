"""Pictures through an autoencoder and back, and between uint8 and tensors.

Knows a `LatentModel`, no world. Start reading at `pass_autoencoder`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sfumato.models.contract import LatentModel
from sfumato.train.pictures import load_pixels

BATCH = 32


def to_bytes(pixels: torch.Tensor) -> NDArray[np.uint8]:
    """Turn pixels [B, 3, H, W] in [-1, 1] into uint8 [B, H, W, 3]."""
    rounded = pixels.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round().byte()
    return np.ascontiguousarray(rounded.permute(0, 2, 3, 1).numpy())


def pass_autoencoder(
    model: LatentModel, pictures: NDArray[np.uint8], *, jitter: float = 0.0, noise: torch.Generator | None = None
) -> NDArray[np.uint8]:
    """Encode and decode uint8 pictures [N, H, W, 3], with normal noise of size `jitter` on the latents."""
    done = []
    for start in range(0, len(pictures), BATCH):
        rows = pictures[start : start + BATCH]
        latents = model.encode_image(load_pixels(rows, range(len(rows))).contiguous())
        if jitter:
            latents = latents + jitter * torch.randn(latents.shape, generator=noise).to(latents.device)
        done.append(to_bytes(model.decode(latents)))
    return np.concatenate(done)
