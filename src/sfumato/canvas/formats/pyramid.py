"""Levels of a picture, each half of the one below, made from bands while they pass.

Every level keeps at most one row of tiles, so memory follows the picture's width, never its height.
What is handed on, and in which order, depends on the picture alone and not on how its rows were
cut into bands. Knows no file format. Start reading at `Pyramid`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.core.geometry import PixelSize

Rows = NDArray[np.uint8]
# Rows halved at once: sums of four bytes need room, and a whole row of tiles of them is too much.
_ROWS_AT_ONCE = 32


@dataclass(frozen=True, eq=False, slots=True)
class Strip:
    """Hold one row of tiles of a level: uint8 [n, width, 3], valid until the next one.

    `top` counts the rows that belong to the tiles above and are repeated here.
    """

    level: int
    index: int
    rows: Rows
    top: int


def list_halved_sizes(size: PixelSize, *, until_px: int) -> tuple[PixelSize, ...]:
    """Return a size and its halves, rounded up, down to the first whose sides are both at most `until_px`."""
    sizes = [size]
    while max(sizes[-1].width, sizes[-1].height) > until_px:
        sizes.append(PixelSize(-(-sizes[-1].width // 2), -(-sizes[-1].height // 2)))
    return tuple(sizes)


def halve(rows: Rows) -> Rows:
    """Average squares of 2 x 2 pixels of uint8 [n, width, 3]; an odd last row or column stands twice."""
    odd_rows, odd_columns = rows.shape[0] % 2, rows.shape[1] % 2
    if odd_rows or odd_columns:
        rows = np.pad(rows, ((0, odd_rows), (0, odd_columns), (0, 0)), mode="edge")
    sums = rows[0::2, 0::2].astype(np.uint16)
    for down, right in ((0, 1), (1, 0), (1, 1)):
        sums += rows[down::2, right::2]
    # Plus two: to the nearest, halves upwards.
    return ((sums + 2) >> 2).astype(np.uint8)


class Pyramid:
    """Turn the rows of a picture into rows of tiles of every level.

    `tile_px` is the side of a tile, `overlap_px` what its neighbours repeat on each inner side.
    """

    def __init__(
        self, sizes: tuple[PixelSize, ...], tile_px: int, overlap_px: int, emit: Callable[[Strip], None]
    ) -> None:
        """Take the sizes of the levels, largest first, and who gets the strips."""
        assert tile_px % 2 == 0, "a level hands on whole pairs of rows"
        self._levels = [_PyramidLevel(level, size, tile_px, overlap_px) for level, size in enumerate(sizes)]
        self._emit = emit

    def write(self, rows: Rows) -> None:
        """Take the next rows of the picture, uint8 [n, width, 3]."""
        self._push(0, rows)

    def _push(self, level: int, rows: Rows) -> None:
        for strip in self._levels[level].push(rows):
            self._emit(strip)
            if level + 1 < len(self._levels):
                own = self._levels[level].find_own(strip)
                for top in range(0, len(own), _ROWS_AT_ONCE):
                    self._push(level + 1, halve(own[top : top + _ROWS_AT_ONCE]))


class _PyramidLevel:
    """Collect rows of one level until a row of tiles is whole."""

    def __init__(self, level: int, size: PixelSize, tile_px: int, overlap_px: int) -> None:
        self._level, self._size, self._tile, self._overlap = level, size, tile_px, overlap_px
        most = min(tile_px + 2 * overlap_px, size.height)
        self._kept = np.empty((most, size.width, 3), np.uint8)
        # Rows in `_kept`, the row of the picture that is the first of them, the next row of tiles.
        self._held, self._first, self._index = 0, 0, 0

    def push(self, rows: Rows) -> Generator[Strip]:
        """Yield the strips that these rows complete."""
        used = 0
        while self._index * self._tile < self._size.height:
            end = min((self._index + 1) * self._tile + self._overlap, self._size.height)
            taken = min(end - self._first - self._held, len(rows) - used)
            self._kept[self._held : self._held + taken] = rows[used : used + taken]
            self._held, used = self._held + taken, used + taken
            if self._first + self._held < end:
                return
            yield Strip(self._level, self._index, self._kept[: self._held], self._index * self._tile - self._first)
            self._step()

    def find_own(self, strip: Strip) -> Rows:
        """Return the rows of a strip that no other strip has."""
        return strip.rows[strip.top : strip.top + self._tile]

    def _step(self) -> None:
        self._index += 1
        first = max(0, self._index * self._tile - self._overlap)
        repeated = max(0, self._first + self._held - first)
        self._kept[:repeated] = self._kept[self._held - repeated : self._held].copy()
        self._held, self._first = repeated, first
