"""Any box of a resampled picture, from the rows and columns of the source that it needs.

The weights belong to the places of the whole result, and all arithmetic is in whole numbers: a box
comes out the same to the bit however the result is cut. The arithmetic is that of Pillow's own resize,
two passes with 8-bit pixels between them. Knows arrays, no file. Start reading at `Resampling`.

Source: Duchon 1979, Lanczos filtering in one and two dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from sfumato.core.geometry import PixelBox, PixelSize

FloatBox = tuple[float, float, float, float]
Pixels = NDArray[np.uint8]
ReadPixels = Callable[[PixelBox], Pixels]

LOBES = 3
# Weights are multiples of 1 / 2^22: what 255 times the sum of their sizes leaves free of 31 bits.
_BITS = 22
# Rows computed at once: few enough for the sums to stay in a cache, and a limit to what is read at once.
_SUM_ROWS = 16
STRIP_ROWS = 256


def fit_box(size: PixelSize, target: PixelSize) -> FloatBox:
    """Return the largest centred part of `size` with the target's aspect: left, top, right, bottom in px, never beyond it."""
    scale = min(size.width / target.width, size.height / target.height)
    # Rounding would leave a side by 1e-14 px, which resampling refuses.
    width, height = min(float(size.width), target.width * scale), min(float(size.height), target.height * scale)
    left, top = (size.width - width) / 2, (size.height - height) / 2
    return (left, top, min(float(size.width), left + width), min(float(size.height), top + height))


@dataclass(frozen=True, slots=True)
class Resampling:
    """Lay `size` pixels evenly over the part `box` (left, top, right, bottom, fractions allowed) of a picture."""

    source: PixelSize
    size: PixelSize
    box: FloatBox

    def compute(self, read: ReadPixels, box: PixelBox) -> Pixels:
        """Return a box of the result as uint8 [height, width, 3].

        `read` gives any box of the source as uint8 [height, width, 3]; it is asked for full heights of at
        most `STRIP_ROWS` rows of the result, and their neighbours.
        """
        assert self.size.box.contains(box), "a box lies on the result"
        across = _Taps.make(self.source.width, self.size.width, (self.box[0], self.box[2]), (box.left, box.right))
        found = np.empty((box.height, box.width, 3), np.uint8)
        for top in range(box.top, box.bottom, STRIP_ROWS):
            rows = (top, min(top + STRIP_ROWS, box.bottom))
            down = _Taps.make(self.source.height, self.size.height, (self.box[1], self.box[3]), rows)
            part = read(PixelBox(across.first, down.first, across.last, down.last))
            found[rows[0] - box.top : rows[1] - box.top] = down.mix_rows(across.mix_columns(part))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Taps:
    """Weigh source pixels along one axis: `places` [taps, n] from `first` on and `weights` [taps, n] of n pixels.

    The source pixels `first` up to and without `last` are read.
    """

    first: int
    last: int
    places: NDArray[np.intp]
    weights: NDArray[np.int32]

    @classmethod
    def make(cls, source: int, target: int, part: tuple[float, float], wanted: tuple[int, int]) -> _Taps:
        """Weigh the source for the target pixels `wanted`; `target` of them lie evenly over `part` of the source."""
        # Pillow takes the sides of a box as float32.
        begin, end = (np.float32(side) for side in part)
        pace = float(end - begin) / target
        stretch = max(1.0, pace)
        centres = float(begin) + (np.arange(*wanted) + 0.5) * pace
        lowest = np.maximum(centres - LOBES * stretch + 0.5, 0).astype(np.intp)
        highest = np.minimum((centres + LOBES * stretch + 0.5).astype(np.intp), source)
        places = lowest + np.arange(2 * ceil(LOBES * stretch) + 1)[:, None]
        weights = np.where(places < highest, _lanczos((places - centres + 0.5) / stretch), 0.0)
        weights = weights / weights.sum(axis=0)
        first, last = int(lowest.min()), int(highest.max())
        whole = np.trunc(weights * 2**_BITS + np.copysign(0.5, weights)).astype(np.int32)
        return cls(first, last, np.minimum(places, last - 1) - first, whole)

    def mix_rows(self, pixels: Pixels) -> Pixels:
        """Mix the rows of [m, width, 3], which are `first` to `last`, into [n, width, 3]."""
        found = np.empty((self.places.shape[1], *pixels.shape[1:]), np.uint8)
        for top in range(0, len(found), _SUM_ROWS):
            part = slice(top, top + _SUM_ROWS)
            weights = self.weights[:, part, None, None]
            found[part] = _mix((pixels[places] for places in self.places[:, part]), weights)
        return found

    def mix_columns(self, pixels: Pixels) -> Pixels:
        """Mix the columns of [height, m, 3], which are `first` to `last`, into [height, n, 3]."""
        found = np.empty((len(pixels), self.places.shape[1], 3), np.uint8)
        weights = self.weights[:, None, :, None]
        for top in range(0, len(found), _SUM_ROWS):
            rows = pixels[top : top + _SUM_ROWS]
            found[top : top + _SUM_ROWS] = _mix((rows.take(places, axis=1) for places in self.places), weights)
        return found


def _mix(taps: Iterator[Pixels], weights: NDArray[np.int32]) -> Pixels:
    """Return the weighted sum of some pictures of one shape, rounded."""
    total: NDArray[np.int32] | None = None
    for pixels, weight in zip(taps, weights, strict=True):
        share = np.multiply(pixels, weight, dtype=np.int32)
        total = share if total is None else np.add(total, share, out=total)
    assert total is not None, "a pixel has at least one neighbour"
    total += 1 << (_BITS - 1)
    return (total >> _BITS).clip(0, 255).astype(np.uint8)


def _lanczos(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = (distance >= -LOBES) & (distance < LOBES)
    return np.where(inside, np.sinc(distance) * np.sinc(distance / LOBES), 0.0)
