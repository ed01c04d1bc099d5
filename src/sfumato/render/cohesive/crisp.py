"""An enlarged level with steeper edges: what a resampler left blurred is sharp before it is encoded, evenly over the picture.

Autoencoders and denoisers learned from sharp pictures; what they get blurred they lose or leave as fog. Sharpening is held
to the range of the pixels around each, so no edge gets a halo and no slope steps. Knows pixels in boxes; no latents and
no level. Start reading at `make_crisp`.

Source: unsharp masking with its overshoot clipped to a local range, as in the neighbourhood clamp of Karis 2014,
"High-quality temporal supersampling".
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sfumato.core.geometry import PixelBox

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfumato.core.geometry import PixelSize
    from sfumato.core.resampling import ReadPixels

    Floats = NDArray[np.float32]

# What is added of what a blur as wide as half a pixel of the level below takes away: beyond it edges stay as they are.
AMOUNT, BLUR_FRAC = 2.0, 0.5
# The pixels around each that it must not leave the range of; a level is at most twice as large as the one below.
RANGE_PX = 1


def make_crisp(read: ReadPixels, size: PixelSize, scale: float) -> ReadPixels:
    """Return what computes any box of a picture, enlarged `scale` times, with steeper edges; to the bit as in the whole."""
    taps = _list_taps(BLUR_FRAC * scale)
    return partial(_compute, read, size, taps)


def _compute(read: ReadPixels, size: PixelSize, taps: tuple[float, ...], box: PixelBox) -> NDArray[np.uint8]:
    margin = max(len(taps) // 2, RANGE_PX)
    left, top, right, bottom = box.left - margin, box.top - margin, box.right + margin, box.bottom + margin
    inner = PixelBox(max(0, left), max(0, top), min(size.width, right), min(size.height, bottom))
    beyond = ((inner.top - top, bottom - inner.bottom), (inner.left - left, right - inner.right), (0, 0))
    levels = np.pad(read(inner), beyond, mode="edge").astype(np.float32)
    own = levels[margin : margin + box.height, margin : margin + box.width]
    blurred = _blur(_blur(levels, taps, 0, margin, box.height), taps, 1, margin, box.width)
    low, high = _find_range(levels, margin, box)
    return np.rint(np.clip(own + AMOUNT * (own - blurred), low, high)).astype(np.uint8)


def _blur(levels: Floats, taps: tuple[float, ...], axis: int, margin: int, length: int) -> Floats:
    """Return the middle `length` rows or columns, blurred; tap by tap, so that no size of a box changes a bit."""
    first = margin - len(taps) // 2
    found = np.float32(taps[0]) * _take(levels, axis, first, length)
    for place, tap in enumerate(taps[1:], start=first + 1):
        found += np.float32(tap) * _take(levels, axis, place, length)
    return found


def _find_range(levels: Floats, margin: int, box: PixelBox) -> tuple[Floats, Floats]:
    """Return the least and the most of each channel around each pixel."""
    low = high = levels
    for axis, length in ((0, box.height), (1, box.width)):
        reach = range(margin - RANGE_PX, margin + RANGE_PX + 1)
        low = np.minimum.reduce([_take(low, axis, place, length) for place in reach])
        high = np.maximum.reduce([_take(high, axis, place, length) for place in reach])
    return low, high


def _take(levels: Floats, axis: int, first: int, length: int) -> Floats:
    return levels[first : first + length] if axis == 0 else levels[:, first : first + length]


def _list_taps(deviation: float) -> tuple[float, ...]:
    """Return the taps of a Gaussian, down to a thousandth."""
    reach = max(1, math.ceil(3.0 * deviation))
    taps = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / deviation))
    return tuple((taps / taps.sum()).tolist())
