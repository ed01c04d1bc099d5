"""The rasteriser: triangles to pixels with a depth buffer, and depth maps for shadows.

Compiled by numba, one thread, no relaxed arithmetic, so that a machine gives the same bytes every time. It knows no
hand and no colour. Start reading at `rasterise`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import RequestError
from sfumato.world.hands3d.mesh import Floats, Ints

try:
    import numba
except ImportError as error:  # An extra: nobody needs it to render with a model.
    raise RequestError(
        "3-D hands need the package numba", got="not installed", do="Install it: pip install 'sfumato[hands3d]'"
    ) from error

FAR = -1e9


class Surface(NamedTuple):
    """What each pixel sees: the triangle (-1 for none), the weights of its first two corners, 1 / depth."""

    triangle: Ints  # [H, W]
    corners: Floats  # [H, W, 2]
    nearness: Floats  # [H, W]


def rasterise(points: Floats, triangles: Ints, size: int) -> Surface:
    """Draw triangles whose corners are (x, y, 1 / depth) in pixels; front faces run clockwise on the screen."""
    return Surface(*_rasterise(points, triangles, size))


@numba.njit(cache=True, error_model="numpy")
def _rasterise(points: Floats, triangles: Ints, size: int) -> tuple[Ints, Floats, Floats]:
    owner = np.full((size, size), -1, np.int32)
    nearest = np.zeros((size, size), np.float32)
    corners = np.zeros((size, size, 2), np.float32)
    for number in range(len(triangles)):
        a, b, c = triangles[number, 0], triangles[number, 1], triangles[number, 2]
        x0, y0, x1, y1 = points[a, 0], points[a, 1], points[b, 0], points[b, 1]
        x2, y2 = points[c, 0], points[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area >= 0:
            continue
        left, right = max(0, math.ceil(min(x0, x1, x2) - 0.5)), min(size - 1, math.floor(max(x0, x1, x2) - 0.5))
        top, bottom = max(0, math.ceil(min(y0, y1, y2) - 0.5)), min(size - 1, math.floor(max(y0, y1, y2) - 0.5))
        for row in range(top, bottom + 1):
            y = row + 0.5
            for column in range(left, right + 1):
                x = column + 0.5
                w0 = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) / area
                w1 = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) / area
                w2 = 1 - w0 - w1
                if w0 < 0 or w1 < 0 or w2 < 0:
                    continue
                near = w0 * points[a, 2] + w1 * points[b, 2] + w2 * points[c, 2]
                if near > nearest[row, column]:
                    nearest[row, column] = near
                    owner[row, column] = number
                    corners[row, column, 0] = w0 * points[a, 2] / near
                    corners[row, column, 1] = w1 * points[b, 2] / near
    return owner, corners, nearest


@numba.njit(cache=True, error_model="numpy")
def draw_depth(points: Floats, triangles: Ints, size: int) -> Floats:
    """Return the largest z of each cell of a square map, float32 [size, size]; points are (x, y, z), x and y in cells."""
    depth = np.full((size, size), np.float32(FAR), np.float32)
    for number in range(len(triangles)):
        a, b, c = triangles[number, 0], triangles[number, 1], triangles[number, 2]
        x0, y0, x1, y1 = points[a, 0], points[a, 1], points[b, 0], points[b, 1]
        x2, y2 = points[c, 0], points[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0:
            continue
        left, right = max(0, math.ceil(min(x0, x1, x2) - 0.5)), min(size - 1, math.floor(max(x0, x1, x2) - 0.5))
        top, bottom = max(0, math.ceil(min(y0, y1, y2) - 0.5)), min(size - 1, math.floor(max(y0, y1, y2) - 0.5))
        for row in range(top, bottom + 1):
            y = row + 0.5
            for column in range(left, right + 1):
                x = column + 0.5
                w0 = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) / area
                w1 = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) / area
                w2 = 1 - w0 - w1
                if w0 < 0 or w1 < 0 or w2 < 0:
                    continue
                z = w0 * points[a, 2] + w1 * points[b, 2] + w2 * points[c, 2]
                depth[row, column] = max(depth[row, column], z)
    return depth


@numba.njit(cache=True, error_model="numpy")
def pool_labels(fine: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return the most frequent label of each block of `factor` x `factor` cells; the smaller id wins a draw."""
    size = fine.shape[0] // factor
    pooled = np.zeros((size, size), np.uint8)
    counts = np.zeros(256, np.int32)
    for row in range(size):
        for column in range(size):
            block = fine[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
            best = 0
            for i in range(factor):
                for j in range(factor):
                    counts[block[i, j]] += 1
            for i in range(factor):
                for j in range(factor):
                    label = block[i, j]
                    if counts[label] > best or (counts[label] == best and label < pooled[row, column]):
                        best = counts[label]
                        pooled[row, column] = label
            for i in range(factor):
                for j in range(factor):
                    counts[block[i, j]] = 0
    return pooled
