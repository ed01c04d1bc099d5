"""A canvas cut into squares of one side, always the same ones: what is done square by square can be done again for some.

Pure geometry. Start reading at `list_grid_boxes`, then `find_grid_boxes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sfumato.core.geometry import PixelBox, PixelSize

# Large beside the margins that are read around a square; memory does not follow the picture.
SIDE_PX = 512


def list_grid_boxes(size: PixelSize) -> Iterator[PixelBox]:
    """Yield the squares of a canvas in reading order, smaller at its far sides."""
    for top in range(0, size.height, SIDE_PX):
        for left in range(0, size.width, SIDE_PX):
            yield PixelBox(left, top, min(left + SIDE_PX, size.width), min(top + SIDE_PX, size.height))


def find_grid_boxes(size: PixelSize, boxes: Iterable[PixelBox]) -> tuple[PixelBox, ...]:
    """Return the squares that have a pixel in common with one of some boxes on the canvas, in reading order."""
    places = {
        (row, column)
        for box in boxes
        for row in range(box.top // SIDE_PX, -(-box.bottom // SIDE_PX))
        for column in range(box.left // SIDE_PX, -(-box.right // SIDE_PX))
    }
    corners = ((column * SIDE_PX, row * SIDE_PX) for row, column in sorted(places))
    return tuple(
        PixelBox(left, top, min(left + SIDE_PX, size.width), min(top + SIDE_PX, size.height)) for left, top in corners
    )
