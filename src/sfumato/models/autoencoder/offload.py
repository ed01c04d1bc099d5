"""Keep feature maps that do not fit in memory: in the memory of the host, else in a file.

The files have no name: the system removes them when the process ends, however it ends. Where the work is
to go on after that, they have one: see `CheckpointMaps`. Knows bytes and regions, no network. Start reading at `DiskOffload`.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sfumato.core.errors import LostWorkError, StorageError
from sfumato.models.autoencoder.estimate import find_offload_folder
from sfumato.nn.tiled import MemoryMapStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO

    from torch import Tensor

    from sfumato.nn.tiled import Extent, MapStore
    from sfumato.nn.tiled.regions import Region

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskOffload:
    """Open shelves for tiles computed on one device; up to `host_bytes` of them in the host's memory."""

    def __init__(self, device: torch.device, host_bytes: int = 0, folder: Path | None = None) -> None:
        self.device = device
        self.host_bytes = host_bytes
        self.folder = folder or find_offload_folder()
        self.in_memory: list[MemoryMapStore] = []

    def open(self, extent: Extent, dtype: torch.dtype) -> MapStore:
        """Open a shelf for a map.

        Raises:
            StorageError: the folder has no room for it.
        """
        # A closed shelf holds nothing.
        held = sum(shelf.whole.nbytes for shelf in self.in_memory)
        if held + extent.count * dtype.itemsize > self.host_bytes:
            return FileMapStore(extent, dtype, self.device, self.folder)
        shelf = MemoryMapStore.make(extent, dtype, self.device, torch.device("cpu"))
        self.in_memory.append(shelf)
        return shelf


@dataclass(frozen=True, slots=True)
class CheckpointMaps:
    """Keep the maps of one run in files of a folder, by number, until they are dropped. A leaf.

    A `tag` in their names tells copies of several times apart.
    """

    folder: Path
    device: torch.device
    tag: str = ""

    def open(self, one: int, extent: Extent, dtype: torch.dtype, left: frozenset[int] = frozenset()) -> MapStore:
        """Open the shelf of a map, as it was left where it is there.

        Raises:
            StorageError: the folder has no room for it.
            LostWorkError: it is among those that were `left`, and is not as it was.
        """
        if one in left and not self._is_whole(one, extent.count * dtype.itemsize):
            do = f"Remove the whole folder {self.folder} and start without `resume`."
            raise LostWorkError(
                "a file that the stopped render needs is lost", got=str(self.folder / self._name(one)), do=do
            )
        return FileMapStore(extent, dtype, self.device, self.folder, name=self._name(one))

    def drop(self, one: int) -> None:
        """Remove a map; nothing happens where there is none."""
        with suppress(OSError):
            (self.folder / self._name(one)).unlink(missing_ok=True)

    def has(self, one: int) -> bool:
        """Tell whether a map was left."""
        return (self.folder / self._name(one)).is_file()

    def has_room(self, needed: int) -> bool:
        """Tell whether the disk holds so many bytes more."""
        try:
            return shutil.disk_usage(self.folder).free >= needed
        except OSError:
            return False

    def _is_whole(self, one: int, size: int) -> bool:
        return self.has(one) and (self.folder / self._name(one)).stat().st_size == size

    def _name(self, one: int) -> str:
        return f"map-{one}{self.tag}.values"


def drop_maps(folder: Path, *, but: str | None = None) -> None:
    """Remove the maps that runs left in a folder, except those of a tag."""
    for path in folder.glob("map-*.values"):
        if but is None or path.name != f"map-{path.name[4:].partition('.')[0]}{but}.values":
            with suppress(OSError):
                path.unlink(missing_ok=True)


class FileMapStore:
    """Keep a feature map in a file, nameless or not, pixel by pixel, so that a tile of full rows is one run.

    The reading and writing is explicit: pages of a mapped file would count as memory of the process.
    """

    def __init__(
        self, extent: Extent, dtype: torch.dtype, device: torch.device, folder: Path, *, name: str | None = None
    ) -> None:
        """Make the file at its full size, so that a full disk is found out here; one of that name and size is taken up.

        Raises:
            StorageError: the folder cannot be written or has no room.
        """
        self.extent, self.dtype, self.device, self.folder = extent, dtype, device, folder
        self.pixel_bytes = extent.channels * dtype.itemsize
        try:
            self.named = name is not None
            self.file = _open_file(None if name is None else folder / name, folder, extent.count * dtype.itemsize)
        except OSError as error:
            raise self._explain(error) from error

    def read(self, region: Region) -> Tensor:
        """Return a region on the device that computes.

        Raises:
            StorageError: the file cannot be read.
        """
        shape = (region.rows.length, region.columns.length, self.extent.channels)
        tile = torch.empty(shape, dtype=self.dtype)
        self._move(region, tile, os.preadv)
        # The other way round the strides would say rows of channels, and convolutions add up in another order.
        return tile[None].permute(0, 3, 1, 2).to(self.device)

    def write(self, region: Region, tile: Tensor) -> None:
        """Put a tile at a region.

        Raises:
            StorageError: the disk is full or broken.
        """
        self._move(region, tile[0].permute(1, 2, 0).cpu().contiguous(), os.pwritev)

    def close(self) -> None:
        """Give the room back."""
        self.file.close()

    def _move(self, region: Region, tile: Tensor, how: Callable[[int, list[memoryview], int], int]) -> None:
        values: Any = tile.view(torch.uint8).numpy()
        buffer = memoryview(values).cast("B")
        try:
            for start, offset, count in self._list_runs(region):
                done = 0
                while done < count:
                    moved = how(self.file.fileno(), [buffer[start + done : start + count]], offset + done)
                    if not moved:
                        raise OSError(errno.EIO, "the file is shorter than it was made")
                    done += moved
        except OSError as error:
            raise self._explain(error) from error

    def _list_runs(self, region: Region) -> Iterator[tuple[int, int, int]]:
        """Yield (place in the tile, place in the file, bytes) of each run."""
        width, (rows, columns) = self.extent.width, (region.rows, region.columns)
        if columns.length == width:
            yield 0, rows.start * width * self.pixel_bytes, region.area * self.pixel_bytes
            return
        run = columns.length * self.pixel_bytes
        for index in range(rows.length):
            yield index * run, ((rows.start + index) * width + columns.start) * self.pixel_bytes, run

    def _explain(self, error: OSError) -> StorageError:
        needed = self.extent.count * self.dtype.itemsize / 2**30
        if error.errno in _FULL:
            what = f"{self.folder} has no room for {needed:.1f} GiB of a picture that does not fit in memory"
        else:
            what = f"the autoencoder cannot keep its work in {self.folder}"
        do = "Free some disk space." if self.named else "Set TMPDIR to a folder with more room, or free memory."
        return StorageError(what, got=str(error), do=do)


def _open_file(path: Path | None, folder: Path, size: int) -> FileIO:
    """Open a file of a size, or make it, nameless without a path; where the system can, take the disk blocks for it."""
    if path is None:
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - lives as long as the shelf
    elif path.exists() and path.stat().st_size == size:
        return path.open("r+b", buffering=0)
    else:
        file = path.open("w+b", buffering=0)
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except (OSError, AttributeError) as error:
        if getattr(error, "errno", None) in _FULL:
            file.close()
            raise
        os.ftruncate(file.fileno(), size)
    return file
