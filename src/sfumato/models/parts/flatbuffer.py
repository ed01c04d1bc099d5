"""Read a flatbuffer without trusting it: tables, their fields by number, vectors, text.

Knows the wire format, not what the fields mean; every offset is checked against the length of the file. Only used
while a part is converted. Start reading at `open_root`.

Source: "FlatBuffers internals": a table starts with a signed distance back to its vtable; the vtable lists, after its
own length and the table's, where in the table each field lies, 0 for absent.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import UnsafeFileError

_FORMATS = {"int8": "<b", "uint8": "<B", "int32": "<i", "uint32": "<I", "float32": "<f", "bool": "<?"}


@dataclass(frozen=True, slots=True)
class FlatTable:
    """Hold a table of a flatbuffer: the whole buffer and where the table starts."""

    raw: bytes
    at: int

    def read_number(self, field: int, kind: str, default: float = 0) -> int:
        """Return the number in a field, the default where the field is absent."""
        place = self._find(field)
        return int(default) if place is None else _unpack(self.raw, place, _FORMATS[kind])

    def read_table(self, field: int) -> FlatTable | None:
        """Return the table that a field refers to."""
        place = self._find(field)
        return None if place is None else FlatTable(self.raw, _follow(self.raw, place))

    def list_tables(self, field: int) -> list[FlatTable]:
        """Return the tables of a vector."""
        start, count = self._find_vector(field, 4)
        return [FlatTable(self.raw, _follow(self.raw, start + 4 * number)) for number in range(count)]

    def read_array(self, field: int, dtype: str) -> NDArray[np.generic]:
        """Return a vector of numbers; empty where the field is absent."""
        kind = np.dtype(dtype).newbyteorder("<")
        start, count = self._find_vector(field, kind.itemsize)
        return np.frombuffer(self.raw, kind, count, start)

    def list_ints(self, field: int) -> list[int]:
        """Return a vector of int32 as a list."""
        return [int(value) for value in self.read_array(field, "int32")]

    def _find(self, field: int) -> int | None:
        """Return where a field lies, None where it is absent."""
        vtable = self.at - _unpack(self.raw, self.at, "<i")
        length = _unpack(self.raw, vtable, "<H")
        slot = 4 + 2 * field
        if slot + 2 > length:
            return None
        distance = _unpack(self.raw, vtable + slot, "<H")
        return self.at + distance if distance else None

    def _find_vector(self, field: int, item_bytes: int) -> tuple[int, int]:
        place = self._find(field)
        if place is None:
            return 0, 0
        start = _follow(self.raw, place)
        count = _unpack(self.raw, start, "<I")
        if start + 4 + count * item_bytes > len(self.raw):
            raise _refuse(start)
        return start + 4, count


def open_root(raw: bytes, identifier: bytes) -> FlatTable:
    """Return the root table of a buffer.

    Raises:
        UnsafeFileError: the buffer has another identifier, or an offset leads out of it.
    """
    if raw[4:8] != identifier:
        raise UnsafeFileError("the file is of another kind than expected", got=raw[4:8])
    return FlatTable(raw, _follow(raw, 0))


def _follow(raw: bytes, place: int) -> int:
    return place + _unpack(raw, place, "<I")


def _unpack(raw: bytes, place: int, form: str) -> int:
    if place < 0 or place + struct.calcsize(form) > len(raw):
        raise _refuse(place)
    return struct.unpack_from(form, raw, place)[0]


def _refuse(place: int) -> UnsafeFileError:
    return UnsafeFileError("the file is damaged: an offset leads out of it", got=place)
