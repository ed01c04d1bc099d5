"""Boxes that a network proposes: its anchors, and joining boxes that are the same thing.

Knows numbers and boxes. Start reading at `decode_boxes` and `keep_surest`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.core.geometry import PixelBox, PixelSize

Numbers = NDArray[Any]
"""Numbers of a network, float32 or what a computation makes of them."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Hold candidates: boxes [n, 4] (left, top, right, bottom), points [n, p, 2], and scores [n] from 0 to 1."""

    boxes: Numbers
    points: Numbers
    scores: Numbers

    def pick(self, keep: NDArray[np.intp] | NDArray[np.bool_]) -> Candidates:
        """Return some of them, by number or by a mask."""
        return Candidates(self.boxes[keep], self.points[keep], self.scores[keep])

    def move(self, scale: float, left: float, top: float) -> Candidates:
        """Return them scaled, then shifted."""
        shift = np.array((left, top), np.float32)
        boxes = self.boxes.reshape(-1, 2, 2) * scale + shift
        return Candidates(boxes.reshape(-1, 4), self.points * scale + shift, self.scores)


def make_anchors(input_px: int, strides: Sequence[int], each: Sequence[int]) -> Numbers:
    """Return the centres [n, 2] of the cells of a detector, from 0 to 1: per stride, row by row, `each` times."""
    found: list[Numbers] = []
    for stride, count in zip(strides, each, strict=True):
        cells = input_px // stride
        middle = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        ys, xs = np.meshgrid(middle, middle, indexing="ij")
        found.append(np.repeat(np.stack((xs.ravel(), ys.ravel()), axis=1), count, axis=0))
    return np.concatenate(found)


def decode_boxes(raw: Numbers, logits: Numbers, anchors: Numbers, input_px: int, least: float) -> Candidates:
    """Return the candidates of one window in px of the network's input, those with a score of `least` or more.

    `raw` [n, 4 + 2p] holds centre, size and points in px, counted from the anchors; `logits` is [n].
    """
    scores = (1.0 / (1.0 + np.exp(-np.clip(logits, -80.0, 80.0)))).astype(np.float32)
    keep = np.flatnonzero(scores >= least)
    rows, origins = raw[keep], anchors[keep] * input_px
    centre, half = rows[:, :2] + origins, rows[:, 2:4] / 2
    points = rows[:, 4:].reshape(len(rows), (raw.shape[1] - 4) // 2, 2) + origins[:, None]
    return Candidates(np.concatenate((centre - half, centre + half), axis=1), points, scores[keep])


def blend_overlapping(found: Candidates, most_cover: float) -> Candidates:
    """Return each group of candidates of one window that overlap as their mean, weighted by score, the surest first.

    Source: MediaPipe's weighted non-maximum suppression; neighbouring cells see the same thing, and their mean is
    steadier than the best of them.
    """
    order = np.argsort(-found.scores, kind="stable")
    groups: list[NDArray[np.intp]] = []
    while order.size:
        cover = measure_cover(found.boxes[order[0]], found.boxes[order])
        same = cover > most_cover
        same[0] = True
        groups.append(order[same])
        order = order[~same]
    if not groups:
        return found
    shares = [found.scores[group] / found.scores[group].sum() for group in groups]
    boxes = [np.tensordot(share, found.boxes[group], 1) for share, group in zip(shares, groups, strict=True)]
    points = [np.tensordot(share, found.points[group], 1) for share, group in zip(shares, groups, strict=True)]
    scores = [found.scores[group[0]] for group in groups]
    return Candidates(np.stack(boxes), np.stack(points), np.array(scores, np.float32))


def keep_surest(boxes: Numbers, scores: Numbers, *, most_cover: float, most_inside: float) -> NDArray[np.intp]:
    """Return the numbers of the boxes that remain, the surest first.

    A box goes where a surer one covers more than `most_cover` of their union, or `most_inside` of the smaller.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        first, rest = int(order[0]), order[1:]
        kept.append(first)
        cover = measure_cover(boxes[first], boxes[rest])
        inside = measure_inside(boxes[first], boxes[rest])
        order = rest[(cover <= most_cover) & (inside <= most_inside)]
    return np.array(kept, np.intp)


def bound_points(points: Numbers, growth: float) -> Numbers:
    """Return the box of points, grown about its middle by a share of its longer side."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = (growth - 1.0) / 2 * float((high - low).max())
    return np.concatenate((low - margin, high + margin))


def to_pixel_box(box: Numbers, size: PixelSize) -> PixelBox | None:
    """Return a box in whole px inside the picture, None where nothing of it lies there."""
    left, top = math.floor(float(box[0])), math.floor(float(box[1]))
    right, bottom = max(left + 1, math.ceil(float(box[2]))), max(top + 1, math.ceil(float(box[3])))
    return PixelBox(left, top, right, bottom).find_overlap(size.box)


def join_candidates(parts: Sequence[Candidates]) -> Candidates:
    """Return candidates one after the other; at least one part is needed."""
    return Candidates(
        np.concatenate([one.boxes for one in parts]),
        np.concatenate([one.points for one in parts]),
        np.concatenate([one.scores for one in parts]),
    )


def measure_cover(box: Numbers, others: Numbers) -> Numbers:
    """Return intersection over union of a box with others [n, 4]."""
    shared = _measure_shared(box, others)
    return shared / np.maximum(_measure_area(box) + _measure_area(others) - shared, 1e-6)


def measure_inside(box: Numbers, others: Numbers) -> Numbers:
    """Return intersection over the smaller area of a box and others [n, 4]."""
    return _measure_shared(box, others) / np.maximum(np.minimum(_measure_area(box), _measure_area(others)), 1e-6)


def _measure_shared(box: Numbers, others: Numbers) -> Numbers:
    low, high = np.maximum(box[:2], others[..., :2]), np.minimum(box[2:], others[..., 2:])
    return np.clip(high - low, 0.0, None).prod(axis=-1)


def _measure_area(boxes: Numbers) -> Numbers:
    return np.clip(boxes[..., 2:] - boxes[..., :2], 0.0, None).prod(axis=-1)
