"""How the file of a canvas of latents is laid out: a header, two tables, and two slots for each band.

A band is a number of rows of cells. A table says for each band which of its slots is valid; of the
two tables the valid one with the higher count holds. So a flush is one write of a table, and what
stood there before it is intact until then. A table also holds a checksum of each valid slot, so what rots
on the disk is noticed. Knows places and bytes, maps nothing.
Source: shadow paging, Lorie 1977. Start reading at `LatentLayout`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import StorageError
from sfumato.core.geometry import LatentSize

# Slots and tables start on pages, so that none is torn by what is written to its neighbour.
PAGE_BYTES = 4096
# A slot of a canvas of 16384 px has 1 MiB: copied in a moment, and few enough to list.
BAND_ROWS = 32
_MAGIC = b"sfumato latents 2"
_HEADER, _TABLE = struct.Struct("<17sIIII"), struct.Struct("<QI")
# Bytes of a checksum.
_SUM_BYTES = 4
# Beyond these a header is damage, not a canvas.
_LONGEST_SIDE, _MOST_CHANNELS = 2**20, 4096


@dataclass(frozen=True, slots=True)
class LatentLayout:
    """Places in the file, in bytes."""

    size: LatentSize
    channels: int
    band_rows: int = BAND_ROWS

    @property
    def bands(self) -> int:
        """Count the bands."""
        return -(-self.size.height // self.band_rows)

    @property
    def band_shape(self) -> tuple[int, int, int]:
        """Return the shape of a slot; of the last band's rows some lie below the canvas."""
        return (self.channels, self.band_rows, self.size.width)

    @property
    def slot_bytes(self) -> int:
        """Return the room of a slot."""
        return _round_up(self.channels * self.band_rows * self.size.width * 4)

    @property
    def table_bytes(self) -> int:
        """Return the room of a table."""
        return _round_up(_TABLE.size + self.bands * (1 + _SUM_BYTES))

    @property
    def file_bytes(self) -> int:
        """Return the length of the file."""
        return self.place_slot(self.bands, 0)

    def place_table(self, which: int) -> int:
        """Return where one of the two tables starts."""
        return PAGE_BYTES + which * self.table_bytes

    def place_slot(self, band: int, slot: int) -> int:
        """Return where a slot starts."""
        return self.place_table(2) + (2 * band + slot) * self.slot_bytes


def write_header(layout: LatentLayout) -> bytes:
    """Return the first bytes of a file."""
    head = _HEADER.pack(_MAGIC, layout.channels, layout.size.height, layout.size.width, layout.band_rows)
    return head + struct.pack("<I", zlib.crc32(head))


def read_header(raw: bytes) -> LatentLayout:
    """Read the first bytes of a file.

    Raises:
        StorageError: they are no header, or damaged.
    """
    head, check = raw[: _HEADER.size], raw[_HEADER.size : _HEADER.size + 4]
    if len(check) < 4 or not head.startswith(_MAGIC) or struct.unpack("<I", check)[0] != zlib.crc32(head):
        raise StorageError("the file holds no latents of this version")
    _, channels, height, width, rows = _HEADER.unpack(head)
    if not (0 < channels <= _MOST_CHANNELS and rows > 0 and 0 < max(height, width) <= _LONGEST_SIDE):
        raise StorageError("the header of the latents is damaged", got=(channels, height, width, rows))
    return LatentLayout(LatentSize(width, height), channels, rows)


@dataclass(eq=False, slots=True)
class BandTable:
    """Hold the count of flushes so far, and for each band its valid slot (uint8) and that slot's checksum (uint32)."""

    count: int
    slots: NDArray[np.uint8]
    sums: NDArray[np.uint32]

    def to_bytes(self) -> bytes:
        """Write the table, with a checksum of its own."""
        raw = self.slots.tobytes() + self.sums.astype("<u4").tobytes()
        return _TABLE.pack(self.count, zlib.crc32(raw, self.count & 0xFFFFFFFF)) + raw


def make_table(layout: LatentLayout) -> BandTable:
    """Return the table of a canvas of zeros."""
    zeros = zlib.crc32(bytes(layout.slot_bytes))
    return BandTable(1, np.zeros(layout.bands, np.uint8), np.full(layout.bands, zeros, np.uint32))


def find_table(raw: bytes, bands: int) -> BandTable | None:
    """Read a table, or return None where it is torn or was never written."""
    count, check = _TABLE.unpack(raw[: _TABLE.size])
    body = raw[_TABLE.size : _TABLE.size + bands * (1 + _SUM_BYTES)]
    if not count or check != zlib.crc32(body, count & 0xFFFFFFFF) or len(body) < bands * (1 + _SUM_BYTES):
        return None
    slots, sums = np.frombuffer(body[:bands], np.uint8), np.frombuffer(body[bands:], "<u4")
    return BandTable(count, slots.copy(), sums.astype(np.uint32)) if slots.max() <= 1 else None


def _round_up(count: int) -> int:
    return -(-count // PAGE_BYTES) * PAGE_BYTES
