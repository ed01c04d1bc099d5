"""A picture at ever smaller sizes, and each size in tiles with a halo: how large pictures meet a small network.

Knows pixels and boxes, no network. Start reading at `list_levels` and `list_tiles`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

# Objects whose longer side lies between these are what the network is trained to find.
SMALLEST_PX, LARGEST_PX = 8.0, 128.0
# On reduced levels what is smaller was seen sharper on the level before. Half of the largest would be enough if
# sizes were read exactly; the margin lets both levels answer and the surer one win.
SMALLEST_REDUCED_PX = 44.0
# Answers may be off a little at the upper end as well.
LARGEST_FOUND_PX = 140.0
# About 300 MB at work with its halo, whatever the picture; a multiple of the deepest cell.
TILE_PX = 1152
# The network looks 200 px far; a multiple of the deepest cell, so that tiles and picture share their cells.
HALO_PX = 208
# Rows halved at a time, so that the sums of a large picture need no memory of its size.
BAND_PX = 512


@dataclass(frozen=True, slots=True)
class Tile:
    """Hold where a tile's own part lies (left, top, right, bottom) and where its part with the halo lies, in px."""

    core: tuple[int, int, int, int]
    whole: tuple[int, int, int, int]


def list_levels(picture: Picture) -> Iterator[tuple[int, Picture]]:
    """Yield (reduction, picture) from 1 on in doublings, until the whole picture is no larger than the largest object."""
    reduction = 1
    yield reduction, picture
    while max(picture.shape[:2]) > LARGEST_PX:
        picture, reduction = halve(picture), 2 * reduction
        yield reduction, picture


def halve(picture: Picture) -> Picture:
    """Return the means of squares of two by two pixels; an odd last row or column is doubled."""
    height, width = picture.shape[:2]
    small = np.empty(((height + 1) // 2, (width + 1) // 2, 3), np.uint8)
    for top in range(0, height, BAND_PX):
        band = picture[top : top + BAND_PX].astype(np.uint16)
        band = np.pad(band, ((0, band.shape[0] % 2), (0, width % 2), (0, 0)), mode="edge")
        total = band[::2, ::2] + band[1::2, ::2] + band[::2, 1::2] + band[1::2, 1::2]
        small[top // 2 : top // 2 + len(total)] = (total + 2) // 4
    return small


def list_tiles(size: tuple[int, int], tile_px: int = TILE_PX) -> Iterator[Tile]:
    """Yield the tiles of a picture of a size (width, height) row by row; cores cover it once."""
    width, height = size
    for top in range(0, height, tile_px):
        for left in range(0, width, tile_px):
            right, bottom = min(width, left + tile_px), min(height, top + tile_px)
            whole = (
                max(0, left - HALO_PX),
                max(0, top - HALO_PX),
                min(width, right + HALO_PX),
                min(height, bottom + HALO_PX),
            )
            yield Tile((left, top, right, bottom), whole)


def find_sizes(reduction: int) -> tuple[float, float]:
    """Return which longer sides in px of a level are believed there."""
    return (SMALLEST_PX if reduction == 1 else SMALLEST_REDUCED_PX), LARGEST_FOUND_PX
