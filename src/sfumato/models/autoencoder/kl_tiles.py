"""Run a KL autoencoder in tiles that equal the whole, in an amount of memory that the caller sets.

Knows bytes, devices and where maps go that do not fit; the arithmetic is in `nn.streamed`. Start
reading at `run_in_tiles`; `estimate.runs_whole` says what is not cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sfumato.core.errors import BudgetError
from sfumato.core.memory import give_back_memory
from sfumato.models.autoencoder.estimate import WORK_BYTES, find_offload_folder, measure_offload_bytes, measure_store
from sfumato.models.autoencoder.offload import CheckpointMaps, DiskOffload, drop_maps
from sfumato.models.autoencoder.offload_checkpoint import CheckpointCopies
from sfumato.models.hardware.policy import FREE_SHARE_CPU, measure_free_bytes
from sfumato.nn.tiled import Band, Checkpointer, MemoryLimits, MemoryMapStore, make_program, run_program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sfumato.nn.tiled import Extent, Layer, MapStore, Notes, Program, SourceSink
    from sfumato.nn.tiled.regions import Region

# What follows on the same disk for each pixel: three bytes as decoded, and three as finished.
_AFTER_PIXEL_BYTES = 6
# Devices whose maps may lie in files all the time. To others files are far; they copy their maps now and then.
_NEAR_FILES = ("cpu",)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoderCheckpoint:
    """Hold the notes of a run that is to be gone on with after a stop, and the folder of its own for its maps."""

    notes: Notes
    folder: Path | None = None


def run_in_tiles(
    layers: Sequence[Layer],
    start: Extent,
    ends: SourceSink,
    memory_bytes: int,
    *,
    window: Region | None = None,
    band: Band | None = None,
    kept: CoderCheckpoint | None = None,
) -> None:
    """Run layers over an input of an extent; write the output, or a window of it, in float32 tiles.

    Equal to the whole up to the order of additions, and the same bits whatever `memory_bytes` is: that decides
    only where the maps between two layers stay, in memory where it holds them, else in the host's memory
    or in nameless files. Neither input nor output is ever held whole. The tiles of the output come in the bands that are
    asked for. Where it is `kept`, the run goes on from its mark: on a CPU all maps are files of its folder, where the
    disk holds them and the pixels after them; on other devices they are copied there from time to time.

    Raises:
        BudgetError: less memory than one tile takes, or less disk than the maps take.
        StorageError: the disk filled up meanwhile.
    """
    program = make_program(layers, start)
    store = measure_store(memory_bytes)
    spill = DiskOffload(ends.device, _host_bytes(ends.device))
    keeper, copies = _find_keeper(kept, ends, program), None
    if keeper is None:
        storage = program.store(store, ends.dtype.itemsize)
        _check_disk(storage.spill_bytes - spill.host_bytes)
        copies = _find_copies(kept, ends, program, lambda one: one in storage.offloaded, spill)
        keeper = copies.keeper if copies else None
    mark = keeper.notes.checkpoint if keeper else None
    room = MemoryLimits(
        work_bytes=mark.work_bytes if mark else WORK_BYTES,
        store_bytes=store,
        open_offload=spill.open,
        # The next sweep has tiles of other sizes, which do not fit into the gaps of these: several hundred MiB otherwise.
        tidy=give_back_memory,
        band=band or Band(),
        checkpointer=keeper,
    )
    run_program(program, ends, room, window)
    if copies is not None:
        copies.finish()


def check_free(needed_bytes: int, device: torch.device) -> None:
    """Check that what is to run in one go does not take more than there is.

    Raises:
        BudgetError: it does.
    """
    free = measure_free_bytes(device)
    if needed_bytes > free:
        raise BudgetError(
            f"the autoencoder needs {needed_bytes / 2**20:.0f} MiB for this size",
            got=f"{free / 2**20:.0f} MiB free",
            do="Free memory and try again; with a smaller `budget_gb` it is begun in tiles.",
        )


def _find_keeper(kept: CoderCheckpoint | None, ends: SourceSink, program: Program) -> Checkpointer | None:
    """Return who keeps all maps of a run in files, None where they would not outlive it or files are far."""
    if kept is None or kept.folder is None or ends.device.type not in _NEAR_FILES:
        return None
    maps = CheckpointMaps(kept.folder, ends.device)
    if kept.notes.checkpoint is None:
        # What a run left whose marks are lost takes the room of this one.
        drop_maps(kept.folder)
        if not maps.has_room(program.store(0, ends.dtype.itemsize).spill_bytes + _count_after(program)):
            return None
    return Checkpointer(notes=kept.notes, open_map=maps.open, drop_map=maps.drop)


def _find_copies(
    kept: CoderCheckpoint | None,
    ends: SourceSink,
    program: Program,
    is_spilled: Callable[[int], bool],
    spill: DiskOffload,
) -> CheckpointCopies | None:
    """Return who copies the maps of a run to files, where those are far."""
    if kept is None or kept.folder is None or ends.device.type in _NEAR_FILES:
        return None

    def lay(one: int, extent: Extent, dtype: torch.dtype) -> MapStore:
        if is_spilled(one):
            return spill.open(extent, dtype)
        return MemoryMapStore.make(extent, dtype, ends.device, ends.device)

    return CheckpointCopies(kept.folder, kept.notes, lay, device=ends.device, spare_bytes=_count_after(program))


def _count_after(program: Program) -> int:
    """Count the bytes of pixels that follow on the same disk."""
    return _AFTER_PIXEL_BYTES * max(extent.height * extent.width for extent in program.maps)


def _host_bytes(device: torch.device) -> int:
    if device.type == "cpu":
        return 0
    return int(measure_free_bytes(torch.device("cpu")) * FREE_SHARE_CPU)


def _check_disk(needed: int) -> None:
    free = measure_offload_bytes()
    if needed > free:
        raise BudgetError(
            f"the autoencoder needs {needed / 2**30:.1f} GiB of disk in {find_offload_folder()} for this size",
            got=f"{free / 2**30:.1f} GiB free",
            do="Set TMPDIR to a folder with more room, free memory, or use a tiny autoencoder with `vae`.",
        )
