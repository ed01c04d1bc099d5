"""KL autoencoders with random weights whose normalisations matter.

A fresh network's norms are the identity map and its biases are small, so that wrong statistics would
hardly show. Here each channel is scaled and shifted at random, as in a trained one.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL

from sfumato.nn.tiled import Extent, SourceSink, make_program, run_program
from sfumato.nn.tiled.regions import Region, Span

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


class Sheet:
    """Take tiles [1, C, h, w] of an area in any order; `values` is the area, NaN where no tile came."""

    def __init__(self, area: Region, channels: int) -> None:
        self.area = area
        self.values = torch.full((1, channels, area.rows.length, area.columns.length), float("nan"))
        self.regions: list[Region] = []

    def write(self, region: Region, tile: torch.Tensor) -> None:
        self.regions.append(region)
        self.values[region.inside(self.area)] = tile


def make_ends(x: torch.Tensor, sheet: Sheet) -> SourceSink:
    """Make ends that read a tensor [1, C, H, W] and write to a sheet."""
    whole = Region(Span(0, x.shape[-2]), Span(0, x.shape[-1]))
    return SourceSink(read=lambda region: x[region.inside(whole)], write=sheet.write, dtype=x.dtype, device=x.device)


def run_streamed(layers, x: torch.Tensor, room, window: Region | None = None) -> torch.Tensor:
    """Run layers over a tensor in tiles; return the output, or a window of it, as one tensor."""
    program = make_program(layers, Extent(*x.shape[1:]))
    sheet = Sheet(window or program.output.region, program.output.channels)
    run_program(program, make_ends(x, sheet), room, window)
    return sheet.values
