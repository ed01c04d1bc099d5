"""Pictures through an autoencoder and back, and between uint8 and tensors.

Knows two kinds of autoencoder: a whole model's, and one that is still in training. Knows no world.
Start reading at `pass_autoencoder`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sfumato.models.mini import load_mini_autoencoder
from sfumato.train.pictures import load_pixels

BATCH = 32


class RoundTrip(Protocol):
    """Turn pixels [B, 3, H, W] in [-1, 1] into latents and back; a `LatentModel` does."""

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return latents."""
        ...

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pixels, about [-1, 1]."""
        ...


@dataclass(frozen=True, eq=False)
class TrainedAutoencoder:
    """Run the autoencoder that a training stage saved, before there is a whole model. A leaf."""

    vae: Any

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return latents, float32."""
        return self._run(self.vae.encoder, pixels)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pixels, about [-1, 1], float32."""
        return self._run(self.vae.decoder, latents)

    @torch.inference_mode()
    def _run(self, part: Any, values: torch.Tensor) -> torch.Tensor:
        dtype = next(part.parameters()).dtype
        return part(values.to(dtype, memory_format=torch.channels_last)).float()


def find_trained_autoencoder(folder: Path | None) -> TrainedAutoencoder | None:
    """Open the autoencoder in a folder, or return None where there is none yet."""
    if folder is None or not folder.is_dir():
        return None
    # Pictures to learn from may be off by a grey level; the training loop's number type is the fast one.
    vae = load_mini_autoencoder(folder).to(torch.bfloat16)
    return TrainedAutoencoder(vae.to(memory_format=torch.channels_last))  # pyright: ignore[reportCallIssue]


def to_bytes(pixels: torch.Tensor) -> NDArray[np.uint8]:
    """Turn pixels [B, 3, H, W] in [-1, 1] into uint8 [B, H, W, 3]."""
    rounded = pixels.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round().byte()
    return np.ascontiguousarray(rounded.permute(0, 2, 3, 1).numpy())


def pass_autoencoder(
    model: RoundTrip, pictures: NDArray[np.uint8], *, jitter: float = 0.0, noise: torch.Generator | None = None
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
