"""KL autoencoders with random weights whose normalisations matter.

A fresh network's norms are the identity map and its biases are small, so that wrong statistics would
hardly show. Here each channel is scaled and shifted at random, as in a trained one.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL

SD_CHANNELS = (128, 256, 512, 512)


def make_kl(channels: tuple[int, ...] = (32, 32, 64, 64), *, layers: int = 1, seed: int = 0) -> AutoencoderKL:
    """Make an autoencoder of the family's build: one level per entry, each but the last halving the sides."""
    torch.manual_seed(seed)
    levels = len(channels)
    network = AutoencoderKL(
        block_out_channels=channels,
        layers_per_block=layers,
        norm_num_groups=min(32, channels[0] // 2),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
    )
    network.eval().requires_grad_(requires_grad=False)
    for name, values in network.named_parameters():
        if "norm" in name:
            values.normal_(mean=float(name.endswith("weight")), std=0.5)
    return network


def make_latents(width: int, height: int, seed: int = 1) -> torch.Tensor:
    """Make latents whose level changes from left to right, as a sky over a meadow does."""
    noise = torch.randn(1, 4, height, width, generator=torch.Generator().manual_seed(seed))
    return noise + torch.linspace(-3, 3, width)


def make_pixels(width: int, height: int, seed: int = 2) -> torch.Tensor:
    """Make pixels in [-1, 1] that get brighter from top to bottom."""
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) - 0.5
    return noise + torch.linspace(-0.5, 0.5, height)[:, None]
