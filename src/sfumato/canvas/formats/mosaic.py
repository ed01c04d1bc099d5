"""Put a box of a picture together from its tiles, whatever they are stored in.

Start reading at `read_mosaic`; `list_rows` cuts a level into its rows of tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from sfumato.core.geometry import PixelBox, PixelSize


def read_mosaic(
    box: PixelBox, tile_px: int, read_tile: Callable[[int, int], tuple[NDArray[np.uint8], PixelBox]]
) -> NDArray[np.uint8]:
    """Return uint8 [height, width, 3] of `box`.

    `read_tile` gives for a column and a row of tiles the pixels and the box of the picture they cover.
    """
    found = np.empty((box.height, box.width, 3), np.uint8)
    for row in range(box.top // tile_px, -(-box.bottom // tile_px)):
        for column in range(box.left // tile_px, -(-box.right // tile_px)):
            tile, covered = read_tile(column, row)
            part = box.find_overlap(covered)
            assert part is not None, "only tiles that touch the box are asked for"
            inside = part.shift(-covered.left, -covered.top).slices_hw
            found[part.shift(-box.left, -box.top).slices_hw] = tile[inside]
    return found


def list_rows(size: PixelSize, tile_px: int) -> Iterator[PixelBox]:
    """Yield the box of each row of tiles, from top to bottom."""
    for top in range(0, size.height, tile_px):
        yield PixelBox(0, top, size.width, min(top + tile_px, size.height))
