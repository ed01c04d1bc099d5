"""The tiny autoencoder: convolutions alone, for inference.

Knows torch alone. Names of modules are diffusers', and so is every bit of the result. `tiny_layers` runs its layers
tile by tile. Start reading at `TinyAutoencoder`.

Source: TAESD (Ollin Boer Bohan 2023); the names, diffusers' AutoencoderTiny.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_READ = ("in_channels", "out_channels", "latent_channels", "num_encoder_blocks", "num_decoder_blocks")
_WIDTHS = ("encoder_block_out_channels", "decoder_block_out_channels")
_FIXED = {"act_fn": "relu", "upsample_fn": "nearest", "upsampling_scaling_factor": 2, "_class_name": "AutoencoderTiny"}


def fits(config: Mapping[str, Any]) -> bool:
    """Tell whether `TinyAutoencoder` is the network that a configuration describes."""
    if any(config.get(key) is None for key in (*_READ, *_WIDTHS)):
        return False
    one_width = all(len(set(config[key])) == 1 for key in _WIDTHS)
    return one_width and all(config.get(key, value) == value for key, value in _FIXED.items())


class TinyAutoencoder(nn.Module):
    """An encoder and a decoder of the same width on all levels."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Build the network of a configuration for which `fits` is true."""
        super().__init__()
        self.config = SimpleNamespace(**config)
        latents = config["latent_channels"]
        self.encoder = TinyEncoder(
            config["in_channels"], latents, config["encoder_block_out_channels"][0], config["num_encoder_blocks"]
        )
        self.decoder = TinyDecoder(
            latents, config["out_channels"], config["decoder_block_out_channels"][0], config["num_decoder_blocks"]
        )


class TinyEncoder(nn.Module):
    """Halve the sides level by level."""

    def __init__(self, into: int, out: int, width: int, blocks: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for level, count in enumerate(blocks):
            first = nn.Conv2d(into, width, 3, padding=1)
            layers.append(first if level == 0 else nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False))
            layers += [TinyBlock(width) for _ in range(count)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, out, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Encode pixels [B, 3, H, W] in [-1, 1] to raw latents."""
        return self.layers(x.add(1).div(2))


class TinyDecoder(nn.Module):
    """Double the sides level by level."""

    def __init__(self, into: int, out: int, width: int, blocks: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(into, width, 3, padding=1), nn.ReLU()]
        for level, count in enumerate(blocks):
            last = level == len(blocks) - 1
            layers += [TinyBlock(width) for _ in range(count)]
            layers += [] if last else [nn.Upsample(scale_factor=2, mode="nearest")]
            layers.append(nn.Conv2d(width, out if last else width, 3, padding=1, bias=last))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Decode raw latents [B, C, h, w] to pixels, about [-1, 1]."""
        return self.layers(torch.tanh(x / 3) * 3).mul(2).sub(1)


class TinyBlock(nn.Module):
    """Three convolutions added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(width, width, 3, padding=1) for _ in range(3)]
        self.conv = nn.Sequential(convolutions[0], nn.ReLU(), convolutions[1], nn.ReLU(), convolutions[2])
        self.skip = nn.Identity()
        self.fuse = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Turn [B, C, h, w] into the same shape."""
        return self.fuse(self.conv(x) + self.skip(x))
