"""Tiles that lie beside their place: how far each part of a result moved against the base.

Works on a pair at the size of the base, below one of its pixels. Start reading at `measure_shifts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sfumato.critic.picture.base_comparison import Pair
from sfumato.critic.picture.seams import Lines

Array = NDArray[np.float32]

# Side of the parts where no lines are named, in px of the base.
PART_PX = 32
# Mean squared slope (levels per px) that a part needs in its weakest direction; below, it slides along its own edges.
LEAST_SLOPE = 6.0
# A difference beyond this many levels is another thing, not the same thing moved.
MOST_LEVELS = 60.0


@dataclass(frozen=True, slots=True)
class Shifts:
    """Hold how far parts moved, in px of the base: the 95th percentile, the most, and how many could be judged."""

    parts: int
    p95_px: float
    most_px: float


def measure_shifts(pair: Pair, lines: Lines | None = None) -> Shifts:
    """Measure the shift of every part between the lines (px of the base), or of squares without lines.

    One step of least squares on the slopes of lightness: good for shifts of up to about a pixel.
    Source: Lucas and Kanade 1981, "An iterative image registration technique", eq. 10.
    """
    shown, base = pair.shown.mean(axis=2), pair.base.mean(axis=2)
    slopes = np.gradient((shown + base) / 2)
    moved = [_solve(shown[part] - base[part], slopes[0][part], slopes[1][part]) for part in _list_parts(pair, lines)]
    known = [float(shift) for shift in moved if shift is not None]
    if not known:
        return Shifts(0, float("nan"), float("nan"))
    return Shifts(len(known), float(np.percentile(known, 95)), max(known))


def _list_parts(pair: Pair, lines: Lines | None) -> Iterator[tuple[slice, slice]]:
    height, width = pair.base.shape[:2]
    for top, bottom in _list_spans(height, None if lines is None else lines.ys, pair.box[1], pair.scale):
        for left, right in _list_spans(width, None if lines is None else lines.xs, pair.box[0], pair.scale):
            yield slice(top, bottom), slice(left, right)


def _list_spans(side: int, places: tuple[int, ...] | None, offset: float, scale: float) -> list[tuple[int, int]]:
    if places is None:
        marks = [*range(0, side, PART_PX), side]
    else:
        marks = sorted({0, side, *(mark for place in places if 0 < (mark := round((place - offset) / scale)) < side)})
    return [(start, end) for start, end in pairwise(marks) if end - start >= PART_PX // 2]


def _solve(rest: Array, down: Array, across: Array) -> float | None:
    """Return how far a part moved, in px of the base; None where its edges do not hold it."""
    same = np.abs(rest) <= MOST_LEVELS
    slopes = np.stack([down[same], across[same]], axis=1).astype(np.float64)
    if len(slopes) < rest.size // 2:
        return None
    square = slopes.T @ slopes / rest.size
    if np.linalg.eigvalsh(square)[0] < LEAST_SLOPE:
        return None
    moved = np.linalg.solve(square, slopes.T @ rest[same] / rest.size)
    return float(np.hypot(*moved))
