"""The latents of a canvas in a memory-mapped file that survives a crash as of its last flush.

Written bands go to the slot that is not valid (see `latent_layout`), so a crash between two flushes
loses what came after the first and harms nothing before it. Pages are let go as soon as many were
touched: resident memory does not grow with the canvas. One process at a time may write.
Start reading at `MappedLatents`.
"""

from __future__ import annotations

import mmap
import os
import shutil
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.latent_file import (
    PAGE_BYTES,
    BandTable,
    LatentLayout,
    find_table,
    make_table,
    read_header,
    write_header,
)
from sfumato.core.errors import StorageError
from sfumato.core.files import make_storage_error, reserve_file, write_atomic
from sfumato.core.geometry import LatentBox, LatentSize

Values = NDArray[np.float32]
# Mapped pages kept resident at most, besides one band.
_RESIDENT_BYTES = 1024 * 1024


def create_file(path: Path, size: LatentSize, channels: int) -> None:
    """Write the file of a canvas of zeros; its room is reserved, so a full disk shows here and not later.

    Raises:
        StorageError: the disk has no room for it, or refuses; nothing is left behind.
    """
    layout = LatentLayout(size, channels)

    def write(stream: BinaryIO) -> None:
        _check_free(path, layout.file_bytes)
        reserve_file(stream.fileno(), layout.file_bytes)
        stream.write(write_header(layout))
        stream.seek(layout.place_table(0))
        stream.write(make_table(layout).to_bytes())

    write_atomic(path, write)


