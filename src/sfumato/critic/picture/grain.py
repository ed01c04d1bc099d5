"""Noise sold as detail: grain that is everywhere, also where a picture is flat.

True detail lies in places and has edges; noise lies everywhere and looks like a bell curve. Reads a
bounded number of squares. Start reading at `measure_grain`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.critic.picture.picture_reader import PictureReader

Array = NDArray[np.float32]

SQUARE_PX = 32
# A grid of at most so many squares along a side speaks for a picture of any size.
MOST_ALONG = 40
# The calmest tenth: skies and walls are nearly always in a picture; all grass is not.
CALMEST = 10.0
# The median of |x| of a normal variable of deviation 1.
_MEDIAN_OF_NORMAL = 0.6745
# Rounding to whole levels is white too; what is no stronger than it says nothing.
LEAST_LEVELS = 0.5


@dataclass(frozen=True, slots=True)
class Grain:
    """Hold the deviation of the finest octave in calm squares, in levels, and how white the whole octave is.

    `whiteness` is the share of its energy that a bell curve through its middle explains: near 1 for
    noise, near 0 for edges on calm ground, and 0 where the octave holds no more than rounding.
    """

    floor_levels: float
    whiteness: float


def measure_grain(picture: PictureReader) -> Grain:
    """Measure the finest octave of a picture of at least 64 px a side.

    Source: Donoho and Johnstone 1994, the median of finest coefficients as an estimate of noise.
    """
    floors, energies, bulks = [], [], []
    for box in _list_squares(picture.size):
        fine = _finest(np.asarray(picture.crop(box).convert("RGB"), np.float32).mean(axis=2))
        floors.append(float(np.sqrt(np.square(fine).mean())))
        energies.append(float(np.square(fine).mean()))
        bulks.append(np.abs(fine).ravel())
    energy = float(np.mean(energies))
    bulk = float(np.median(np.concatenate(bulks))) / _MEDIAN_OF_NORMAL
    whiteness = min(1.0, bulk**2 / energy) if bulk > LEAST_LEVELS else 0.0
    return Grain(float(np.percentile(floors, CALMEST)), whiteness)


def _list_squares(size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    starts = []
    for side in size:
        count = max(1, min(MOST_ALONG, side // SQUARE_PX))
        starts.append([round(place) for place in np.linspace(0, max(0, side - SQUARE_PX), count)])
    return [(x, y, x + SQUARE_PX, y + SQUARE_PX) for y in starts[1] for x in starts[0]]


def _finest(light: Array) -> Array:
    """Return what both neighbours' means leave of each pixel, down and across: ramps and straight edges vanish."""
    down = light[1:-1] - (light[:-2] + light[2:]) / 2
    both = down[:, 1:-1] - (down[:, :-2] + down[:, 2:]) / 2
    # The filter's squares sum to 2.25: white noise of one level comes out as one level.
    return (both / 1.5).astype(np.float32)
