"""What is in one picture and not in the other: people in the sky, and things that went missing.

Works on a pair at the size of the base. Knows no object: a blob is a blob. Start reading at
`find_added_objects`; `Pair.swap` turns found into lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sfumato.critic.picture.base_comparison import Pair
from sfumato.critic.picture.colour import to_lab

Array = NDArray[np.float32]

# CIELAB distance beyond the colours around; a careful eye tells 2 at rest, and rounding makes 1.
LEAST_DISTANCE = 5.0
# Likeness of structure (SSIM) below which a place shows something else.
MOST_LIKENESS = 0.75
SSIM_SIDE_PX = 7
# Blobs smaller than this at the size of the base are corners of edges.
FEWEST_PX = 4
# Constants of SSIM for lightness 0-100: (0.01 * 100)^2 and (0.03 * 100)^2.
_C1, _C2 = 1.0, 9.0


@dataclass(frozen=True, slots=True)
class Blob:
    """Hold one place: its box in px of the result, its area in px of the base, and its mass (distance times area)."""

    box: tuple[int, int, int, int]
    area_px: int
    mass: float


@dataclass(frozen=True, slots=True)
class AddedObjects:
    """Hold the blobs, the heaviest first, and the share of the picture they cover."""

    blobs: tuple[Blob, ...]
    area_frac: float

    @property
    def heaviest(self) -> float:
        """Return the mass of the heaviest blob, 0 without any."""
        return self.blobs[0].mass if self.blobs else 0.0


def find_added_objects(pair: Pair) -> AddedObjects:
    """Find what the result shows and the base does not.

    A pixel belongs to an added object when its colour lies outside the range of the base around it, the
    structure there is another, and there is more of it than in the base.

    Source: the range test is the neighbourhood clamp of Karis 2014, "High-quality temporal
    supersampling"; the likeness is Wang et al. 2004, SSIM, over a square.
    """
    shown, base = to_lab(pair.shown), to_lab(pair.base)
    beyond = _measure_beyond(shown, base)
    likeness, gain = _compare_structure(shown[..., 0], base[..., 0])
    found = (beyond > LEAST_DISTANCE) & (likeness < MOST_LIKENESS) & (gain > 0.0)
    blobs = _list_blobs(pair, beyond, found)
    return AddedObjects(blobs, sum(blob.area_px for blob in blobs) / found.size)


def _measure_beyond(shown: Array, base: Array) -> Array:
    """Return how far each colour lies outside the box of the nine colours of the base around it."""
    low = ndimage.minimum_filter(base, size=(3, 3, 1), mode="nearest")
    high = ndimage.maximum_filter(base, size=(3, 3, 1), mode="nearest")
    return np.sqrt(np.square(np.maximum(0.0, np.maximum(shown - high, low - shown))).sum(axis=2))


def _compare_structure(shown: Array, base: Array) -> tuple[Array, Array]:
    """Return SSIM over squares, and the spread of lightness that the result has more than the base."""
    mean_s, mean_b = _blur(shown), _blur(base)
    var_s, var_b = (_blur(shown * shown) - mean_s**2).clip(min=0), (_blur(base * base) - mean_b**2).clip(min=0)
    both = _blur(shown * base) - mean_s * mean_b
    light = (2 * mean_s * mean_b + _C1) / (mean_s**2 + mean_b**2 + _C1)
    likeness = light * (2 * both + _C2) / (var_s + var_b + _C2)
    return likeness.astype(np.float32), (np.sqrt(var_s) - np.sqrt(var_b)).astype(np.float32)


def _blur(values: Array) -> Array:
    return ndimage.uniform_filter(values, SSIM_SIDE_PX, output=np.float64, mode="mirror").astype(np.float32)


def _list_blobs(pair: Pair, beyond: Array, found: NDArray[np.bool_]) -> tuple[Blob, ...]:
    """Return the blobs of a mask [h, w], the heaviest first; pixels that touch by a corner are one blob."""
    labels, count = ndimage.label(found, np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    masses = ndimage.sum_labels(beyond, labels, range(1, count + 1))
    x, y, scale = pair.box[0], pair.box[1], pair.scale
    blobs = [
        Blob(
            (
                round(x + columns.start * scale),
                round(y + rows.start * scale),
                round(x + columns.stop * scale),
                round(y + rows.stop * scale),
            ),
            int(area),
            float(mass),
        )
        for (rows, columns), area, mass in zip(ndimage.find_objects(labels), areas, masses, strict=True)
        if area >= FEWEST_PX
    ]
    return tuple(sorted(blobs, key=lambda blob: -blob.mass))
