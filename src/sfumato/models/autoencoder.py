"""Encode and decode pictures of any size that fits, in bounded memory.

Knows the two kinds of autoencoder (KL and tiny) and bytes; no canvas, sampler or file. A tiny
autoencoder has no layer that looks at the whole picture, so tiles with a margin of its dependency
radius give exactly the whole. A KL autoencoder normalises over the whole picture and is run whole
or not at all. Start reading at `decode_latents`; `measure_radius` is the key to the tiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sfumato.core.errors import BudgetError, ModelError
from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.models.device import FREE_SHARE_CPU, FREE_SHARE_CUDA, measure_free_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from sfumato.models.contract import ModelContract
    from sfumato.models.device import Policy

# Side of the tiles of a tiny autoencoder: 512 px, where the margin is a fifth of the work.
TILE_CELLS = 64
# What the library of convolutions takes whatever the size.
WORKSPACE_BYTES = 128 * 2**20


def encode_pixels(vae: Any, pixels: Tensor, contract: ModelContract, policy: Policy) -> Tensor:
    """Encode [B, 3, H, W] float32 in [-1, 1] to scaled latents [B, C, H/f, W/f] float32.

    KL: the mean of the posterior, so the same picture always gives the same latents. Pictures are
    encoded one by one: a batch cannot change its members.

    Raises:
        BudgetError: a KL autoencoder would need more memory than is free.
        ModelError: the result is not finite.
    """
    rows = [_encode_one(vae, row[None], contract, policy) for row in pixels.to(policy.device)]
    latents = (torch.cat(rows) - contract.shift) * contract.scaling
    return _check_finite(latents, "encoding")


def decode_latents(vae: Any, latents: Tensor, contract: ModelContract, policy: Policy) -> Tensor:
    """Decode scaled latents [B, C, h, w] to pixels [B, 3, f*h, f*w] float32, about [-1, 1].

    Raises: as `encode_pixels`.
    """
    raw = latents.to(policy.device) / contract.scaling + contract.shift
    return _check_finite(torch.cat([_decode_one(vae, row[None], contract, policy) for row in raw]), "decoding")


def decode_box(vae: Any, latents: Tensor, box: LatentBox, contract: ModelContract, policy: Policy) -> Tensor:
    """Decode one box of scaled latents [B, C, h, w] as if the whole had been decoded (tiny only).

    Returns [B, 3, f*box.height, f*box.width] float32; costs the box and a margin, not the canvas.
    """
    assert contract.autoencoder == "tiny", "a KL autoencoder looks at the whole canvas"
    raw = latents / contract.scaling + contract.shift
    return _check_finite(
        _run_tile(vae.decoder, raw, box, margin=measure_radius(vae.decoder), policy=policy), "decoding"
    )


def measure_radius(part: nn.Module) -> int:
    """Return how many latent cells around its own each output of a tiny encoder or decoder reads.

    Walks the layers from the output back to the input.
    """
    layers = part.layers
    assert isinstance(layers, nn.Sequential), "a tiny autoencoder is one sequence of layers"
    reach, cell = 0, 1
    for layer in reversed(layers):
        if isinstance(layer, nn.Upsample):
            reach = -(-reach // int(layer.scale_factor))  # pyright: ignore[reportArgumentType]
            continue
        for conv in reversed([inner for inner in layer.modules() if isinstance(inner, nn.Conv2d)]):
            stride, width = int(conv.stride[0]), int(conv.kernel_size[0])
            reach = reach * stride + width // 2
            cell *= stride
    return -(-reach // cell)


def estimate_kl_bytes(channels: tuple[int, ...], size: LatentSize, dtype: torch.dtype, *, factor: int = 8) -> int:
    """Estimate the peak of a whole KL encode or decode above its weights.

    At full resolution the last level holds its input of twice the width, a normalised copy and the
    result of a convolution. A decoder of SD's size, fp32 on a CPU: 353 MiB measured at 256 px, 1033 at
    512 px; this says 352 and 1024.
    """
    wide = channels[min(1, len(channels) - 1)]
    pixels = size.area * factor * factor
    return WORKSPACE_BYTES + pixels * dtype.itemsize * (2 * wide + 3 * channels[0])


def _encode_one(vae: Any, pixels: Tensor, contract: ModelContract, policy: Policy) -> Tensor:
    height, width = pixels.shape[-2:]
    size = LatentSize(width // contract.factor, height // contract.factor)
    if contract.autoencoder == "tiny":
        return _run_tiles(vae.encoder, pixels, size, policy)
    _check_budget(vae, size, contract, policy)
    pixels = pixels.to(policy.vae_dtype, memory_format=policy.memory_format)
    return vae.encode(pixels).latent_dist.mode().float()


def _decode_one(vae: Any, raw: Tensor, contract: ModelContract, policy: Policy) -> Tensor:
    size = LatentSize(raw.shape[-1], raw.shape[-2])
    if contract.autoencoder == "tiny":
        return _run_tiles(vae.decoder, raw, size, policy)
    _check_budget(vae, size, contract, policy)
    return vae.decode(raw.to(policy.vae_dtype, memory_format=policy.memory_format)).sample.float()


def _check_budget(vae: Any, size: LatentSize, contract: ModelContract, policy: Policy) -> None:
    channels = tuple(vae.config.block_out_channels)
    needed = estimate_kl_bytes(channels, size, policy.vae_dtype, factor=contract.factor)
    share = FREE_SHARE_CUDA if policy.device.type == "cuda" else FREE_SHARE_CPU
    free = int(measure_free_bytes(policy.device) * share)
    if needed > free:
        raise BudgetError(
            f"the autoencoder needs about {needed / 2**30:.1f} GiB for {size.to_pixels(contract.factor)} pixels",
            got=f"{free / 2**30:.1f} GiB to use",
            do="Make the picture smaller, free memory, or use a tiny autoencoder with --vae.",
        )


def _run_tiles(part: nn.Module, whole: Tensor, size: LatentSize, policy: Policy) -> Tensor:
    margin = measure_radius(part)
    out: Tensor | None = None
    for box in _cut(size):
        tile = _run_tile(part, whole, box, margin=margin, policy=policy)
        if box == size.box:
            return tile
        grain = tile.shape[-1] // box.width
        if out is None:
            out = tile.new_empty((1, tile.shape[1], size.height * grain, size.width * grain))
        rows, columns = box.to_pixels(grain).slices_hw
        out[..., rows, columns] = tile
    assert out is not None, "a size has at least one tile"
    return out


def _run_tile(part: nn.Module, whole: Tensor, box: LatentBox, *, margin: int, policy: Policy) -> Tensor:
    """Run one tile with its margin and cut the margin off; encoder and decoder alike."""
    canvas_width = whole.shape[-1]
    grain_in = 1 if _is_decoder(part) else _stride(part)
    size = LatentSize(canvas_width // grain_in, whole.shape[-2] // grain_in)
    # At the canvas edge the tile's own zero padding is the whole's; inside, the margin shields it.
    wide = box.grow(margin).clip(size)
    rows, columns = wide.to_pixels(grain_in).slices_hw
    piece = whole[..., rows, columns].to(policy.vae_dtype, memory_format=policy.memory_format)
    done = part(piece)
    grain_out = done.shape[-1] // wide.width
    rows, columns = box.shift(-wide.left, -wide.top).to_pixels(grain_out).slices_hw
    return done[..., rows, columns].float()


def _cut(size: LatentSize) -> Iterator[LatentBox]:
    for top in range(0, size.height, TILE_CELLS):
        for left in range(0, size.width, TILE_CELLS):
            yield LatentBox(left, top, min(left + TILE_CELLS, size.width), min(top + TILE_CELLS, size.height))


def _is_decoder(part: nn.Module) -> bool:
    return any(isinstance(layer, nn.Upsample) for layer in part.modules())


def _stride(part: nn.Module) -> int:
    steps = 1
    for layer in part.modules():
        if isinstance(layer, nn.Conv2d):
            steps *= int(layer.stride[0])
    return steps


def _check_finite(values: Tensor, doing: str) -> Tensor:
    if not bool(torch.isfinite(values.sum())):
        raise ModelError(f"{doing} gave numbers that are no picture", do="Try --dtype fp32, or another --vae.")
    return values