class MappedLatents:
    """Keep a canvas in a file; see `LatentStore` for what each method promises."""

    def __init__(self, path: Path) -> None:
        """Map the file, with the values of its last flush.

        Raises:
            StorageError: there is no such file, or it is damaged.
        """
        self.path = path
        try:
            with path.open("r+b") as stream:
                self._layout = read_header(stream.read(PAGE_BYTES))
                if os.fstat(stream.fileno()).st_size != self._layout.file_bytes:
                    raise StorageError("the latents are cut off", got=str(path))
                self._map = mmap.mmap(stream.fileno(), self._layout.file_bytes)
        except OSError as error:
            raise StorageError("the latents cannot be opened", got=str(error)) from error
        self._table = self._read_table()
        self._dirty = np.zeros(self._layout.bands, np.bool_)
        # Whoever had the file before may have flushed for a crash of its own only.
        self._unsynced = np.ones(self._layout.bands, np.bool_)
        self._touched_bytes = 0

    @property
    def size(self) -> LatentSize:
        """Return width and height in cells."""
        return self._layout.size

    @property
    def flushes(self) -> int:
        """Count the flushes of the file so far."""
        return self._table.count

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        return self._layout.channels

    def read(self, box: LatentBox) -> Values:
        """Return a copy of a box."""
        found = np.empty((self.channels, box.height, box.width), np.float32)
        for band, rows, part in self._split(box):
            found[:, part] = self._view(band)[:, rows, box.left : box.right]
            self._rest()
        return found

    def write(self, box: LatentBox, values: Values) -> None:
        """Replace a box."""
        for band, rows, part in self._split(box):
            self._prepare(band)[:, rows, box.left : box.right] = values[:, part]
            self._rest()

    def add(self, box: LatentBox, values: Values) -> None:
        """Add to a box, cell by cell."""
        for band, rows, part in self._split(box):
            self._prepare(band)[:, rows, box.left : box.right] += values[:, part]
            self._rest()

    def flush(self, *, durable: bool = True) -> None:
        """Make everything written so far valid; where it is not `durable`, only a crash of this process may follow."""
        self._unsynced |= self._dirty
        if durable:
            for band in np.flatnonzero(self._unsynced).tolist():
                self._sync(self._layout.place_slot(band, int(self._table.slots[band])), self._layout.slot_bytes)
        if self._dirty.any():
            self._write_table()
        if durable and self._unsynced.any():
            # Also a table that an earlier flush left to the system.
            for which in (0, 1):
                self._sync(self._layout.place_table(which), self._layout.table_bytes)
            self._unsynced[:] = False

    def _write_table(self) -> None:
        self._table.count += 1
        for band in np.flatnonzero(self._dirty).tolist():
            self._table.sums[band] = self._sum(band)
        # The tables take turns: a torn one leaves the other.
        place, raw = self._layout.place_table((self._table.count - 1) % 2), self._table.to_bytes()
        self._map[place : place + len(raw)] = raw
        self._dirty[:] = False

    def close(self) -> None:
        """Flush and unmap; the file stays."""
        if not self._map.closed:
            self.flush()
            self._map.close()

    def check_bands(self, *, least_flushes: int = 0) -> None:
        """Check every band against its checksum.

        Raises:
            StorageError: a band is not what was flushed, or the file is older than `least_flushes` flushes.
        """
        if self._table.count < least_flushes:
            got = f"{self._table.count} of {least_flushes} flushes"
            raise StorageError("the table of the latents is damaged", got=got)
        for band in range(self._layout.bands):
            if self._sum(band) != self._table.sums[band]:
                got = f"rows from {band * self._layout.band_rows} on"
                raise StorageError("the latents are not what was written", got=got)

    def _sum(self, band: int) -> int:
        place = self._layout.place_slot(band, int(self._table.slots[band]))
        self._touched_bytes += self._layout.slot_bytes
        with memoryview(self._map) as whole, whole[place : place + self._layout.slot_bytes] as part:
            found = zlib.crc32(part)
        self._rest()
        return found

    def _read_table(self) -> BandTable:
        places = [self._layout.place_table(which) for which in (0, 1)]
        tables = [find_table(self._map[at : at + self._layout.table_bytes], self._layout.bands) for at in places]
        valid = [table for table in tables if table is not None]
        if not valid:
            raise StorageError("the latents are damaged", got=str(self.path))
        return max(valid, key=lambda table: table.count)

    def _split(self, box: LatentBox) -> Generator[tuple[int, slice, slice]]:
        """Yield each band of a box with the box's rows in it and the band's rows in the box."""
        assert self.size.box.contains(box), "a box of the engine lies on its canvas"
        rows = self._layout.band_rows
        for band in range(box.top // rows, -(-box.bottom // rows)):
            top, bottom = max(box.top, band * rows), min(box.bottom, (band + 1) * rows)
            yield band, slice(top - band * rows, bottom - band * rows), slice(top - box.top, bottom - box.top)

    def _view(self, band: int) -> Values:
        self._touched_bytes += self._layout.slot_bytes
        place = self._layout.place_slot(band, int(self._table.slots[band]))
        return np.ndarray(self._layout.band_shape, np.float32, self._map, place)

    def _prepare(self, band: int) -> Values:
        """Return the slot to write into: a copy of the valid one, made at the first write after a flush."""
        if self._dirty[band]:
            return self._view(band)
        valid = self._view(band)
        self._table.slots[band] = 1 - self._table.slots[band]
        self._dirty[band] = True
        fresh = self._view(band)
        fresh[...] = valid
        return fresh

    def _sync(self, place: int, count: int) -> None:
        start = place // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        try:
            self._map.flush(start, place + count - start)
        except OSError as error:
            raise make_storage_error(self.path, error) from error

    def _rest(self) -> None:
        if self._touched_bytes > _RESIDENT_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            # Of a shared file nothing is lost: changed pages stay with the file.
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched_bytes = 0


def _check_free(path: Path, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise StorageError(
            "the disk has no room for the latents of this canvas",
            got=f"{free / 1e6:,.1f} MB free, {needed / 1e6:,.1f} MB needed at {path.parent}",
            do="Free some disk space, use another disk, or ask for a smaller picture.",
        )
