"""A picture at ever smaller sizes, read in pieces, and the windows in which a small network searches each size.

Levels that fit into memory are kept; of a larger picture every window is read from the store and averaged. Knows
pixels and boxes, no network. Start reading at `PictureLevels`, then `list_windows`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from sfumato.canvas.pixels import Pixels, PixelStore
from sfumato.core.geometry import PixelBox, PixelSize

# 100 MB: what a level may take to be kept.
MOST_KEPT_PX = 1 << 25
# Rows of a large window that are averaged at once.
BAND_PX = 256


class PictureLevels:
    """Read boxes of a picture that is 2^level times smaller, the mean of areas."""

    def __init__(self, store: PixelStore) -> None:
        """Read nothing yet."""
        self._store = store
        self._kept: dict[int, Pixels] = {}

    def size(self, level: int) -> PixelSize:
        """Return the size of a level; level 0 is the picture."""
        factor = 1 << level
        return PixelSize(-(-self._store.size.width // factor), -(-self._store.size.height // factor))

    def read(self, level: int, box: PixelBox) -> Pixels:
        """Return uint8 [height, width, 3] of a box in px of a level; what lies outside of the picture is black."""
        inside = box.find_overlap(self.size(level).box)
        found = np.zeros((box.height, box.width, 3), np.uint8)
        if inside is not None:
            found[inside.shift(-box.left, -box.top).slices_hw] = self._read_inside(level, inside)
        return found

    def _read_inside(self, level: int, box: PixelBox) -> Pixels:
        if self.size(level).area > MOST_KEPT_PX:
            return self._average(level, box)
        if level not in self._kept:
            whole = self.size(level).box
            below = self._kept.get(level - 1)
            self._kept[level] = self._average(level, whole) if below is None else halve(below)
        return self._kept[level][box.slices_hw]

    def _average(self, level: int, box: PixelBox) -> Pixels:
        """Return a box of a level from the picture itself, band by band."""
        factor, size = 1 << level, self._store.size
        found = np.empty((box.height, box.width, 3), np.uint8)
        rows = max(1, BAND_PX // factor)
        for top in range(0, box.height, rows):
            bottom = min(box.height, top + rows)
            source = PixelBox(
                box.left * factor,
                (box.top + top) * factor,
                min(size.width, box.right * factor),
                min(size.height, (box.top + bottom) * factor),
            )
            band = self._store.read(source)
            found[top:bottom] = band if factor == 1 else np.asarray(Image.fromarray(band).reduce(factor))
        return found


def halve(picture: Pixels) -> Pixels:
    """Return a picture of half the size, the mean of squares of two by two pixels."""
    return np.asarray(Image.fromarray(picture).reduce(2))


def list_levels(size: PixelSize, window_px: int) -> Iterator[int]:
    """Yield the levels of a picture from 0 on, until one window holds the whole."""
    level = 0
    yield level
    while max(size.width, size.height) > window_px << level:
        level += 1
        yield level


def list_windows(size: PixelSize, window_px: int, least_overlap_px: int) -> Iterator[PixelBox]:
    """Yield square windows over a level, row by row; they overlap by the least overlap or more, evenly.

    A level smaller than a window gets one window, which reaches beyond it.
    """
    for top in _list_starts(size.height, window_px, least_overlap_px):
        for left in _list_starts(size.width, window_px, least_overlap_px):
            yield PixelBox(left, top, left + window_px, top + window_px)


def _list_starts(length_px: int, window_px: int, overlap_px: int) -> list[int]:
    if length_px <= window_px:
        # In the middle, as a letterbox.
        return [-((window_px - length_px) // 2)]
    count = -(-(length_px - overlap_px) // (window_px - overlap_px))
    return [round(number * (length_px - window_px) / (count - 1)) for number in range(count)]
