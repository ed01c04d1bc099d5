"""Read boxes and texts of DeepZoom pictures: only the tiles that a box touches are opened.

Start reading at `DeepZoomRegions`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.formats.deepzoom_index import LONGEST_BYTES, DeepZoomIndex, parse_index
from sfumato.canvas.formats.deepzoom_write import find_tiles_folder
from sfumato.canvas.formats.pyramid import list_halved_sizes
from sfumato.canvas.formats.tiles import decode_image, list_rows, read_mosaic
from sfumato.core.errors import RequestError
from sfumato.core.files import open_regular
from sfumato.core.geometry import PixelBox, PixelSize


def read_index(path: Path) -> DeepZoomIndex:
    """Read a .dzi file.

    Raises:
        RequestError: no such file, or no description of a picture.
    """
    with open_regular(path, what="the picture") as stream:
        return parse_index(stream.read(LONGEST_BYTES))


def has_all_tiles(path: Path) -> bool:
    """Tell whether every tile that a .dzi file speaks of is there, by their names; opens none.

    Raises: as `read_index`.
    """
    found, folder = read_index(path), find_tiles_folder(path)
    sizes = list_halved_sizes(found.size, until_px=1)
    for number, size in enumerate(reversed(sizes)):
        columns, rows = (-(-side // found.tile_px) for side in (size.width, size.height))
        try:
            there = {entry.name for entry in os.scandir(folder / str(number))}
        except OSError:
            return False
        wanted = (f"{column}_{row}.{found.suffix}" for row in range(rows) for column in range(columns))
        if not all(name in there for name in wanted):
            return False
    return True


class DeepZoomRegions:
    """Serve boxes of a DeepZoom picture."""

    def __init__(self, path: Path) -> None:
        """Read the .dzi file.

        Raises:
            RequestError: no such file, or no description of a picture.
        """
        self._folder, self._found = find_tiles_folder(path), read_index(path)
        self._sizes = list_halved_sizes(self._found.size, until_px=1)

    @property
    def sizes(self) -> tuple[PixelSize, ...]:
        """Return the size of every level."""
        return self._sizes

    def read(self, box: PixelBox, level: int = 0) -> NDArray[np.uint8]:
        """Return uint8 [height, width, 3] of a box that lies on the level.

        Raises:
            RequestError: a tile is missing or damaged.
        """
        side, overlap, size = self._found.tile_px, self._found.overlap_px, self._sizes[level]
        folder = self._folder / str(len(self._sizes) - 1 - level)

        def read_tile(column: int, row: int) -> tuple[NDArray[np.uint8], PixelBox]:
            own = PixelBox(0, 0, side, side).shift(column * side, row * side)
            covered = own.grow(overlap).clip(size)
            return self._read_tile(folder / f"{column}_{row}.{self._found.suffix}", covered), covered

        return read_mosaic(box, side, read_tile)

    def walk(self, level: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield the rows of a level in bands."""
        return (self.read(box, level) for box in list_rows(self._sizes[level], self._found.tile_px))

    def _read_tile(self, path: Path, covered: PixelBox) -> NDArray[np.uint8]:
        with open_regular(path, what="the tile") as stream:
            raw = stream.read(LONGEST_BYTES * 16)
        try:
            tile = decode_image(raw, jpeg=self._found.suffix != "png")
        except (OSError, ValueError, SyntaxError) as error:
            raise RequestError("a tile is damaged", got=f"{path}: {error}") from error
        if tile.shape != (covered.height, covered.width, 3):
            raise RequestError("a tile has another size than its place", got=f"{path}: {tile.shape}")
        return tile
