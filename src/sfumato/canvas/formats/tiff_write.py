"""Write a tiled BigTIFF with its pyramid while the rows pass.

Tiles of all levels are appended as they become whole; the directories, one page per level with the
smaller ones marked as reduced, come last, when the tiles' places are known. This is the layout
that libvips, OpenSlide and tifffile take for a pyramid. Start reading at `TiffSink`.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.formats import text_chunk as words
from sfumato.canvas.formats.colour_profile import make_srgb_profile
from sfumato.canvas.formats.pyramid import Pyramid, Strip, list_halved_sizes
from sfumato.canvas.formats.tiff_directory import HEADER_BYTES, ONE, Directory, Tag, write_directory, write_header
from sfumato.canvas.formats.tiles import TileEncoding, encode_deflate, encode_jpeg
from sfumato.core.errors import RequestError
from sfumato.core.files import UnfinishedFile
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.provenance import XMP_NAME
from sfumato.core.version import __version__

TILE_PX = 256
DEFLATE, JPEG = 8, 7
RGB, YCBCR = 2, 6
_DIFFERENCES, _CHUNKY, _NO_UNIT, _REDUCED = 2, 1, 1, 1


@dataclass(slots=True)
class _Places:
    """Where the tiles of one level stand in the file, row by row."""

    offsets: array[int] = field(default_factory=lambda: array("Q"))
    counts: array[int] = field(default_factory=lambda: array("Q"))


class TiffSink:
    """Append the tiles of every level to one file."""

    def __init__(self, path: Path, size: PixelSize, texts: Mapping[str, str], encoding: TileEncoding) -> None:
        """Take the texts by name, and how tiles are encoded (256 px and lossless unless it says otherwise).

        Raises:
            RequestError: TIFF has no tiles of this side.
        """
        self._path, self._texts, self._encoding = path, texts, encoding
        self._tile = encoding.tile_px or TILE_PX
        if self._tile % 16:
            raise RequestError("the side of a tile in TIFF is a multiple of 16", got=self._tile, do="Use 256 or 512.")
        self._sizes = list_halved_sizes(size, until_px=self._tile)
        self._places = [_Places() for _ in self._sizes]
        self._pyramid = Pyramid(self._sizes, self._tile, 0, self._put_strip)
        self._file: UnfinishedFile | None = None
        self._end = HEADER_BYTES

    def start(self) -> None:
        """Write a header that points nowhere yet."""
        self._file = UnfinishedFile(self._path)
        self._file.stream.write(write_header(0))

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Pass rows on to every level."""
        self._pyramid.write(rows)

    def finish(self) -> None:
        """Write the directories and let the header point to them."""
        assert self._file is not None, "a sink is started before it is finished"
        self._append(bytes(-self._end % 8))
        first = self._end
        for level in range(len(self._sizes)):
            last = level + 1 == len(self._sizes)
            self._append(write_directory(self._describe(level), self._end, last=last))
        self._file.stream.seek(0)
        self._file.stream.write(write_header(first))
        self._file.publish()

    def discard(self) -> None:
        """Remove what was written."""
        if self._file is not None:
            self._file.discard()

    def _put_strip(self, strip: Strip) -> None:
        places = self._places[strip.level]
        for left in range(0, strip.rows.shape[1], self._tile):
            packed = self._pack(self._fill(strip.rows[:, left : left + self._tile]))
            places.offsets.append(self._end)
            places.counts.append(len(packed))
            self._append(packed)

    def _fill(self, part: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # Tiles at the rim are whole in TIFF; repeating the last pixels packs better than black.
        missing = ((0, self._tile - part.shape[0]), (0, self._tile - part.shape[1]), (0, 0))
        return np.pad(part, missing, mode="edge")

    def _pack(self, tile: NDArray[np.uint8]) -> bytes:
        if self._encoding.jpeg_quality is not None:
            return encode_jpeg(tile, self._encoding.jpeg_quality)
        return encode_deflate(tile, self._encoding.effort)

    def _append(self, raw: bytes) -> None:
        assert self._file is not None, "a sink is started before it is written"
        self._file.stream.write(raw)
        self._end += len(raw)

    def _describe(self, level: int) -> Directory:
        size, places = self._sizes[level], self._places[level]
        jpeg = self._encoding.jpeg_quality is not None
        found: dict[Tag, tuple[int, ...] | bytes] = {
            Tag.NEW_SUBFILE_TYPE: (_REDUCED if level else 0,),
            Tag.IMAGE_WIDTH: (size.width,),
            Tag.IMAGE_LENGTH: (size.height,),
            Tag.BITS_PER_SAMPLE: (8, 8, 8),
            Tag.COMPRESSION: (JPEG if jpeg else DEFLATE,),
            Tag.PHOTOMETRIC: (YCBCR if jpeg else RGB,),
            Tag.SAMPLES_PER_PIXEL: (3,),
            Tag.X_RESOLUTION: (ONE,),
            Tag.Y_RESOLUTION: (ONE,),
            Tag.RESOLUTION_UNIT: (_NO_UNIT,),
            Tag.PLANAR_CONFIGURATION: (_CHUNKY,),
            Tag.TILE_WIDTH: (self._tile,),
            Tag.TILE_LENGTH: (self._tile,),
            Tag.TILE_OFFSETS: tuple(places.offsets),
            Tag.TILE_BYTE_COUNTS: tuple(places.counts),
        }
        if jpeg:
            # Tiles carry their own tables and keep colour at full resolution.
            found[Tag.YCBCR_SUBSAMPLING] = (1, 1)
        else:
            found[Tag.PREDICTOR] = (_DIFFERENCES,)
        if level == 0:
            found[Tag.ICC_PROFILE] = make_srgb_profile()
            found[Tag.SOFTWARE] = f"sfumato {__version__}\0".encode()
            if XMP_NAME in self._texts:
                found[Tag.XMP] = self._texts[XMP_NAME].encode()
            found[Tag.IMAGE_DESCRIPTION] = words.write_texts(self._texts).encode() + b"\0"
        return found
