"""How evenly sharp a picture is: sharp places beside foggy ones, and how many places are foggy.

The sharpness of a place is the energy of the octave that the base cannot hold over that of the octave below, in dB. Only
places count where the base is sharp itself. Works on a pair at twice the size of the base. Knows no object and no
window. Start reading at `measure_sharpness`.

Source: the undecimated stack of filters, Shensa 1992.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sfumato.critic.picture.base_comparison import Pair

Array = NDArray[np.float32]

# 1 for what is wide, 1/2 at a quarter of the pixel rate. Source: the maximally flat filter of order 4, Herrmann 1971.
HALF_BAND = (-1 / 32, 0.0, 9 / 32, 16 / 32, 9 / 32, 0.0, -1 / 32)
# Half the width of a place, in px of the pair: two px of the base.
PLACE_PX = 4.0
# Energy (levels of 255, squared) of the base's finest octave from which on a place has an edge, and what rounding leaves.
LEAST_ENERGY, ROUNDING_ENERGY = 9.0, 0.25
# Across an edge without blur an octave has half the energy of the next coarser one. A base that has less than half of
# that shows a blurred thing, which a result may show blurred too.
SHARP_BASE = 0.25
CLEAN_DB = 10.0 * math.log10(0.5)
# Half of the contrast of a clean edge, in its finest octave.
FOGGY_DB = CLEAN_DB + 20.0 * math.log10(0.5)
# A tenth of the places is enough to be seen, and too many to be a mistake of the measure.
TAIL = 10.0
# A picture with fewer places has nothing to compare.
FEWEST_PLACES = 64


@dataclass(frozen=True, slots=True)
class Sharpness:
    """Hold the sharpness (dB) that the foggiest tenth of the places stays under, the middle, and what the sharpest tenth exceeds.

    `foggy_frac` is the share of places with less than half of the contrast of a clean edge. All are nan where the base
    has no edges.
    """

    foggiest_db: float
    median_db: float
    sharpest_db: float
    foggy_frac: float

    @property
    def contrast_db(self) -> float:
        """Return how far the foggiest tenth lies below the sharpest tenth, in dB.

        Where nothing is sharp a clean edge takes the place of the sharpest: fog everywhere is no evenness.
        """
        return max(self.sharpest_db, CLEAN_DB) - self.foggiest_db


def measure_sharpness(pair: Pair) -> Sharpness:
    """Measure the sharpness of the places where the base has sharp edges."""
    shown, base = (_list_energies(one) for one in (pair.shown, pair.base))
    edges = (base[1] > LEAST_ENERGY) & (base[1] > SHARP_BASE * base[2])
    if np.count_nonzero(edges) < FEWEST_PLACES:
        return Sharpness(math.nan, math.nan, math.nan, math.nan)
    decibels = 10.0 * np.log10((shown[0][edges] + ROUNDING_ENERGY) / (base[1][edges] + ROUNDING_ENERGY))
    foggiest, median, sharpest = (float(value) for value in np.percentile(decibels, [TAIL, 50.0, 100.0 - TAIL]))
    return Sharpness(foggiest, median, sharpest, float((decibels < FOGGY_DB).mean()))


def _list_energies(levels: Array) -> list[Array]:
    """Return the energy of lightness in three octaves around each pixel, the finest first."""
    lows = [levels.mean(axis=-1)]
    for octave in range(3):
        lows.append(_halve_band(lows[-1], 2**octave))
    return [
        ndimage.gaussian_filter(np.square(fine - coarse), PLACE_PX, mode="nearest") for fine, coarse in pairwise(lows)
    ]


def _halve_band(light: Array, pace: int) -> Array:
    taps = np.zeros((len(HALF_BAND) - 1) * pace + 1, np.float32)
    taps[::pace] = HALF_BAND
    for axis in (0, 1):
        light = ndimage.convolve1d(light, taps, axis=axis, mode="nearest")
    return light
