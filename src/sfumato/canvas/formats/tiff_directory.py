"""The directories of a BigTIFF: tags written, and read back with suspicion.

Knows bytes and tags, no pixels. Files are little-endian with offsets of 64 bits, whatever their size.
Source: TIFF 6.0 (Adobe 1992); the BigTIFF design (AWare Systems). Start reading at `Directory`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO

from sfumato.core.errors import DAMAGED_DO, RequestError

SIGNATURE = b"II\x2b\0"
# Byte order, version 43, bytes in an offset, a zero, then the place of the first directory.
HEADER_BYTES = 16
_FIRST_PLACE = 8
# A level more doubles the side: nobody's picture has this many, nor a directory this many tags.
_MOST_LEVELS, _MOST_TAGS = 40, 200
# Twice the longest request that there is, written as JSON inside JSON.
_LONGEST_TEXT_BYTES = 4 * 1024 * 1024


class Tag(IntEnum):
    """The tags in use, by their names in the specification."""

    NEW_SUBFILE_TYPE = 254
    IMAGE_WIDTH = 256
    IMAGE_LENGTH = 257
    BITS_PER_SAMPLE = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    IMAGE_DESCRIPTION = 270
    SAMPLES_PER_PIXEL = 277
    X_RESOLUTION = 282
    Y_RESOLUTION = 283
    PLANAR_CONFIGURATION = 284
    RESOLUTION_UNIT = 296
    SOFTWARE = 305
    PREDICTOR = 317
    TILE_WIDTH = 322
    TILE_LENGTH = 323
    TILE_OFFSETS = 324
    TILE_BYTE_COUNTS = 325
    YCBCR_SUBSAMPLING = 530


_TAGS = frozenset(int(tag) for tag in Tag)


@dataclass(frozen=True, slots=True)
class _Type:
    number: int
    letter: str

    @property
    def bytes_(self) -> int:
        return struct.calcsize(f"<{self.letter}")


_ASCII, _SHORT, _LONG, _LONG8 = _Type(2, "c"), _Type(3, "H"), _Type(4, "I"), _Type(16, "Q")
# A fraction is two numbers but counts once; as one number of 64 bits 1/1 is written by `ONE`.
_RATIONAL = _Type(5, "Q")
ONE = 1 | 1 << 32
_TYPES = {kind.number: kind for kind in (_ASCII, _SHORT, _LONG, _LONG8)}
_TYPE_OF = {
    Tag.IMAGE_WIDTH: _LONG,
    Tag.IMAGE_LENGTH: _LONG,
    Tag.NEW_SUBFILE_TYPE: _LONG,
    Tag.X_RESOLUTION: _RATIONAL,
    Tag.Y_RESOLUTION: _RATIONAL,
    Tag.TILE_OFFSETS: _LONG8,
    Tag.TILE_BYTE_COUNTS: _LONG8,
}
Directory = Mapping[Tag, tuple[int, ...] | bytes]


def write_directory(directory: Directory, at: int, *, last: bool) -> bytes:
    """Return a directory to be written at the place `at`; the next one follows right behind it, if any."""
    entries, beyond = b"", b""
    behind = at + 8 + 20 * len(directory) + 8
    for tag, value in sorted(directory.items()):
        kind = _ASCII if isinstance(value, bytes) else _TYPE_OF.get(tag, _SHORT)
        raw = value if isinstance(value, bytes) else struct.pack(f"<{len(value)}{kind.letter}", *value)
        entries += struct.pack("<HHQ", tag, kind.number, len(value))
        if len(raw) <= 8:
            entries += raw.ljust(8, b"\0")
        else:
            entries += struct.pack("<Q", behind + len(beyond))
            beyond += raw + bytes(-len(raw) % 8)
    following = 0 if last else behind + len(beyond)
    return struct.pack("<Q", len(directory)) + entries + struct.pack("<Q", following) + beyond


def write_header(first: int) -> bytes:
    """Return the first bytes of a file whose first directory is at the place `first`."""
    return SIGNATURE + struct.pack("<HHQ", 8, 0, first)


def read_directories(stream: BinaryIO) -> tuple[Directory, ...]:
    """Read every directory of a file; tags and types that are not ours are left out.

    Raises:
        RequestError: it is no BigTIFF, or it is damaged.
    """
    length = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES or head[:8] != write_header(0)[:8]:
        raise RequestError("the file is no BigTIFF of ours", do="Use a picture saved by sfumato.")
    found: list[Directory] = []
    (place,) = struct.unpack("<Q", head[_FIRST_PLACE:])
    while place and len(found) < _MOST_LEVELS:
        directory, place = _read_directory(stream, place, length)
        found.append(directory)
    if place or not found:
        got = "directories that do not end" if place else "no directory"
        raise RequestError("the TIFF is damaged", got=got, do=DAMAGED_DO)
    return tuple(found)


def _read_directory(stream: BinaryIO, place: int, length: int) -> tuple[Directory, int]:
    (count,) = struct.unpack("<Q", _read(stream, place, 8, length))
    if count > _MOST_TAGS:
        raise RequestError("the TIFF is damaged", got=f"{count} tags", do=DAMAGED_DO)
    raw = _read(stream, place + 8, 20 * count + 8, length)
    directory: dict[Tag, tuple[int, ...] | bytes] = {}
    for start in range(0, 20 * count, 20):
        number, kind, many = struct.unpack("<HHQ", raw[start : start + 12])
        if number in _TAGS and kind in _TYPES:
            # A reader needs these whole; their size is bounded by the file itself.
            directory[Tag(number)] = _read_value(stream, raw[start + 12 : start + 20], (_TYPES[kind], many), length)
    return directory, struct.unpack("<Q", raw[-8:])[0]


def _read_value(stream: BinaryIO, field: bytes, shape: tuple[_Type, int], length: int) -> tuple[int, ...] | bytes:
    kind, many = shape
    size = kind.bytes_ * many
    if kind is _ASCII and size > _LONGEST_TEXT_BYTES:
        raise RequestError("the TIFF holds too much text", got=f"{size} bytes", do=DAMAGED_DO)
    raw = field[:size] if size <= 8 else _read(stream, struct.unpack("<Q", field)[0], size, length)
    return raw if kind is _ASCII else struct.unpack(f"<{many}{kind.letter}", raw)


def _read(stream: BinaryIO, place: int, count: int, length: int) -> bytes:
    if place + count > length:
        raise RequestError("the TIFF is damaged", got=f"{count} bytes at {place}, beyond the end", do=DAMAGED_DO)
    stream.seek(place)
    return stream.read(count)
