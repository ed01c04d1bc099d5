"""Encode and decode pictures of any size, in bounded memory, from any source and to any place.

Knows the two kinds of autoencoder (KL and tiny) and bytes; no canvas, sampler or file. A tiny
autoencoder has no layer that looks at the whole picture, so tiles with the margin that its layers
read give exactly the whole. A KL autoencoder normalises over the whole picture: it is run whole
where that is little, else layer by layer over tiles (`kl_tiles`). Start reading at
`TiledAutoencoder`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sfumato.core.errors import ModelError
from sfumato.core.geometry import LatentBox, LatentSize, PixelBox, PixelSize
from sfumato.models.autoencoder.estimate import (
    BAND_BYTES,
    STEP_PX,
    STRIP_CELLS,
    TILE_CELLS,
    estimate_kl_bytes,
    runs_whole,
)
from sfumato.models.autoencoder.kl_layers import list_decoder_layers, list_encoder_layers
from sfumato.models.autoencoder.kl_tiles import check_free, run_in_tiles
from sfumato.models.autoencoder.tiny_layers import list_tiny_decoder_layers, list_tiny_encoder_layers
from sfumato.models.hardware.policy import FREE_SHARE_CPU, FREE_SHARE_CUDA, measure_free_bytes
from sfumato.nn.tiled import Band, Extent, Pace, SourceSink, run_rows
from sfumato.nn.tiled.regions import Region, Span, cut_grid, cut_strips

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sfumato.models.autoencoder.kl_tiles import CoderCheckpoint
    from sfumato.models.contract import ModelContract
    from sfumato.models.hardware.policy import Policy
    from sfumato.nn.tiled.source_sink import Read, Write

    ReadCells = Callable[[LatentBox], Tensor]
    ReadPixels = Callable[[PixelBox], Tensor]

LEAST_BAND_CELLS = 8
_PIXEL_BYTES = 3 * 4


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
    coder = TiledAutoencoder(vae=vae, contract=contract, policy=policy, most_bytes=most_bytes)
    size = PixelSize(pixels.shape[-1], pixels.shape[-2])

    def encode_one(row: Tensor) -> Tensor:
        whole = _Whole(_to_region(size.to_latent(contract.factor).box))
        coder.encode(lambda box: row[(None, ..., *box.slices_hw)], size, whole.put)
        return whole.values

    return torch.cat([encode_one(row) for row in pixels])


def decode_latents(
    vae: Any, latents: Tensor, contract: ModelContract, policy: Policy, *, most_bytes: int | None = None
) -> Tensor:
    """Decode scaled latents [B, C, h, w] to pixels [B, 3, f*h, f*w] float32, about [-1, 1].

    `most_bytes` and Raises: as `encode_pixels`.
    """
    coder = TiledAutoencoder(vae=vae, contract=contract, policy=policy, most_bytes=most_bytes)
    return _decode_tensor(coder, latents, LatentBox(0, 0, latents.shape[-1], latents.shape[-2]))


def decode_box(
    vae: Any,
    latents: Tensor,
    box: LatentBox,
    contract: ModelContract,
    policy: Policy,
    *,
    most_bytes: int | None = None,
) -> Tensor:
    """Decode one box of scaled latents [B, C, h, w] as if the whole had been decoded.

    Returns [B, 3, f*box.height, f*box.width] float32. A tiny autoencoder costs the box and a margin.
    A KL one has to see the whole canvas to normalise: it costs the time of a decode of all of it
    for any box, and only the last layer is spared; ask for large boxes, or decode the whole once.

    Raises: as `decode_latents`.
    """
    coder = TiledAutoencoder(vae=vae, contract=contract, policy=policy, most_bytes=most_bytes)
    return _decode_tensor(coder, latents, box)


def _decode_tensor(coder: TiledAutoencoder, latents: Tensor, box: LatentBox) -> Tensor:
    size = LatentSize(latents.shape[-1], latents.shape[-2])

    def decode_one(row: Tensor) -> Tensor:
        whole = _Whole(_to_region(box.to_pixels(coder.contract.factor)))
        coder.decode(lambda part: row[(None, ..., *part.slices_hw)], size, box, whole.put)
        return whole.values

    return torch.cat([decode_one(row) for row in latents])


class _Whole:
    """Join tiles to one tensor."""

    def __init__(self, area: Region) -> None:
        self._area = area
        self.values = torch.empty(0)

    def put(self, region: Region, tile: Tensor) -> None:
        if region == self._area:
            self.values = tile
            return
        if not self.values.numel():
            area = self._area
            self.values = tile.new_empty((*tile.shape[:2], area.rows.length, area.columns.length))
        self.values[region.inside(self._area)] = tile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TiledAutoencoder:
    """Run a network over a canvas that need not be in memory. A leaf.

    `most_bytes` bounds the memory above the weights; without it a share of what is free does.
    """

    vae: Any
    contract: ModelContract
    policy: Policy
    most_bytes: int | None = None

    def decode_into(
        self,
        read: ReadCells,
        size: LatentSize,
        write: Callable[[PixelBox, Tensor], None],
        kept: CoderCheckpoint | None = None,
    ) -> None:
        """Decode a canvas; see `LatentModel.decode_into`."""

        def put(region: Region, tile: Tensor) -> None:
            write(PixelBox(*_list_sides(region)), tile)

        self.decode(read, size, size.box, put, kept)

    def encode_into(
        self,
        read: ReadPixels,
        size: PixelSize,
        write: Callable[[LatentBox, Tensor], None],
        kept: CoderCheckpoint | None = None,
    ) -> None:
        """Encode a picture; see `LatentModel.encode_into`."""
        self.encode(read, size, lambda region, tile: write(LatentBox(*_list_sides(region)), tile), kept)

    def decode(
        self,
        read: ReadCells,
        size: LatentSize,
        area: LatentBox,
        put: Write,
        kept: CoderCheckpoint | None = None,
    ) -> None:
        """Decode an area of a canvas of scaled latents into tiles of pixels, in reading order, on from where it is kept.

        Raises: as `decode_latents`.
        """
        factor = self.contract.factor
        height = choose_band_cells(size.width, factor)
        window = _to_region(area.to_pixels(factor))
        ends = self._make_ends(lambda region: self._unscale(read(LatentBox(*_list_sides(region)))), put)
        start = Extent(int(self.vae.config.latent_channels), size.height, size.width)
        if self.contract.autoencoder == "tiny":
            strips = cut_strips(window, STRIP_CELLS * factor, factor)
            pace = Pace(read_rows=choose_rows(strips[0].columns.length // factor, factor), grain=factor)
            run_rows(list_tiny_decoder_layers(self.vae), start, ends, strips, pace, notes=kept.notes if kept else None)
        elif not _is_begun(kept) and self._runs_whole(size):
            done = self.vae.decode(ends.read(start.region)).sample.float()
            for band in cut_grid(window, height * factor, window.columns.length):
                ends.write(band, done[(..., *_to_slices(band))])
        else:
            layers = list_decoder_layers(self.vae)
            band = Band(height * factor, grain=factor)
            run_in_tiles(layers, start, ends, self._measure_room(), window=window, band=band, kept=kept)

    def encode(self, read: ReadPixels, size: PixelSize, put: Write, kept: CoderCheckpoint | None = None) -> None:
        """Encode a picture into tiles of scaled latents, in reading order, on from where it is kept.

        Raises: as `encode_pixels`.
        """
        cells, half = size.to_latent(self.contract.factor), int(self.vae.config.latent_channels)

        def scale(region: Region, raw: Tensor) -> None:
            # The first half of the channels of a KL autoencoder is the mean, which is also the mode.
            put(region, (raw[:, :half] - self.contract.shift) * self.contract.scaling)

        ends = self._make_ends(lambda region: self._cast(read(PixelBox(*_list_sides(region)))), scale)
        start = Extent(int(self.vae.config.in_channels), size.height, size.width)
        if self.contract.autoencoder == "tiny":
            factor = self.contract.factor
            strips = cut_strips(_to_region(cells.box), STRIP_CELLS)
            pace = Pace(read_rows=choose_rows(strips[0].columns.length, factor) * factor)
            run_rows(list_tiny_encoder_layers(self.vae), start, ends, strips, pace, notes=kept.notes if kept else None)
        elif not _is_begun(kept) and self._runs_whole(cells):
            ends.write(_to_region(cells.box), self.vae.encode(ends.read(start.region)).latent_dist.mode().float())
        else:
            run_in_tiles(list_encoder_layers(self.vae), start, ends, self._measure_room(), kept=kept)

    def _make_ends(self, read: Read, put: Write) -> SourceSink:
        def check(region: Region, tile: Tensor) -> None:
            if not bool(torch.isfinite(tile.sum())):
                raise ModelError(
                    "the autoencoder gave numbers that are no picture", do="Try `dtype` fp32, or another `vae`."
                )
            put(region, tile)

        return SourceSink(read=read, write=check, dtype=self.policy.vae_dtype, device=self.policy.device)

    def _measure_room(self) -> int:
        """Return the bytes that may be used now."""
        share = FREE_SHARE_CUDA if self.policy.device_kind == "cuda" else FREE_SHARE_CPU
        free = int(measure_free_bytes(self.policy.device) * share)
        return free if self.most_bytes is None else min(free, self.most_bytes)

    def _runs_whole(self, size: LatentSize) -> bool:
        channels = tuple(self.vae.config.block_out_channels)
        needed = estimate_kl_bytes(channels, size, self.policy.vae_bytes, factor=self.contract.factor)
        if not runs_whole(needed, self.most_bytes, separate=self.policy.device_kind == "cuda"):
            return False
        check_free(needed, self.policy.device)
        return True

    def _unscale(self, latents: Tensor) -> Tensor:
        return self._cast(latents.to(self.policy.device) / self.contract.scaling + self.contract.shift)

    def _cast(self, x: Tensor) -> Tensor:
        return x.to(self.policy.device).to(self.policy.vae_dtype, memory_format=self.policy.memory_format)


def choose_rows(width_cells: int, factor: int) -> int:
    """Return how many rows of cells a tiny autoencoder works on at once in a strip of this width."""
    return max(1, STEP_PX // (width_cells * factor**2))


def choose_band_cells(width_cells: int, factor: int) -> int:
    """Return the height of the bands that a KL autoencoder decodes a canvas of this width in.

    Depends on the width alone, so every run of a canvas has the same bands.
    """
    height = TILE_CELLS
    while height > LEAST_BAND_CELLS and height * width_cells * factor**2 * _PIXEL_BYTES > BAND_BYTES:
        height //= 2
    return height


def _is_begun(kept: CoderCheckpoint | None) -> bool:
    """Tell whether an earlier run has cut its input into tiles; then this one has to."""
    return kept is not None and kept.notes.checkpoint is not None


def _to_region(box: LatentBox | PixelBox) -> Region:
    return Region(Span(box.top, box.bottom), Span(box.left, box.right))


def _list_sides(region: Region) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom, the order of boxes."""
    return (region.columns.start, region.rows.start, region.columns.stop, region.rows.stop)


def _to_slices(region: Region) -> tuple[slice, slice]:
    return (slice(region.rows.start, region.rows.stop), slice(region.columns.start, region.columns.stop))
