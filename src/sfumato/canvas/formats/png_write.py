"""Write a PNG row by row in constant memory, with its texts in front of the pixels.

Knows the format and its chunks. Source: PNG specification (third edition), clauses 5 and 11.
Start reading at `PngSink`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from sfumato.canvas.formats.png_filters import filter_rows
from sfumato.core.files import UnfinishedFile
from sfumato.core.geometry import PixelSize

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Compressed bytes gathered for one chunk; readers hold a whole chunk of this size without noticing.
_CHUNK_BYTES = 256 * 1024
# Bytes of pixels filtered at once: small enough that a filter's dozen passes stay in the cache.
_FILTER_BYTES = 128 * 1024
# 8 bits a sample, colour; deflate, the standard filters, not interlaced.
_RGB8 = (8, 2, 0, 0, 0)


def write_header(size: PixelSize) -> bytes:
    """Return the signature and the chunk that gives an 8-bit RGB picture its size."""
    return SIGNATURE + write_chunk(b"IHDR", struct.pack(">II5B", size.width, size.height, *_RGB8))


def write_chunk(name: bytes, body: bytes) -> bytes:
    """Return one chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


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
        self._file.stream.write(write_header(self._size))
        chosen = PngImagePlugin.PngInfo()
        for name, text in self._texts.items():
            chosen.add_text(name, text)
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
