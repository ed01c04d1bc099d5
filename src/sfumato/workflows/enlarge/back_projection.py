"""What a picture shows, put back into its enlargement: a network of the ESRGAN family smooths and moves it.

Knows pixels of whole factors; no network. Each pixel of the picture is compared with the mean of its square in the
enlargement, and the difference is added as a smooth field. Reduced again, the enlargement then is the picture; what
lies between the pixels stays as the network drew it. Start reading at `measure_back_projection`.

Source: Irani and Peleg 1991, "Improving resolution by image registration" (back-projection).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sfumato.core.geometry import PixelBox

if TYPE_CHECKING:
    from sfumato.core.resampling import Pixels, ReadPixels

Field = NDArray[np.float32]

# Rows of the picture that are read at once.
_STRIP_ROWS = 64
# Laid out smoothly, a pixel keeps three quarters of its value along each axis. Each pass gives back most of the rest; on
# 18 pictures two and four passes lay within a few per cent of each other (docs/log/2026-11.md).
_PASSES = 3
# Rows that a pass reads above and below.
_REACH_ROWS = _PASSES


@dataclass(frozen=True, slots=True, eq=False)
class BackProjection:
    """Hold what is added to an enlargement: steps of 255 for each pixel of the picture, laid out smoothly.

    `cell_px` is the side of such a pixel in px of the enlargement.
    """

    field: Field
    cell_px: int

    def correct(self, read: ReadPixels, box: PixelBox) -> Pixels:
        """Return a box of the enlargement with the field added, uint8 [height, width, 3]; boxes may be cut anyhow."""
        down = _Between(self.field.shape[0], self.cell_px, box.top, box.bottom)
        across = _Between(self.field.shape[1], self.cell_px, box.left, box.right)
        rows = down.mix(self.field, axis=0)
        return (read(box) + across.mix(rows, axis=1)).round().clip(0.0, 255.0).astype(np.uint8)


def measure_back_projection(source: Pixels, read: ReadPixels, factor: int) -> BackProjection:
    """Measure the field for a picture, uint8 [height, width, 3], and its enlargement by a whole factor.

    Takes 24 bytes for each pixel of the picture.
    """
    height, width = source.shape[:2]
    change = np.empty((height, width, 3), np.float32)
    for top in range(0, height, _STRIP_ROWS):
        bottom = min(height, top + _STRIP_ROWS)
        change[top:bottom] = source[top:bottom] - reduce_box(read, PixelBox(0, top, width, bottom), factor)
    field = np.empty_like(change)
    for top in range(0, height, _STRIP_ROWS):
        first, bottom = max(0, top - _REACH_ROWS), min(height, top + _STRIP_ROWS)
        part = change[first : min(height, bottom + _REACH_ROWS)]
        sharper = part
        for _ in range(_PASSES):
            sharper = sharper + part - _smooth(_smooth(sharper, 0), 1)
        field[top:bottom] = sharper[top - first : bottom - first]
    return BackProjection(field, factor)


def reduce_box(read: ReadPixels, box: PixelBox, factor: int) -> Field:
    """Return the means of an enlargement for a box of the picture, float32 [height, width, 3]."""
    grown = read(PixelBox(box.left * factor, box.top * factor, box.right * factor, box.bottom * factor))
    return np.asarray(grown.reshape(box.height, factor, box.width, factor, 3).mean(axis=(1, 3)), np.float32)


def mean_cells(values: Field, side: int) -> Field:
    """Return the means of squares of [height, width, 3]; those at the right and lower side may be smaller."""
    rows, columns = np.arange(0, values.shape[0], side), np.arange(0, values.shape[1], side)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    high = np.diff([*rows.tolist(), values.shape[0]])[:, None, None]
    wide = np.diff([*columns.tolist(), values.shape[1]])[None, :, None]
    return (sums / (high * wide)).astype(np.float32)


class _Between:
    """Weigh two neighbouring cells for each px from `start` to `stop` along one axis. A leaf."""

    def __init__(self, cells: int, cell_px: int, start: int, stop: int) -> None:
        place = (np.arange(start, stop, dtype=np.float32) + 0.5) / cell_px - 0.5
        place = place.clip(0.0, cells - 1)
        self._first = place.astype(np.intp)
        self._second = np.minimum(self._first + 1, cells - 1)
        self._share = (place - self._first).astype(np.float32)

    def mix(self, field: Field, *, axis: int) -> Field:
        """Return the field laid out along an axis."""
        share = self._share[:, None, None] if axis == 0 else self._share[None, :, None]
        return np.asarray(
            field.take(self._first, axis) * (1.0 - share) + field.take(self._second, axis) * share, np.float32
        )


def _smooth(field: Field, axis: int) -> Field:
    """Return the means of cells that a field has once it is laid out along an axis."""
    cells = field.shape[axis]
    before = field.take(np.maximum(np.arange(cells) - 1, 0), axis)
    after = field.take(np.minimum(np.arange(cells) + 1, cells - 1), axis)
    smooth: Field = 0.75 * field + 0.125 * (before + after)
    return smooth
