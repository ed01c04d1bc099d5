"""Encode and decode pictures of any size that fits, in bounded memory.

Knows the two kinds of autoencoder (KL and tiny) and bytes; no canvas, sampler or file. A tiny
autoencoder has no layer that looks at the whole picture, so tiles with a margin of its dependency
radius give exactly the whole. A KL autoencoder normalises over the whole picture: it is run whole
where that fits, else layer by layer over tiles (`kl_tiles`). Start reading at `decode_latents`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sfumato.core.errors import ModelError
from sfumato.core.geometry import LatentBox, LatentSize, PixelBox
from sfumato.models.device import FREE_SHARE_CPU, FREE_SHARE_CUDA, measure_free_bytes
from sfumato.models.kl_layers import list_decoder_layers, list_encoder_layers
from sfumato.models.kl_tiles import WORKSPACE_BYTES, run_in_tiles
from sfumato.nn.streamed.regions import Region, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from sfumato.models.contract import ModelContract
    from sfumato.models.device import Policy

# Side of the tiles of a tiny autoencoder: 512 px, where the margin is a fifth of the work.
TILE_CELLS = 64


def encode_pixels(
    vae: Any, pixels: Tensor, contract: ModelContract, policy: Policy, *, most_bytes: int | None = None
) -> Tensor:
    """Encode [B, 3, H, W] float32 in [-1, 1] to scaled latents [B, C, H/f, W/f] float32.

    KL: the mean of the posterior, so the same picture always gives the same latents. Pictures are
    encoded one by one: a batch cannot change its members. `most_bytes` bounds the memory above the
    weights; without it a share of what is free does.

    Raises:
        BudgetError: less memory or disk is left than a KL autoencoder in tiles needs.
        StorageError: the disk filled up while a KL autoencoder ran in tiles.
        ModelError: the result is not finite.
    """
    room = _Room(contract, policy, most_bytes)
    rows = [_encode_one(vae, row[None], room) for row in pixels.to(policy.device)]
    latents = (torch.cat(rows) - contract.shift) * contract.scaling
    return _check_finite(latents, "encoding")


def decode_latents(
    vae: Any, latents: Tensor, contract: ModelContract, policy: Policy, *, most_bytes: int | None = None
) -> Tensor:
    """Decode scaled latents [B, C, h, w] to pixels [B, 3, f*h, f*w] float32, about [-1, 1].

    `most_bytes` and Raises: as `encode_pixels`.
    """
    room = _Room(contract, policy, most_bytes)
    raw = latents.to(policy.device) / contract.scaling + contract.shift
    return _check_finite(torch.cat([_decode_one(vae, row[None], room) for row in raw]), "decoding")


def decode_box(vae: Any, latents: Tensor, box: LatentBox, contract: ModelContract, policy: Policy) -> Tensor:
    """Decode one box of scaled latents [B, C, h, w] as if the whole had been decoded.

    Returns [B, 3, f*box.height, f*box.width] float32. A tiny autoencoder costs the box and a margin.
    A KL one has to see the whole canvas to normalise: it costs the time of a decode of all of it
    for any box, and only the last layer is spared; ask for large boxes, or decode the whole once.

    Raises: as `decode_latents`.
    """
    raw = latents.to(policy.device) / contract.scaling + contract.shift
    if contract.autoencoder == "tiny":
        tile = _run_tile(vae.decoder, raw, box, margin=measure_radius(vae.decoder), policy=policy)
        return _check_finite(tile, "decoding")
    room = _Room(contract, policy)
    window = box.to_pixels(contract.factor)
    return _check_finite(torch.cat([_decode_one(vae, row[None], room, window) for row in raw]), "decoding")


@dataclass(frozen=True, slots=True)
class _Room:
    """Hold how a model is run and how many bytes its autoencoder may take."""

    contract: ModelContract
    policy: Policy
    most_bytes: int | None = None

    def measure(self) -> int:
        """Return the bytes that may be used now: a share of what is free, and no more than was set."""
        share = FREE_SHARE_CUDA if self.policy.device.type == "cuda" else FREE_SHARE_CPU
        free = int(measure_free_bytes(self.policy.device) * share)
        return free if self.most_bytes is None else min(free, self.most_bytes)

    def holds_whole(self, vae: Any, size: LatentSize) -> bool:
        """Tell whether a KL autoencoder can run whole."""
        channels = tuple(vae.config.block_out_channels)
        return estimate_kl_bytes(channels, size, self.policy.vae_dtype, factor=self.contract.factor) <= self.measure()

    def cast(self, x: Tensor) -> Tensor:
        """Return a tensor in the number type and layout of the autoencoder."""
        return x.to(self.policy.vae_dtype, memory_format=self.policy.memory_format)


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


def _encode_one(vae: Any, pixels: Tensor, room: _Room) -> Tensor:
    height, width = pixels.shape[-2:]
    size = LatentSize(width // room.contract.factor, height // room.contract.factor)
    if room.contract.autoencoder == "tiny":
        return _run_tiles(vae.encoder, pixels, size, room.policy)
    if room.holds_whole(vae, size):
        return vae.encode(room.cast(pixels)).latent_dist.mode().float()
    parameters = run_in_tiles(list_encoder_layers(vae), room.cast(pixels), room.measure())
    # The first half of the channels is the mean, which is also the mode.
    return parameters.chunk(2, dim=1)[0]


def _decode_one(vae: Any, raw: Tensor, room: _Room, window: PixelBox | None = None) -> Tensor:
    size = LatentSize(raw.shape[-1], raw.shape[-2])
    if room.contract.autoencoder == "tiny":
        return _run_tiles(vae.decoder, raw, size, room.policy)
    window = window or size.to_pixels(room.contract.factor).box
    if room.holds_whole(vae, size):
        return vae.decode(room.cast(raw)).sample.float()[(..., *window.slices_hw)]
    region = Region(Span(window.top, window.bottom), Span(window.left, window.right))
    return run_in_tiles(list_decoder_layers(vae), room.cast(raw), room.measure(), region)


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
