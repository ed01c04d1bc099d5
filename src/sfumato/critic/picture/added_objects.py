"""What is in one picture and not in the other: people in the sky, and things that went missing.

Works on a pair at the size of the base. Knows no object: a blob is a blob. Start reading at
`find_phantoms`; `Pair.swap` turns found into lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
class Phantoms:
    """Hold the blobs, the heaviest first, and the share of the picture they cover."""

    blobs: tuple[Blob, ...]
    area_frac: float

    @property
    def heaviest(self) -> float:
        """Return the mass of the heaviest blob, 0 without any."""
        return self.blobs[0].mass if self.blobs else 0.0


def find_phantoms(pair: Pair) -> Phantoms:
    """Find what the result shows and the base does not.

    A pixel belongs to a phantom when its colour lies outside the range of the base around it, the
    structure there is another, and there is more of it than in the base.

    Source: the range test is the neighbourhood clamp of Karis 2014, "High-quality temporal
    supersampling"; the likeness is Wang et al. 2004, SSIM, over a square.
    """
    shown, base = to_lab(pair.shown), to_lab(pair.base)
    beyond = _measure_beyond(shown, base)
    likeness, gain = _compare_structure(shown[..., 0], base[..., 0])
    found = (beyond > LEAST_DISTANCE) & (likeness < MOST_LIKENESS) & (gain > 0.0)
    blobs = [_make_blob(pair, beyond, place) for place in find_blobs(found) if len(place) >= FEWEST_PX]
    blobs.sort(key=lambda blob: -blob.mass)
    return Phantoms(tuple(blobs), sum(blob.area_px for blob in blobs) / found.size)


def _measure_beyond(shown: Array, base: Array) -> Array:
    """Return how far each colour lies outside the box of the nine colours of the base around it."""
    padded = np.pad(base, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = base.shape[:2]
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    low, high = np.minimum.reduce(around), np.maximum.reduce(around)
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
    padded = np.pad(values.astype(np.float64), SSIM_SIDE_PX // 2, mode="reflect")
    for axis in (0, 1):
        total = np.cumsum(padded, axis=axis)
        total = np.insert(total, 0, 0.0, axis=axis)
        ahead = np.take(total, range(SSIM_SIDE_PX, total.shape[axis]), axis=axis)
        behind = np.take(total, range(total.shape[axis] - SSIM_SIDE_PX), axis=axis)
        padded = (ahead - behind) / SSIM_SIDE_PX
    return padded.astype(np.float32)


def _make_blob(pair: Pair, beyond: Array, place: NDArray[np.intp]) -> Blob:
    (top, left), (bottom, right) = place.min(axis=0), place.max(axis=0) + 1
    x, y, scale = pair.box[0], pair.box[1], pair.scale
    box = (round(x + left * scale), round(y + top * scale), round(x + right * scale), round(y + bottom * scale))
    return Blob(box, len(place), float(beyond[place[:, 0], place[:, 1]].sum()))


def find_blobs(mask: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Return the (row, column) of the pixels of every blob of a mask [h, w]; corners touch."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    parents = list(range(len(rows)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = run = parents[parents[run]]
        return run

    above = 0
    for run, (row, start, end) in enumerate(zip(rows, starts, ends, strict=True)):
        while above < run and (rows[above] < row - 1 or (rows[above] == row - 1 and ends[above] < start)):
            above += 1
        other = above
        while other < run and rows[other] == row - 1 and starts[other] <= end:
            parents[root(run)] = root(other)
            other += 1
    return _gather(rows, (starts, ends), [root(run) for run in range(len(rows))])


def _gather(
    rows: NDArray[np.intp], spans: tuple[NDArray[np.intp], NDArray[np.intp]], roots: list[int]
) -> list[NDArray[np.intp]]:
    groups: dict[int, list[NDArray[np.intp]]] = {}
    for row, start, end, root in zip(rows, *spans, roots, strict=True):
        columns = np.arange(start, end)
        groups.setdefault(root, []).append(np.stack([np.full_like(columns, row), columns], axis=1))
    return [np.concatenate(parts) for parts in groups.values()]
