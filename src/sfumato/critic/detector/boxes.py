"""Boxes in numbers: how two cover each other, which of several say the same, and what was found of what is there.

A box is (left, top, right, bottom) in px. Knows no picture and no network. Start reading at `measure_cover`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


def measure_cover(ours: Boxes, others: Boxes) -> Boxes:
    """Return the intersection over union of every pair [n, m]; an empty box covers nothing."""
    both = measure_overlap(ours, others)
    areas = measure_areas(ours)[:, None] + measure_areas(others)[None, :] - both
    return np.divide(both, areas, out=np.zeros_like(both), where=areas > 0)


def measure_overlap(ours: Boxes, others: Boxes) -> Boxes:
    """Return the area in px that every pair of boxes shares [n, m]."""
    low = np.maximum(ours[:, None, :2], others[None, :, :2])
    high = np.minimum(ours[:, None, 2:], others[None, :, 2:])
    return (high - low).clip(min=0).prod(axis=2)


def measure_areas(boxes: Boxes) -> Boxes:
    """Return the area of every box in px."""
    return (boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1)


def measure_sides(boxes: Boxes) -> Boxes:
    """Return the longer side of every box in px."""
    return (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0)


def keep_strongest(boxes: Boxes, scores: NDArray[np.floating], most_cover: float) -> NDArray[np.intp]:
    """Return the places of the boxes that stay, strongest first: none covers a stronger one by more than `most_cover`.

    Source: greedy non-maximum suppression, as in Felzenszwalb et al. 2010, section 5.2.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        cover = measure_cover(boxes[best : best + 1], boxes[rest])[0]
        order = rest[cover <= most_cover]
    return np.array(kept, dtype=np.intp)


def match_boxes(found: Boxes, there: Boxes, least_cover: float) -> NDArray[np.intp]:
    """Return for every found box, strongest first, which box it stands for, -1 for none; each is given once."""
    cover = measure_cover(found, there)
    given = np.full(len(found), -1, dtype=np.intp)
    for place in range(len(found)):
        if cover.shape[1] == 0:
            break
        best = int(cover[place].argmax())
        if cover[place, best] >= least_cover:
            given[place] = best
            cover[:, best] = -1.0
    return given
