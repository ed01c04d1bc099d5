"""Small parts of a base that a result no longer shows: an iris, a lip, a button, the joint of a brick.

A part is a blob of the base: small, and of another lightness or colour than what is around it. Works on a pair at twice the size of
the base. Knows no object. Start reading at `find_lost_parts`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sfumato.critic.picture.base_comparison import Pair
from sfumato.critic.picture.colour import to_lab

Array = NDArray[np.float32]

# Deviations of blobs in px of the pair, half an octave apart: from half a pixel of the base to two.
SIGMAS_PX = (1.0, 1.41, 2.0, 2.83, 4.0)
# Distance in CIELAB by which a blob differs from its surroundings: a Gaussian blob of contrast c answers c / 2 at its size.
LEAST_CONTRAST = 9.0
# A part is seen by its lightness first; colour alone, such as that of lips, has so much weight.
CHROMA_WEIGHT = 0.35
# Curvature along a blob over that across it: longer than this it is a line, and an edge is no part.
MOST_ELONGATED = 4.0
# A part that moved by less than a pixel of the base is still there.
REACH_PX = 2
# A part is lost where less than half of its contrast is left.
LEAST_KEPT = 0.5


@dataclass(frozen=True, slots=True)
class LostPart:
    """Hold a part: its box in px of the result, its contrast in the base (CIELAB), and the share that is left."""

    box: tuple[int, int, int, int]
    contrast: float
    kept: float

    @property
    def lost_contrast(self) -> float:
        """Return the contrast that is gone (CIELAB)."""
        return self.contrast * (1.0 - self.kept)


@dataclass(frozen=True, slots=True)
class LostParts:
    """Hold the lost parts, the strongest first, and how many parts the base has."""

    parts: tuple[LostPart, ...]
    of: int

    @property
    def lost_frac(self) -> float:
        """Return the share of the parts that are lost, nan where the base has none."""
        return len(self.parts) / self.of if self.of else float("nan")

    @property
    def strongest(self) -> float:
        """Return the contrast that is gone of the part that lost most, 0 without any."""
        return max((part.lost_contrast for part in self.parts), default=0.0)


def find_lost_parts(pair: Pair) -> LostParts:
    """Find the parts of the base that the result has no longer.

    Source: blobs are extrema over place and scale of the scale-normalised Laplacian, Lindeberg 1998, "Feature detection
    with automatic scale selection"; the test against edges is that of Lowe 2004, section 4.1.
    """
    lab = _weigh(pair.base)
    base = _measure_blobs(lab)
    strength = np.sqrt(np.square(base).sum(axis=-1))
    places = _list_parts(lab, strength)
    if not len(places):
        return LostParts((), 0)
    shown = _measure_blobs(_weigh(pair.shown))
    lost: list[LostPart] = []
    for scale, row, column in places:
        most = float(strength[scale, row, column])
        near = shown[
            max(0, scale - 1) : scale + 2,
            max(0, row - REACH_PX) : row + REACH_PX + 1,
            max(0, column - REACH_PX) : column + REACH_PX + 1,
        ]
        kept = float((near @ base[scale, row, column]).max()) / most**2
        if kept < LEAST_KEPT:
            box = _find_box(pair, int(row), int(column), SIGMAS_PX[scale])
            lost.append(LostPart(box, 2.0 * most, max(0.0, kept)))
    return LostParts(tuple(sorted(lost, key=lambda part: -part.lost_contrast)), len(places))


def _weigh(levels: Array) -> Array:
    weights = np.array([1.0, CHROMA_WEIGHT, CHROMA_WEIGHT], np.float32)
    return np.multiply(to_lab(levels), weights, dtype=np.float32)


def _measure_blobs(lab: Array) -> Array:
    """Return the scale-normalised Laplacian of each channel of CIELAB: float32 [scales, h, w, 3]."""
    blobs = np.empty((len(SIGMAS_PX), *lab.shape), np.float32)
    for scale, sigma in enumerate(SIGMAS_PX):
        for channel in range(lab.shape[-1]):
            blobs[scale, ..., channel] = sigma**2 * ndimage.gaussian_laplace(lab[..., channel], sigma, mode="nearest")
    return blobs


def _list_parts(lab: Array, strength: Array) -> NDArray[np.intp]:
    """Return the places [n, (scale, row, column)] of parts: extrema of enough contrast that are no line."""
    peak = ndimage.maximum_filter(strength, size=(3, 3, 3), mode="constant")
    found = (strength == peak) & (strength >= LEAST_CONTRAST / 2)
    for scale, sigma in enumerate(SIGMAS_PX):
        found[scale] &= _is_round(lab, sigma, found[scale])
    return np.argwhere(found)


def _is_round(lab: Array, sigma: float, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell where curvature along and across have one sign and are alike enough, in the colour that bends most."""
    if not among.any():
        return among
    down, across, both = (_differentiate(lab, sigma, *order) for order in ((2, 0), (0, 2), (1, 1)))
    bent = np.abs(down + across).argmax(axis=-1)[..., None]
    down, across, both = (np.take_along_axis(one, bent, -1)[..., 0] for one in (down, across, both))
    product, total = down * across - both**2, down + across
    most = (MOST_ELONGATED + 1.0) ** 2 / MOST_ELONGATED
    return (product > 0) & (total**2 < most * product)


def _differentiate(lab: Array, sigma: float, down: int, across: int) -> Array:
    """Return derivatives of the channels of [h, w, 3], smoothed by a deviation: so many down, so many across."""
    once = ndimage.gaussian_filter1d(lab, sigma, axis=0, order=down, mode="nearest")
    return np.asarray(ndimage.gaussian_filter1d(once, sigma, axis=1, order=across, mode="nearest"), np.float32)


def _find_box(pair: Pair, row: int, column: int, sigma: float) -> tuple[int, int, int, int]:
    """Return the box of a blob in px of the result: two deviations to each side."""
    left, top, right, bottom = pair.box
    sides = (column - 2 * sigma, row - 2 * sigma, column + 1 + 2 * sigma, row + 1 + 2 * sigma)
    placed = [place + side * pair.scale for place, side in zip((left, top, left, top), sides, strict=True)]
    low = (max(left, placed[0]), max(top, placed[1]))
    return (round(low[0]), round(low[1]), round(min(right, placed[2])), round(min(bottom, placed[3])))
