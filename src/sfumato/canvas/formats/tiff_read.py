"""Read boxes and texts of our own BigTIFF files: only the tiles that a box touches are opened.

Files of other programs are refused with a reason where they differ. Start reading at `TiffRegions`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.formats.text_chunk import parse_texts
from sfumato.canvas.formats.tiff_directory import LongValue, ReadDirectory, Tag, read_directories
from sfumato.canvas.formats.tiff_write import DEFLATE, JPEG
from sfumato.canvas.formats.tiles import decode_deflate, decode_image, list_rows, read_mosaic
from sfumato.core.errors import DAMAGED_DO, RequestError
from sfumato.core.files import open_regular
from sfumato.core.geometry import PixelBox, PixelSize

_LARGEST_TILE_PX = 4096
# Noise grows a little when it is packed; more than this is no tile.
_MOST_GROWTH = 2


def read_tiff_texts(path: Path) -> dict[str, str]:
    """Return the texts of a TIFF of ours, none for one that somebody else described.

    Raises:
        RequestError: no such file, no BigTIFF, or a damaged one.
    """
    with open_regular(path, what="the picture") as stream:
        described = read_directories(stream, most=1)[0].long_values.get(Tag.IMAGE_DESCRIPTION)
        raw = b"" if described is None else described.read_text(stream)
    return parse_texts(raw.rstrip(b"\0").decode("ascii", errors="replace"))


@dataclass(frozen=True, slots=True)
class _TiffLevel:
    size: PixelSize
    tile_px: int
    jpeg: bool
    offsets: LongValue
    counts: LongValue


class TiffRegions:
    """Serve boxes of a BigTIFF of ours."""

    def __init__(self, path: Path) -> None:
        """Read the directories.

        Raises:
            RequestError: no such file, or not of our kind.
        """
        self._path = path
        with open_regular(path, what="the picture") as stream:
            self._levels = tuple(_read_level(directory) for directory in read_directories(stream))

    @property
    def sizes(self) -> tuple[PixelSize, ...]:
        """Return the size of every level."""
        return tuple(level.size for level in self._levels)

    def read(self, box: PixelBox, level: int = 0) -> NDArray[np.uint8]:
        """Return uint8 [height, width, 3] of a box that lies on the level.

        Raises:
            RequestError: a tile is damaged.
        """
        chosen = self._levels[level]
        side = chosen.tile_px

        def read_tile(column: int, row: int) -> tuple[NDArray[np.uint8], PixelBox]:
            index = row * -(-chosen.size.width // side) + column
            return self._read_tile(chosen, index), PixelBox(0, 0, side, side).shift(column * side, row * side)

        return read_mosaic(box, side, read_tile)

    def walk(self, level: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield the rows of a level in bands."""
        chosen = self._levels[level]
        return (self.read(box, level) for box in list_rows(chosen.size, chosen.tile_px))

    def _read_tile(self, level: _TiffLevel, index: int) -> NDArray[np.uint8]:
        with open_regular(self._path, what="the picture") as stream:
            place, count = level.offsets.read(stream, index), level.counts.read(stream, index)
            length = os.fstat(stream.fileno()).st_size
            if count > _MOST_GROWTH * level.tile_px * level.tile_px * 3 or place + count > length:
                got = f"{self._path}: tile {index}: {count} bytes at {place}"
                raise RequestError("a tile of the picture is damaged", got=got, do=DAMAGED_DO)
            stream.seek(place)
            raw = stream.read(count)
        try:
            tile = decode_image(raw, jpeg=True) if level.jpeg else decode_deflate(raw, level.tile_px)
        except (OSError, ValueError, SyntaxError) as error:
            got = f"{self._path}: tile {index}: {error}"
            raise RequestError("a tile of the picture is damaged", got=got, do=DAMAGED_DO) from error
        if tile.shape != (level.tile_px, level.tile_px, 3):
            got = f"{self._path}: tile {index}: {tile.shape}"
            raise RequestError("a tile of the picture is damaged", got=got, do=DAMAGED_DO)
        return tile


def _read_level(directory: ReadDirectory) -> _TiffLevel:
    def one(tag: Tag) -> int:
        value = directory.tags.get(tag, (0,))
        return value[0] if value else 0

    side, packed = one(Tag.TILE_WIDTH), one(Tag.COMPRESSION)
    ours = directory.tags.get(Tag.BITS_PER_SAMPLE) == (8, 8, 8) and packed in (DEFLATE, JPEG)
    if not ours or not 0 < side <= _LARGEST_TILE_PX or one(Tag.TILE_LENGTH) != side:
        raise RequestError("the TIFF is of another kind than ours", do="Use a picture saved by sfumato.")
    if packed == DEFLATE and one(Tag.PREDICTOR) != 2:
        raise RequestError("the TIFF is packed in another way than ours", do="Use a picture saved by sfumato.")
    size = PixelSize(one(Tag.IMAGE_WIDTH), one(Tag.IMAGE_LENGTH))
    offsets, counts = (directory.long_values.get(tag) for tag in (Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS))
    tiles = -(-size.width // side) * -(-size.height // side)
    if offsets is None or counts is None or not offsets.count == counts.count == tiles:
        found = 0 if offsets is None else offsets.count
        raise RequestError("the TIFF is damaged", got=f"{found} places of {tiles} tiles", do=DAMAGED_DO)
    return _TiffLevel(size, side, packed == JPEG, offsets, counts)
