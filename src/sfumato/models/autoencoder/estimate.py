"""What an autoencoder takes of memory and disk, from sizes alone, and where its maps go that do not fit: for plans.

Imports no torch; `kl_tiles` and `coder` do the work within these bounds. Start reading at `estimate_kl_bytes`, then
`estimate_tiled`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.core.errors import BudgetError

if TYPE_CHECKING:
    from sfumato.core.geometry import LatentSize

# What the library of convolutions takes whatever the size.
WORKSPACE_BYTES = 128 * 2**20
# One tile and all that is computed from it: with less the margins cost too much, twice as much wins next to nothing. The
# same however much memory there is: tiles of other sizes add up in another order, and the last bits would follow from that.
WORK_BYTES = 64 * 2**20
# Tiles of several sizes in turn leave gaps in the heap: with 64 MiB of them at most, it grew by 219.
HEAP = 2
# The least that a KL autoencoder can be run in, whatever the picture.
LEAST_BYTES = WORKSPACE_BYTES + HEAP * WORK_BYTES
# What takes so much in one go, or less, is not cut: the native size of SD 1.x. More would save no time on a CPU, and
# whatever was cut goes on after a stop.
WHOLE_BYTES = 2**30
# On a device with memory of its own, where a small tile keeps few of its cores busy: the native size of SDXL, twice over.
FAR_WHOLE_BYTES = 2**33
# Statistics of every normalisation in a mark, with the headers of their archive.
_STATISTICS_BYTES = 128 * 2**10
# A tiny autoencoder works on so many pixels at once, in rows of a strip: a map of 32 channels of them takes 3 MiB. Twice as
# many save a tenth of its time and take half as much memory again.
STEP_PX = 3 << 13
# The most rows and columns of cells that it walks without a break; what is noted for a stop lies between two strips. At an
# inner border a strip computes a margin anew, 17 cells on each side: of 1536 px that is a sixth of the work of encoding,
# less of decoding.
STRIP_CELLS = 192
# Rows of cells that a KL autoencoder hands out at once; of wider pictures fewer, so that a band stays below this.
TILE_CELLS = 64
BAND_BYTES = 32 * 2**20
# Often /tmp is memory itself; this folder is on a disk by its definition (Filesystem Hierarchy Standard 3.0, 5.15).
_DISK_FOLDER = Path("/var/tmp")  # noqa: S108 - files here never have a name


@dataclass(frozen=True, slots=True)
class TiledCost:
    """State the most bytes that a tiled run takes: of memory above the weights, and of disk."""

    memory_bytes: int
    disk_bytes: int


def runs_whole(needed_bytes: int, most_bytes: int | None, *, separate: bool = False) -> bool:
    """Tell whether what takes so much in one go is run so, where it was given `most_bytes`; `separate` is a GPU's memory.

    What is free at the moment has no say, or it would decide over the last bits of a picture.
    """
    limit = FAR_WHOLE_BYTES if separate else WHOLE_BYTES
    return needed_bytes <= limit and (most_bytes is None or needed_bytes <= most_bytes)


def estimate_kl_bytes(channels: tuple[int, ...], size: LatentSize, number_bytes: int, *, factor: int = 8) -> int:
    """Estimate the peak of a whole KL encode or decode above its weights.

    At full resolution the last level holds its input of twice the width, a normalised copy and the
    result of a convolution. A decoder of SD's size, fp32 on a CPU: 353 MiB measured at 256 px, 1033 at
    512 px; this says 352 and 1024.
    """
    wide = channels[min(1, len(channels) - 1)]
    pixels = size.area * factor * factor
    return WORKSPACE_BYTES + pixels * number_bytes * (2 * wide + 3 * channels[0])


def measure_store(memory_bytes: int) -> int:
    """Return what an amount of memory leaves for the maps kept between layers.

    Raises:
        BudgetError: it is less than one tile takes.
    """
    if memory_bytes < LEAST_BYTES:
        raise BudgetError(
            f"the autoencoder needs at least {LEAST_BYTES / 2**20:.0f} MiB, in tiles",
            got=f"{max(0, memory_bytes) / 2**20:.0f} MiB to use",
            do="Free memory and try again, or use a tiny autoencoder with `vae`.",
        )
    return memory_bytes - LEAST_BYTES


def estimate_tiled(
    channels: tuple[int, ...], size: LatentSize, number_bytes: int, memory_bytes: int, *, factor: int = 8
) -> TiledCost:
    """Estimate what a decode or encode in tiles takes when it may use `memory_bytes`; for a plan.

    At full resolution a residual block holds its input and what it has computed so far, and the
    first one also the map before its upsampling.

    Raises: as `measure_store`.
    """
    store = measure_store(memory_bytes)
    wide = channels[min(1, len(channels) - 1)]
    maps = size.area * factor**2 * number_bytes * (8 * channels[0] + wide) // 4
    if maps <= store:
        return TiledCost(LEAST_BYTES + maps, 0)
    return TiledCost(memory_bytes, maps)


def estimate_marks(channels: tuple[int, ...], size: LatentSize, number_bytes: int, *, factor: int = 8) -> int:
    """Estimate what the marks of a run that is kept take of disk: the last one, and the one before until it is replaced.

    A sweep that writes over what it reads notes its last tile, of which its convolution holds four times as much while it
    works. Where two tiles are more than a whole map, there is one.
    """
    whole = size.area * factor**2 * channels[0] * number_bytes
    return min(2 * WORK_BYTES // 4, whole) + 2 * _STATISTICS_BYTES


def find_offload_folder() -> Path:
    """Return where spilled maps go: TMPDIR where it is set, else a folder that is on a disk."""
    if "TMPDIR" not in os.environ and os.access(_DISK_FOLDER, os.W_OK):
        return _DISK_FOLDER
    return Path(tempfile.gettempdir())


def measure_offload_bytes(folder: Path | None = None) -> int:
    """Return the bytes free for spilled maps."""
    return shutil.disk_usage(folder or find_offload_folder()).free
