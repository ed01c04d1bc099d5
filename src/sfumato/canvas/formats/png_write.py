"""Write a PNG row by row in constant memory, with its texts in front of the pixels.

Knows the format and its chunks. Source: PNG specification (third edition), clauses 5 and 11.
Start reading at `PngSink`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Generator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from sfumato.core.files import UnfinishedFile
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.provenance import XMP_NAME

Bytes = NDArray[np.uint8]
# Bytes between a sample and its left neighbour, 8-bit RGB.
_PIXEL_BYTES = 3


def filter_rows(rows: Bytes, above: Bytes) -> Bytes:
    """Return uint8 [n, 1 + bytes]: for each row of [n, bytes] the number of its best filter and its bytes.

    `above` [bytes] is the row before the first, zeros at the top of a picture. A row's result
    depends on itself and the row above only.
    """
    best = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    least = np.full(rows.shape[0], np.iinfo(np.int64).max)
    for kind, guess in enumerate(_predict(rows, above)):
        rest = rows - guess
        # A byte stands for a difference of either sign; its size is the shorter way to zero.
        cost = np.minimum(rest, -rest).sum(axis=1, dtype=np.int64)
        better = cost < least
        least[better] = cost[better]
        best[better, 0] = kind
        best[better, 1:] = rest[better]
    return best


def _predict(rows: Bytes, above: Bytes) -> Generator[Bytes]:
    up = np.concatenate([above[None], rows[:-1]])
    left, corner = _shift(rows), _shift(up)
    yield np.zeros_like(rows)
    yield left
    yield up
    # The mean of two bytes, rounded down, without leaving bytes.
    yield (left & up) + ((left ^ up) >> np.uint8(1))
    yield _paeth(left, up, corner)


def _shift(rows: Bytes) -> Bytes:
    shifted = np.zeros_like(rows)
    shifted[:, _PIXEL_BYTES:] = rows[:, :-_PIXEL_BYTES]
    return shifted


def _paeth(left: Bytes, up: Bytes, corner: Bytes) -> Bytes:
    across, down = up.astype(np.int16) - corner, left.astype(np.int16) - corner
    to_left, to_up, to_corner = np.abs(across), np.abs(down), np.abs(across + down)
    nearest = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest)


SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Compressed bytes gathered for one chunk; readers hold a whole chunk of this size without noticing.
_CHUNK_BYTES = 256 * 1024
# Bytes of pixels filtered at once: small enough that a filter's dozen passes stay in the cache.
_FILTER_BYTES = 128 * 1024
# 8 bits a sample, colour; deflate, the standard filters, not interlaced.
_RGB8 = (8, 2, 0, 0, 0)
# Says that the colours are sRGB, rendering intent perceptual.
SRGB_CHUNK = (b"sRGB", b"\0")


def write_header(size: PixelSize) -> bytes:
    """Return the signature and the chunk that gives an 8-bit RGB picture its size."""
    return SIGNATURE + write_chunk(b"IHDR", struct.pack(">II5B", size.width, size.height, *_RGB8))


def write_chunk(name: bytes, body: bytes) -> bytes:
    """Return one chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def add_texts(chosen: PngImagePlugin.PngInfo, texts: Mapping[str, str]) -> None:
    """Add texts by name; XMP has a chunk of its own kind."""
    for name, text in texts.items():
        if name == XMP_NAME:
            chosen.add_itxt(name, text)
        else:
            chosen.add_text(name, text)


class PngSink:
    """Compress rows as they come; a row's bytes never depend on how the rows were cut into bands."""

    def __init__(self, path: Path, size: PixelSize, texts: Mapping[str, str], effort: int) -> None:
        """Take the texts by name, and how hard zlib tries, 0 to 9."""
        self._path, self._size, self._texts = path, size, texts
        self._packer = zlib.compressobj(effort, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_FILTERED)
        self._packed = bytearray()
        self._above = np.zeros(size.width * 3, np.uint8)
        self._file: UnfinishedFile | None = None

    def start(self) -> None:
        """Write header and texts."""
        self._file = UnfinishedFile(self._path)
        self._file.stream.write(write_header(self._size) + write_chunk(*SRGB_CHUNK))
        chosen = PngImagePlugin.PngInfo()
        add_texts(chosen, self._texts)
        for chunk in chosen.chunks:
            self._file.stream.write(write_chunk(chunk[0], bytes(chunk[1])))

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Filter and compress rows."""
        flat = np.ascontiguousarray(rows).reshape(len(rows), -1)
        at_once = max(1, _FILTER_BYTES // flat.shape[1])
        for top in range(0, len(flat), at_once):
            part = flat[top : top + at_once]
            # One call per row: what zlib gives back may depend on how it is fed.
            for row in filter_rows(part, self._above):
                self._packed += self._packer.compress(row.tobytes())
                self._put(least_bytes=_CHUNK_BYTES)
            self._above = part[-1].copy()

    def finish(self) -> None:
        """Write what is left and the end."""
        assert self._file is not None, "a sink is started before it is finished"
        self._packed += self._packer.flush()
        self._put(least_bytes=1)
        self._file.stream.write(write_chunk(b"IEND", b""))
        self._file.publish()

    def discard(self) -> None:
        """Remove what was written."""
        if self._file is not None:
            self._file.discard()

    def _put(self, *, least_bytes: int) -> None:
        assert self._file is not None, "a sink is started before it is written"
        if len(self._packed) >= least_bytes:
            self._file.stream.write(write_chunk(b"IDAT", bytes(self._packed)))
            self._packed.clear()
