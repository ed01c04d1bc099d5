"""Read boxes of an 8-bit colour PNG without holding the picture: rows are unpacked in bands.

PNG has no places to jump to, so a box costs the time of every row above its end. Start reading at
`PngRegions`.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from sfumato.canvas.formats.colour_profile import make_rows_conversion
from sfumato.canvas.formats.png_write import SIGNATURE, write_chunk, write_header
from sfumato.core.errors import DAMAGED_DO, RequestError
from sfumato.core.files import open_regular
from sfumato.core.geometry import PixelBox, PixelSize

# Compressed bytes read at once, and bytes of rows unpacked at once.
_READ_BYTES, _BAND_BYTES = 1024 * 1024, 2 * 1024 * 1024
# A row is held whole; the longest there is in a request of ours.
_LONGEST_ROW_PX = 1_000_000
# Profiles of printers, the largest there are, have about 2 MB.
_LONGEST_PROFILE_BYTES = 4 * 1024 * 1024
# Signature, length, name, size, kinds and checksum of the first chunk.
_HEAD_BYTES = 33


class PngRegions:
    """Serve boxes of a PNG."""

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            RequestError: no such file, a PNG of another kind, or a colour profile that cannot be used.
        """
        self._path = path
        with open_regular(path, what="the picture") as stream:
            head = stream.read(_HEAD_BYTES)
        if len(head) < _HEAD_BYTES or not head.startswith(SIGNATURE):
            raise RequestError("the picture is no PNG", got=str(path))
        self._convert = _find_conversion(path)
        self._size = PixelSize(*struct.unpack(">II", head[16:24]))
        if head != write_header(self._size) or self._size.width > _LONGEST_ROW_PX:
            raise RequestError("parts are read from 8-bit colour PNG", got=str(path), do="Open the whole picture.")

    @property
    def sizes(self) -> tuple[PixelSize, ...]:
        """Return the size of the one level."""
        return (self._size,)

    def read(self, box: PixelBox, level: int = 0) -> NDArray[np.uint8]:
        """Return uint8 [height, width, 3] of a box.

        Raises:
            RequestError: the file is damaged.
        """
        assert level == 0, "a PNG has one level"
        found = np.empty((box.height, box.width, 3), np.uint8)
        top = 0
        for band in self.walk():
            first, last = max(top, box.top), min(top + len(band), box.bottom)
            if first < last:
                found[first - box.top : last - box.top] = band[first - top : last - top, box.left : box.right]
            top += len(band)
            if top >= box.bottom:
                break
        return found

    def walk(self, level: int = 0) -> Generator[NDArray[np.uint8]]:
        """Yield the rows in bands.

        Raises:
            RequestError: the file is damaged.
        """
        assert level == 0, "a PNG has one level"
        missing = self._size.height
        with open_regular(self._path, what="the picture") as stream:
            for band in self._read_bands(stream):
                # What stands behind the last row belongs to no picture.
                yield band[:missing]
                missing -= min(len(band), missing)
                if not missing:
                    return
        raise RequestError("the picture is damaged", got=f"{self._path}: {missing} rows are missing", do=DAMAGED_DO)

    def _read_bands(self, stream: BinaryIO) -> Generator[NDArray[np.uint8]]:
        row_bytes = 1 + 3 * self._size.width
        above, rest = b"", b""
        try:
            for piece in _unpack(stream, max(_BAND_BYTES, row_bytes)):
                rest += piece
                whole = len(rest) // row_bytes * row_bytes
                if whole:
                    band = self._unfilter(above, rest[:whole], whole // row_bytes)
                    above, rest = b"\0" + band[-1].tobytes(), rest[whole:]
                    yield band if self._convert is None else self._convert(band)
        except (zlib.error, OSError, ValueError, SyntaxError, struct.error) as error:
            raise RequestError("the picture is damaged", got=f"{self._path}: {error}", do=DAMAGED_DO) from error

    def _unfilter(self, above: bytes, rows: bytes, count: int) -> NDArray[np.uint8]:
        # A small PNG of these rows, the one above them unfiltered in front: Pillow undoes filters fast.
        extra = 1 if above else 0
        size = PixelSize(self._size.width, count + extra)
        packed = write_chunk(b"IDAT", zlib.compress(above + rows, 0))
        raw = write_header(size) + packed + write_chunk(b"IEND", b"")
        with PngImagePlugin.PngImageFile(io.BytesIO(raw)) as picture:
            return np.asarray(picture)[extra:]


def _find_conversion(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None:
    """Return what converts rows to sRGB, from the chunk that holds the colour profile; None where nothing has to."""
    with open_regular(path, what="the picture") as stream:
        stream.seek(len(SIGNATURE))
        while len(head := stream.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name in (b"IDAT", b"IEND"):
                break
            if name != b"iCCP":
                stream.seek(length + 4, io.SEEK_CUR)
                continue
            # A name, a zero, the kind of compression, then the profile.
            packed = stream.read(min(length, _LONGEST_PROFILE_BYTES)).partition(b"\0")[2][1:]
            try:
                return make_rows_conversion(zlib.decompressobj().decompress(packed, _LONGEST_PROFILE_BYTES))
            except zlib.error as error:
                raise RequestError("the picture is damaged", got=f"{path}: {error}", do=DAMAGED_DO) from error
    return None


def _unpack(stream: BinaryIO, most_bytes: int) -> Generator[bytes]:
    unpacker = zlib.decompressobj()
    for piece in _read_packed(stream):
        yield unpacker.decompress(piece, most_bytes)
        while unpacker.unconsumed_tail:
            yield unpacker.decompress(unpacker.unconsumed_tail, most_bytes)
    yield unpacker.flush()


def _read_packed(stream: BinaryIO) -> Generator[bytes]:
    """Yield the bodies of the IDAT chunks in pieces."""
    stream.seek(len(SIGNATURE))
    while len(head := stream.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"IEND":
            return
        if name != b"IDAT":
            stream.seek(length + 4, io.SEEK_CUR)
            continue
        while length:
            piece = stream.read(min(length, _READ_BYTES))
            if not piece:
                return
            length -= len(piece)
            yield piece
        stream.seek(4, io.SEEK_CUR)
