"""Run a KL autoencoder in tiles that equal the whole, in an amount of memory that the caller sets.

Knows bytes, devices and where maps go that do not fit; the arithmetic is in `nn.streamed`. Start
reading at `run_in_tiles`; `split_memory` is where the bytes go.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sfumato.core.errors import BudgetError
from sfumato.models.device import FREE_SHARE_CPU, measure_free_bytes
from sfumato.models.spill import KeptMaps, Spill, find_spill_folder, measure_spill_bytes
from sfumato.nn.streamed import Band, Keeper, Room, make_program, run_program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sfumato.core.geometry import LatentSize
    from sfumato.nn.streamed import Ends, Extent, Layer, Notes, Program
    from sfumato.nn.streamed.regions import Region

# What the library of convolutions takes whatever the size.
WORKSPACE_BYTES = 128 * 2**20
# One tile and all that is computed from it: below the first the margins cost too much, above the second nothing is won.
LEAST_WORK_BYTES = 64 * 2**20
MOST_WORK_BYTES = 128 * 2**20
# Tiles of several sizes in turn leave gaps in the heap: with 64 MiB of them at most, it grew by 219.
HEAP = 2
# The least that a KL autoencoder can be run in, whatever the picture.
LEAST_BYTES = WORKSPACE_BYTES + HEAP * LEAST_WORK_BYTES
# What follows on the same disk for each pixel: three bytes as decoded, and three as finished.
_AFTER_PIXEL_BYTES = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """Hold the notes of a run that is to be gone on with after a stop, and the folder of its own for its maps."""

    notes: Notes
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class TiledCost:
    """State the most bytes that a tiled run takes: of memory above the weights, and of disk."""

    memory_bytes: int
    disk_bytes: int


def run_in_tiles(
    layers: Sequence[Layer],
    start: Extent,
    ends: Ends,
    memory_bytes: int,
    *,
    window: Region | None = None,
    band: Band | None = None,
    kept: Kept | None = None,
) -> None:
    """Run layers over an input of an extent; write the output, or a window of it, in float32 tiles.

    Equal to the whole up to the order of additions. Neither input nor output is ever held whole. The maps
    between two layers stay in memory where `memory_bytes` holds them, else they go to the host's memory
    or to nameless files. The tiles of the output come in the bands that are asked for. Where it is `kept`, on a CPU, and
    the disk of its folder holds every map and the pixels after them, all maps go there, and the run goes on from its mark.

    Raises:
        BudgetError: less memory than one tile takes, or less disk than the maps take.
        StorageError: the disk filled up meanwhile.
    """
    program = make_program(layers, start)
    work, store = split_memory(memory_bytes)
    spill = Spill(ends.device, _host_bytes(ends.device))
    keeper = _find_keeper(kept, ends, program)
    if keeper is None:
        _check_disk(program.store(store, ends.dtype.itemsize).spill_bytes - spill.host_bytes)
    elif keeper.notes.mark is not None:
        work = keeper.notes.mark.work_bytes
    bounds = Room(
        work_bytes=work,
        store_bytes=store,
        open_spill=spill.open,
        tidy=_give_back,
        band=band or Band(),
        keeper=keeper,
    )
    run_program(program, ends, bounds, window)


def _find_keeper(kept: Kept | None, ends: Ends, program: Program) -> Keeper | None:
    """Return who keeps the maps of a run that is to be gone on with, None where they would not outlive it."""
    if kept is None or kept.folder is None or ends.device.type != "cpu":
        return None
    maps = KeptMaps(kept.folder, ends.device)
    if kept.notes.mark is None:
        # What a run left whose marks are lost takes the room of this one.
        for one in range(len(program.maps)):
            maps.drop(one)
        after = _AFTER_PIXEL_BYTES * max(extent.height * extent.width for extent in program.maps)
        if not maps.has_room(program.store(0, ends.dtype.itemsize).spill_bytes + after):
            return None
    return Keeper(notes=kept.notes, open_shelf=maps.open, drop_shelf=maps.drop)


def split_memory(memory_bytes: int) -> tuple[int, int]:
    """Split an amount of memory into (for one tile, for the maps kept between layers).

    Raises:
        BudgetError: it is less than one tile takes.
    """
    if memory_bytes < LEAST_BYTES:
        raise BudgetError(
            f"the autoencoder needs at least {LEAST_BYTES / 2**20:.0f} MiB, in tiles",
            got=f"{max(0, memory_bytes) / 2**20:.0f} MiB to use",
            do="Free memory, or use a tiny autoencoder with --vae.",
        )
    work = min(MOST_WORK_BYTES, max(LEAST_WORK_BYTES, (memory_bytes - WORKSPACE_BYTES) // 8))
    return work, memory_bytes - WORKSPACE_BYTES - HEAP * work


def estimate_tiled(
    channels: tuple[int, ...], size: LatentSize, dtype: torch.dtype, memory_bytes: int, *, factor: int = 8
) -> TiledCost:
    """Estimate what a decode or encode in tiles takes when it may use `memory_bytes`; for a plan.

    At full resolution a residual block holds its input and what it has computed so far, and the
    first one also the map before its upsampling.

    Raises: as `split_memory`.
    """
    work, store = split_memory(memory_bytes)
    wide = channels[min(1, len(channels) - 1)]
    maps = size.area * factor**2 * dtype.itemsize * (8 * channels[0] + wide) // 4
    if maps <= store:
        return TiledCost(WORKSPACE_BYTES + HEAP * work + maps, 0)
    return TiledCost(memory_bytes, maps)


def _give_back() -> None:
    """Give what the tiles of a sweep have left behind in the heap back to the system, where it is glibc's.

    The next sweep has tiles of other sizes, which do not fit into the gaps: several hundred MiB otherwise.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _host_bytes(device: torch.device) -> int:
    if device.type == "cpu":
        return 0
    return int(measure_free_bytes(torch.device("cpu")) * FREE_SHARE_CPU)


def _check_disk(needed: int) -> None:
    free = measure_spill_bytes()
    if needed > free:
        raise BudgetError(
            f"the autoencoder needs {needed / 2**30:.1f} GiB of disk in {find_spill_folder()} for this size",
            got=f"{free / 2**30:.1f} GiB free",
            do="Set TMPDIR to a folder with more room, free memory, or use a tiny autoencoder with --vae.",
        )
