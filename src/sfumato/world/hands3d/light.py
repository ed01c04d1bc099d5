"""Light on a hand: a dome of soft light with shadow maps, one key light, and how they are drawn at random.

It knows a mesh and directions, no skin. Start reading at `draw_light`, then `shine_dome`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from sfumato.world.hands3d.mesh import Floats, Ints
from sfumato.world.hands3d.raster import draw_depth
from sfumato.world.hands3d.rig import unit

DOME_DIRECTIONS = 24
DOME_MAP, KEY_MAP = 72, 512
"""Sides of the shadow maps in cells: many small ones for the dome, one large one for the key light."""
DOME_BIAS_DM = 0.05
MAP_EDGE = 4
SKIN_WRAP = 0.25
"""Light reaches this far round the edge of the lit side, as it does in skin."""
DOME_GAIN = 2.2
"""Brings an open place under an even dome of 1 to about 1."""


def _spread_directions(count: int) -> NDArray[np.float64]:
    """Return directions that are spread evenly over the sphere, [count, 3] (a Fibonacci spiral)."""
    number = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * number / count), np.pi * (1 + 5**0.5) * number
    return np.stack([np.cos(turn) * np.sin(polar), np.cos(polar), np.sin(turn) * np.sin(polar)], 1)


DIRECTIONS = _spread_directions(DOME_DIRECTIONS)


@dataclass(frozen=True)
class HandLight:
    """Light in camera space: `dome` is a colour for each of `DIRECTIONS`, the key light a direction and a colour."""

    dome: Floats  # [24, 3]
    key_direction: NDArray[np.float64]  # [3], from the hand to the light
    key_colour: Floats  # [3]
    softness: float  # cells of the key's shadow map
    exposure: float


def draw_light(rng: np.random.Generator, surroundings: NDArray[np.float64], skin: Floats) -> HandLight:
    """Draw a light; `surroundings` is the mean linear colour behind the hand, which tints the dome.

    The exposure follows the light and, in part, the linear colour of the skin.
    """
    tint = 0.84 + 0.16 * surroundings / max(0.05, float(surroundings.mean()))
    ambient = rng.uniform(0.28, 0.9) * np.clip(rng.normal(1, 0.06, 3), 0.8, 1.2) * tint
    tilt, side = rng.uniform(0.2, 0.9), rng.uniform(-0.4, 0.4)
    dome = ambient * (1 + tilt * DIRECTIONS[:, 1:2]) * (1 + side * DIRECTIONS[:, :1])
    direction = rng.standard_normal(3)
    direction[2] = abs(direction[2]) * 0.8 + 0.2
    direction[1] = abs(direction[1]) * 0.9 + 0.1
    warm = rng.uniform(-1, 1)
    colour = rng.uniform(0.5, 2.5) * np.array([1 + 0.06 * warm, 1.0, 1 - 0.16 * warm])
    # The eye of the camera opens for the light there is, though not fully.
    level = ambient.mean() + 0.45 * colour.mean()
    exposure = float(rng.uniform(0.85, 1.15) * 1.1 / level**0.8 * (0.28 / float(skin.mean())) ** 0.3)
    return HandLight(
        np.clip(dome, 0, None).astype(np.float32),
        unit(direction),
        colour.astype(np.float32),
        rng.uniform(0.6, 2.6),
        exposure,
    )


def face_light(vertices: Floats, direction: NDArray[np.float64], size: int) -> Floats:
    """Return vertices as a light sees them: x and y in cells of a square map, z towards the light, float32 [N, 3]."""
    towards = unit(direction)
    up = np.array([0.0, 1.0, 0.0]) if abs(towards[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    across = unit(np.cross(up, towards))
    axes = np.stack([across, np.cross(towards, across), towards]).astype(np.float32)
    return _face_light(vertices, axes, size)


@numba.njit(cache=True, error_model="numpy")
def _face_light(vertices: Floats, axes: Floats, size: int) -> Floats:
    seen = np.empty_like(vertices)
    left, right = np.float32(1e9), np.float32(-1e9)
    bottom, top = left, right
    for number in range(len(vertices)):
        x, y, z = vertices[number, 0], vertices[number, 1], vertices[number, 2]
        for axis in range(3):
            seen[number, axis] = x * axes[axis, 0] + y * axes[axis, 1] + z * axes[axis, 2]
        left, right = min(left, seen[number, 0]), max(right, seen[number, 0])
        bottom, top = min(bottom, seen[number, 1]), max(top, seen[number, 1])
    scale = np.float32(size - 2 * MAP_EDGE) / max(right - left, top - bottom, np.float32(1e-6))
    for number in range(len(vertices)):
        seen[number, 0] = (seen[number, 0] - left) * scale + MAP_EDGE
        seen[number, 1] = (seen[number, 1] - bottom) * scale + MAP_EDGE
    return seen


def shine_dome(
    vertices: Floats, normals: Floats, triangles: Ints, directions: NDArray[np.float64], dome: Floats
) -> Floats:
    """Return the soft light at each vertex, float32 [N, 3]; `triangles` cast shadows and may be coarser."""
    light = np.zeros((len(vertices), 3), np.float32)
    for direction, colour in zip(directions, dome, strict=True):
        seen = face_light(vertices, direction, DOME_MAP)
        depth = draw_depth(seen, triangles, DOME_MAP)
        _add_light(seen, normals, direction.astype(np.float32), depth, colour, light)
    return light * np.float32(DOME_GAIN / len(directions))


@numba.njit(cache=True, error_model="numpy")
def _add_light(seen: Floats, normals: Floats, direction: Floats, depth: Floats, colour: Floats, light: Floats) -> None:
    size = depth.shape[0]
    for number in range(len(seen)):
        facing = (
            normals[number, 0] * direction[0] + normals[number, 1] * direction[1] + normals[number, 2] * direction[2]
        )
        share = (facing + SKIN_WRAP) / (1 + SKIN_WRAP)
        if share <= 0:
            continue
        column = min(max(int(seen[number, 0]), 1), size - 2)
        row = min(max(int(seen[number, 1]), 1), size - 2)
        open_cells = 0
        for i in range(-1, 2):
            for j in range(-1, 2):
                if depth[row + i, column + j] < seen[number, 2] + DOME_BIAS_DM:
                    open_cells += 1
        for channel in range(3):
            light[number, channel] += share * open_cells / 9 * colour[channel]
