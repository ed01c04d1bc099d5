"""What an autoencoder takes of memory and disk for one picture: whole, in rows, or in tiles with maps in memory or on disk.

Pure arithmetic; decides from sizes what `models.autoencoder` and `models.kl_tiles` decide from the same sizes when they
run. Asks no budget whether it fits. Start reading at `find_coding_cost`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sfumato.models.autoencoder.coder import estimate_kl_bytes
from sfumato.models.autoencoder.kl_tiles import LEAST_BYTES, estimate_marks, estimate_tiled, runs_whole
from sfumato.render.plan.budget import count_held_pixels, find_footprint

if TYPE_CHECKING:
    from sfumato.core.geometry import PixelSize
    from sfumato.models.contract import ModelContract
    from sfumato.render.plan.budget import Budget


@dataclass(frozen=True, kw_only=True)
class CodingCost:
    """State what a picture takes: memory above what stands, and disk for the maps between the layers.

    `spill_bytes` has to be found somewhere, since memory does not hold the maps; `map_bytes` is what lies beside
    the picture, so that a stopped run goes on, `mark_bytes` what says in the journal how far it is, and `unkept_bytes` what
    would lie there if there were room. It `is_short` where it is
    cut although it is little, for want of memory: other last bits.
    """

    memory_bytes: int
    spill_bytes: int = 0
    map_bytes: int = 0
    mark_bytes: int = 0
    unkept_bytes: int = 0
    is_short: bool = False


@dataclass(frozen=True, kw_only=True)
class Rooms:
    """State what is left for an autoencoder: bytes of memory, and of disk for maps beside the picture; None is any amount."""

    memory_bytes: int
    beside_bytes: int | None = 0


def find_coding_cost(
    contract: ModelContract, budget: Budget, coded: PixelSize, rooms: Rooms, *, encodes: bool = True
) -> CodingCost:
    """Return what decoding a picture takes, and encoding one, in the room that is left.

    A tiny autoencoder works on so many pixels at once. A KL one is run whole where that is little and fits, else in
    tiles: all maps go beside the picture where there is room for them, and then memory holds a tile; if not, memory
    holds what it can. A minimum may be more than is left.
    """
    if contract.autoencoder == "tiny":
        footprint = find_footprint(contract, budget)
        each = max(footprint.decode_pixel, footprint.encode_pixel if encodes else 0)
        return CodingCost(memory_bytes=footprint.tile + each * count_held_pixels(coded))
    channels, cells, factor = contract.autoencoder_channels, coded.to_latent(contract.factor), contract.factor
    whole = estimate_kl_bytes(channels, cells, torch.float32, factor=factor)
    if runs_whole(whole, rooms.memory_bytes, separate=budget.separate):
        return CodingCost(memory_bytes=whole)
    most = max(rooms.memory_bytes, LEAST_BYTES)
    least, tiled = (estimate_tiled(channels, cells, torch.float32, most, factor=factor) for most in (LEAST_BYTES, most))
    maps, spill, is_short = least.disk_bytes, tiled.disk_bytes, runs_whole(whole, None, separate=budget.separate)
    if rooms.beside_bytes is not None and maps > rooms.beside_bytes:
        return CodingCost(memory_bytes=tiled.memory_bytes, spill_bytes=spill, unkept_bytes=maps, is_short=is_short)
    marks = estimate_marks(channels, cells, torch.float32, factor=factor)
    return CodingCost(
        memory_bytes=least.memory_bytes, spill_bytes=spill, map_bytes=maps, mark_bytes=marks, is_short=is_short
    )
