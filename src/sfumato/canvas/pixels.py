"""The pixels of a canvas, uint8 RGB, in memory or in a file, behind one interface.

Knows boxes of pixels; no format, torch or latents. Start reading at `PixelStore`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.core.errors import StorageError
from sfumato.core.files import make_storage_error, reserve_file, write_atomic
from sfumato.core.geometry import PixelBox, PixelSize

Pixels = NDArray[np.uint8]
_RGB = 3
# Rows handed on at once; of a wide picture fewer, so that a band stays about this large.
BAND_ROWS, LEAST_BAND_ROWS, BAND_PX = 256, 16, 1 << 19
# Bytes read or written at once.
_MOST_BYTES = 1 << 28
# Bytes of rows that share a checksum, about.
_SUM_BYTES = 1 << 20


class PixelStore(Protocol):
    """A canvas of pixels. Boxes lie on the canvas; values are uint8 [height, width, 3]."""

    @property
    def size(self) -> PixelSize:
        """Return width and height in px."""
        ...

    def read(self, box: PixelBox) -> Pixels:
        """Return a copy of a box."""
        ...

    def write(self, box: PixelBox, values: Pixels) -> None:
        """Replace a box."""
        ...

    def flush(self) -> None:
        """Make everything written so far survive a power cut."""
        ...

    def close(self) -> None:
        """Let go of the memory or the file."""
        ...


class MemoryPixels:
    """Keep a canvas in memory."""

    def __init__(self, size: PixelSize, values: Pixels | None = None) -> None:
        """Start black, or with `values`."""
        self.size = size
        self._values: Pixels = np.zeros((*size.shape_hw, _RGB), np.uint8) if values is None else values

    def read(self, box: PixelBox) -> Pixels:
        """Return a copy of a box."""
        return self._values[box.slices_hw].copy()

    def write(self, box: PixelBox, values: Pixels) -> None:
        """Replace a box."""
        self._values[box.slices_hw] = values

    def flush(self) -> None:
        """Do nothing: there is nowhere to flush to."""

    def close(self) -> None:
        """Do nothing: the memory goes with the last reader."""


class FilePixels:
    """Keep a canvas in a file of plain rows; opened again it holds what was written.

    Behind the rows stands a checksum for each band of rows, 0 while the band is written to: a crash leaves
    such bands, and whoever goes on writes them again.
    """

    def __init__(self, path: Path, size: PixelSize) -> None:
        """Open the file.

        Raises:
            StorageError: there is no such file, or it has another length.
        """
        self.size, self.path = size, path
        try:
            self._handle = os.open(path, os.O_RDWR)
            found = os.fstat(self._handle).st_size
        except OSError as error:
            raise StorageError("the pixels cannot be opened", got=str(error)) from error
        self._band_rows, self._sums = _choose_sum_rows(size), np.zeros(_count_sums(size), np.uint32)
        self._dirty = np.zeros(len(self._sums), np.bool_)
        if found == _count_bytes(size):
            raw = os.pread(self._handle, self._sums.nbytes, size.area * _RGB)
            self._sums[:] = np.frombuffer(raw, "<u4")
        else:
            self.close()
            raise StorageError("the pixels are cut off", got=str(path))

    def read(self, box: PixelBox) -> Pixels:
        """Return a copy of a box."""
        found = np.empty((box.height, box.width, _RGB), np.uint8)
        for rows, place in self._list_runs(box):
            raw = os.pread(self._handle, found[rows].nbytes, place)
            found[rows] = np.frombuffer(raw, np.uint8).reshape(found[rows].shape)
        return found

    def write(self, box: PixelBox, values: Pixels) -> None:
        """Replace a box.

        Raises:
            StorageError: the disk refuses.
        """
        try:
            self._open_bands(box)
            for rows, place in self._list_runs(box):
                raw = memoryview(np.ascontiguousarray(values[rows]).tobytes())
                done = 0
                # A disk that fills up takes a part, and refuses only the next.
                while done < len(raw):
                    done += os.pwrite(self._handle, raw[done:], place + done)
        except OSError as error:
            raise make_storage_error(self.path, error) from error

    def flush(self) -> None:
        """Make everything written so far survive a power cut.

        Raises:
            StorageError: the disk refuses.
        """
        try:
            os.fsync(self._handle)
            if self._dirty.any():
                for band in np.flatnonzero(self._dirty).tolist():
                    self._sums[band] = self._sum(band)
                self._dirty[:] = False
                self._write_sums()
        except OSError as error:
            raise make_storage_error(self.path, error) from error

    def check_bands(self) -> None:
        """Check every band against its checksum, but for those that a crash left half written.

        Raises:
            StorageError: a band is not what was flushed.
        """
        for band in np.flatnonzero(self._sums).tolist():
            if self._sum(band) != self._sums[band]:
                raise StorageError("the pixels are not what was written", got=f"rows from {band * self._band_rows} on")

    def _open_bands(self, box: PixelBox) -> None:
        """Mark the bands that a box touches as being written to, on the disk before the first byte of them changes."""
        bands = slice(box.top // self._band_rows, -(-box.bottom // self._band_rows))
        self._dirty[bands] = True
        if self._sums[bands].any():
            self._sums[bands] = 0
            self._write_sums()

    def _write_sums(self) -> None:
        os.pwrite(self._handle, self._sums.astype("<u4").tobytes(), self.size.area * _RGB)
        os.fsync(self._handle)

    def _sum(self, band: int) -> int:
        top = band * self._band_rows
        rows = min(self._band_rows, self.size.height - top)
        pitch = self.size.width * _RGB
        # 0 says that a band is being written to.
        return zlib.crc32(os.pread(self._handle, rows * pitch, top * pitch)) or 1

    def close(self) -> None:
        """Close the file; it stays."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _list_runs(self, box: PixelBox) -> Generator[tuple[slice, int]]:
        """Yield rows of a box that lie in one piece, and where: many at once, or one by one."""
        pitch = self.size.width * _RGB
        # The system reads no more than 2 GiB at once.
        step = max(1, _MOST_BYTES // pitch) if box.width == self.size.width else 1
        for row in range(0, box.height, step):
            yield slice(row, min(row + step, box.height)), (box.top + row) * pitch + box.left * _RGB


def create_pixels(path: Path, size: PixelSize) -> None:
    """Write the file of a black canvas, its room reserved; it appears whole or not at all.

    Raises:
        StorageError: the disk has no room for it, or refuses; nothing is left behind.
    """
    write_atomic(path, lambda stream: reserve_file(stream.fileno(), _count_bytes(size)))


def _choose_sum_rows(size: PixelSize) -> int:
    """Return how many rows share a checksum: about as many bytes as are read in a moment."""
    return max(1, _SUM_BYTES // (size.width * _RGB))


def _count_sums(size: PixelSize) -> int:
    return -(-size.height // _choose_sum_rows(size))


def _count_bytes(size: PixelSize) -> int:
    """Return the length of the file of a canvas: its rows, then a checksum of four bytes for each band."""
    return size.area * _RGB + 4 * _count_sums(size)


def choose_band_rows(width_px: int) -> int:
    """Return how many rows of a canvas are handed on at once."""
    return max(LEAST_BAND_ROWS, min(BAND_ROWS, BAND_PX // width_px))


def cut_bands(size: PixelSize) -> list[PixelBox]:
    """Return the bands of rows of a canvas, from top to bottom."""
    rows = choose_band_rows(size.width)
    return [PixelBox(0, top, size.width, min(top + rows, size.height)) for top in range(0, size.height, rows)]


def list_bands(store: PixelStore) -> Generator[Pixels]:
    """Yield a canvas in bands of rows, from top to bottom."""
    for band in cut_bands(store.size):
        yield store.read(band)


def count_grain(size: PixelSize, longest_px: int) -> int:
    """Return the side of the squares that are averaged so that no side has more than `longest_px`."""
    return -(-max(size.width, size.height) // longest_px)


def make_small(store: PixelStore, longest_px: int) -> Image.Image:
    """Return a canvas as a picture of at most `longest_px` a side, the mean of areas; the whole where it is small."""
    grain = count_grain(store.size, longest_px)
    rows = grain * max(1, choose_band_rows(store.size.width) // grain)
    size, parts = store.size, list[Pixels]()
    for top in range(0, size.height, rows):
        band = Image.fromarray(store.read(PixelBox(0, top, size.width, min(top + rows, size.height))))
        parts.append(np.asarray(band if grain == 1 else band.reduce(grain)))
    return Image.fromarray(np.concatenate(parts))
