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
    XMP = 700
    ICC_PROFILE = 34675


_TAGS = frozenset(int(tag) for tag in Tag)


@dataclass(frozen=True, slots=True)
class _Type:
    number: int
    letter: str

    @property
    def bytes_(self) -> int:
        return struct.calcsize(f"<{self.letter}")


_BYTE, _ASCII, _SHORT, _LONG, _LONG8 = _Type(1, "c"), _Type(2, "c"), _Type(3, "H"), _Type(4, "I"), _Type(16, "Q")
# A fraction is two numbers but counts once; as one number of 64 bits 1/1 is written by `ONE`.
_RATIONAL = _Type(5, "Q")
ONE = 1 | 1 << 32
_UNDEFINED = _Type(7, "c")
_TYPES = {kind.number: kind for kind in (_ASCII, _SHORT, _LONG, _LONG8)}
_TYPE_OF = {
    Tag.IMAGE_WIDTH: _LONG,
    Tag.IMAGE_LENGTH: _LONG,
    Tag.NEW_SUBFILE_TYPE: _LONG,
    Tag.X_RESOLUTION: _RATIONAL,
    Tag.Y_RESOLUTION: _RATIONAL,
    Tag.TILE_OFFSETS: _LONG8,
    Tag.TILE_BYTE_COUNTS: _LONG8,
    Tag.ICC_PROFILE: _UNDEFINED,
    Tag.XMP: _BYTE,
}
Directory = Mapping[Tag, tuple[int, ...] | bytes]
# Values that are read where they are used, so that memory does not follow what a file claims.
_LONG_VALUES = (Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS, Tag.IMAGE_DESCRIPTION)
# Any other tag of a picture of ours has three numbers at most.
_MOST_NUMBERS = 16


@dataclass(frozen=True, slots=True)
class LongValue:
    """Name numbers or letters that stay in the file: the place of the first, how many there are, and their kind."""

    place: int
    count: int
    letter: str

    def read(self, stream: BinaryIO, index: int) -> int:
        """Return one number; the file was found to hold them all."""
        one = struct.Struct(f"<{self.letter}")
        stream.seek(self.place + index * one.size)
        return one.unpack(stream.read(one.size))[0]

    def read_text(self, stream: BinaryIO) -> bytes:
        """Return all letters.

        Raises:
            RequestError: there are more than the longest text of a picture of ours has.
        """
        if self.count > _LONGEST_TEXT_BYTES:
            raise RequestError("the TIFF holds too much text", got=f"{self.count} bytes", do=DAMAGED_DO)
        stream.seek(self.place)
        return stream.read(self.count)


@dataclass(frozen=True, slots=True)
class ReadDirectory:
    """Hold the tags of a directory as read: few numbers each, and where the long values stand."""

    tags: Mapping[Tag, tuple[int, ...]]
    long_values: Mapping[Tag, LongValue]


def write_directory(directory: Directory, at: int, *, last: bool) -> bytes:
    """Return a directory to be written at the place `at`; the next one follows right behind it, if any."""
    entries, beyond = b"", b""
    behind = at + 8 + 20 * len(directory) + 8
    for tag, value in sorted(directory.items()):
        kind = _TYPE_OF.get(tag, _ASCII if isinstance(value, bytes) else _SHORT)
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


def read_directories(stream: BinaryIO, *, most: int = _MOST_LEVELS) -> tuple[ReadDirectory, ...]:
    """Read the first `most` directories of a file; tags and types that are not ours are left out.

    Takes memory for a few numbers a directory, whatever the file claims.

    Raises:
        RequestError: it is no BigTIFF, or it is damaged.
    """
    length = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES or head[:8] != write_header(0)[:8]:
        raise RequestError("the file is no BigTIFF of ours", do="Use a picture saved by sfumato.")
    found: list[ReadDirectory] = []
    (place,) = struct.unpack("<Q", head[_FIRST_PLACE:])
    while place and len(found) < most:
        directory, place = _read_directory(stream, place, length)
        found.append(directory)
    if (place and most == _MOST_LEVELS) or not found:
        got = "directories that do not end" if place else "no directory"
        raise RequestError("the TIFF is damaged", got=got, do=DAMAGED_DO)
    return tuple(found)


def _read_directory(stream: BinaryIO, place: int, length: int) -> tuple[ReadDirectory, int]:
    (count,) = struct.unpack("<Q", _read(stream, place, 8, length))
    if count > _MOST_TAGS:
        raise RequestError("the TIFF is damaged", got=f"{count} tags", do=DAMAGED_DO)
    raw = _read(stream, place + 8, 20 * count + 8, length)
    tags: dict[Tag, tuple[int, ...]] = {}
    long_values: dict[Tag, LongValue] = {}
    for start in range(0, 20 * count, 20):
        number, kind, many = struct.unpack("<HHQ", raw[start : start + 12])
        if number not in _TAGS or kind not in _TYPES:
            continue
        tag, type_ = Tag(number), _TYPES[kind]
        value_place = place + 8 + start + 12
        if type_.bytes_ * many > 8:
            (value_place,) = struct.unpack("<Q", raw[start + 12 : start + 20])
        _check_inside(value_place, type_.bytes_ * many, length)
        if tag in _LONG_VALUES:
            if (type_ is _ASCII) == (tag is Tag.IMAGE_DESCRIPTION):
                long_values[tag] = LongValue(value_place, many, type_.letter)
        elif type_ is not _ASCII:
            tags[tag] = _read_numbers(stream, value_place, type_, many)
    return ReadDirectory(tags, long_values), struct.unpack("<Q", raw[-8:])[0]


def _read_numbers(stream: BinaryIO, place: int, type_: _Type, many: int) -> tuple[int, ...]:
    if many > _MOST_NUMBERS:
        raise RequestError("the TIFF is damaged", got=f"{many} numbers in one tag", do=DAMAGED_DO)
    stream.seek(place)
    return struct.unpack(f"<{many}{type_.letter}", stream.read(type_.bytes_ * many))


def _read(stream: BinaryIO, place: int, count: int, length: int) -> bytes:
    _check_inside(place, count, length)
    stream.seek(place)
    return stream.read(count)


def _check_inside(place: int, count: int, length: int) -> None:
    if place + count > length:
        raise RequestError("the TIFF is damaged", got=f"{count} bytes at {place}, beyond the end", do=DAMAGED_DO)
