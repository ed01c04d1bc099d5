"""A hand of boxes as a mesh: the bones of the real one, some hundred vertices, no file. Start reading at `make_tiny_hand`."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from sfumato.world.hands3d.mesh import BONES, HandMesh
from sfumato.world.hands3d.source import subdivide

WRIST, ELBOW, SHOULDER = np.zeros(3), np.array([0.0, -2.6, 0.0]), np.array([0.0, -5.2, 0.0])
# By digit: knuckle, direction, lengths of the three bones, radius. The thumb's first bone lies in the palm.
DIGITS = {
    1: ((-0.30, 0.25, 0.0), (-0.75, 0.66, 0.0), (0.35, 0.36, 0.32), 0.10),
    2: ((-0.30, 0.95, 0.0), (-0.12, 1.0, 0.0), (0.45, 0.28, 0.24), 0.085),
    3: ((-0.10, 1.0, 0.0), (0.0, 1.0, 0.0), (0.50, 0.32, 0.25), 0.09),
    4: ((0.10, 0.97, 0.0), (0.10, 1.0, 0.0), (0.46, 0.30, 0.25), 0.085),
    5: ((0.30, 0.90, 0.0), (0.20, 1.0, 0.0), (0.36, 0.22, 0.20), 0.075),
}


class _Builder:
    def __init__(self) -> None:
        self.vertices, self.weights, self.quads, self.uv = [], [], [], []

    def ring(self, middle, across, out, bones):
        """Add four corners round a point, counter-clockwise as seen from the end; `bones` are names and weights."""
        first = len(self.vertices)
        for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
            self.vertices.append(middle + a * across + b * out)
            row = np.zeros(len(BONES))
            for name, weight in bones.items():
                row[BONES.index(name)] = weight
            self.weights.append(row)
        return first

    def tube(self, rings, nail_at=None):
        for number, (low, high) in enumerate(pairwise(rings)):
            for side in range(4):
                self.quads.append([low + side, low + (side + 1) % 4, high + (side + 1) % 4, high + side])
                # Side 0 of a digit looks to the back of the hand.
                place = 0.75 if number == nail_at and side == 0 else 0.25
                self.uv.append([[place, place]] * 4)
        self.quads.append([rings[-1] + side for side in range(4)])
        self.uv.append([[0.25, 0.25]] * 4)


def make_tiny_hand() -> HandMesh:
    """Build the mesh; the palm looks along +z, fingers run along +y, the thumb lies at -x."""
    build = _Builder()
    heads, tails, parents = _make_bones()
    x, z = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, -1.0])
    arm = [
        build.ring(ELBOW * (1 - t), 0.22 * x, 0.2 * z, {"lowerarm01": 1 - t, "lowerarm02": t})
        for t in (0.0, 0.3, 0.6, 0.8, 0.9)
    ]
    palm = [
        build.ring(np.array([0.0, y, 0.0]), w * x, 0.12 * z, {"wrist": 1.0})
        for y, w in ((0.0, 0.22), (0.3, 0.4), (0.95, 0.42))
    ]
    build.tube([*arm, *palm])
    for digit, (_, _, _, radius) in DIGITS.items():
        _add_digit(build, heads, tails, digit, radius)
    vertices = np.array(build.vertices, np.float32)
    quads = np.array(build.quads, np.int32)
    split = subdivide(quads, np.array(build.uv, np.float32), len(vertices))
    nails = np.zeros((64, 64), np.uint8)
    nails[:32, 32:] = 255
    return HandMesh(
        vertices=vertices,
        targets=np.zeros((0, len(vertices), 3), np.float16),
        target_names=np.zeros(0, "<U8"),
        heads=heads,
        tails=tails,
        head_targets=np.zeros((0, len(BONES), 3), np.float32),
        tail_targets=np.zeros((0, len(BONES), 3), np.float32),
        parents=parents,
        weights=np.array(build.weights, np.float32),
        cage_quads=quads,
        fine_quads=split.quads,
        fine_uv=split.uv,
        split_values=split.matrix.data.astype(np.float32),
        split_columns=split.matrix.indices.astype(np.int32),
        split_rows=split.matrix.indptr.astype(np.int32),
        nail_mask=nails,
    )


def _make_bones():
    ends = {
        "upperarm01": (SHOULDER, SHOULDER / 2 + ELBOW / 2),
        "upperarm02": (SHOULDER / 2 + ELBOW / 2, ELBOW),
        "lowerarm01": (ELBOW, ELBOW / 2),
        "lowerarm02": (ELBOW / 2, WRIST),
        "wrist": (WRIST, np.array([0.0, 0.3, 0.0])),
    }
    above = {"upperarm01": "", "upperarm02": "upperarm01", "lowerarm01": "upperarm02"}
    above |= {"lowerarm02": "lowerarm01", "wrist": "lowerarm02", "finger1-1": "wrist"}
    for digit, (knuckle, direction, lengths, _) in DIGITS.items():
        place, along = np.array(knuckle), np.array(direction) / np.linalg.norm(direction)
        if digit > 1:
            ends[f"metacarpal{digit - 1}"] = (0.3 * place, place)
            above |= {f"metacarpal{digit - 1}": "wrist", f"finger{digit}-1": f"metacarpal{digit - 1}"}
        for segment, length in enumerate(lengths, 1):
            # Resting fingers curl a little: the rig finds the palm's side by it.
            step = length * (along + np.array([0.0, 0.0, 0.06 * (segment - 1)]))
            ends[f"finger{digit}-{segment}"] = (place, place + step)
            place = place + step
            if segment > 1:
                above[f"finger{digit}-{segment}"] = f"finger{digit}-{segment - 1}"
    heads, tails = (np.array([ends[name][end] for name in BONES], np.float32) for end in (0, 1))
    parents = np.array([BONES.index(above[name]) if above[name] else -1 for name in BONES], np.int32)
    return heads, tails, parents


def _add_digit(build, heads, tails, digit, radius):
    names = [f"finger{digit}-{segment}" for segment in (1, 2, 3)]
    root = f"metacarpal{digit - 1}" if digit > 1 else "wrist"
    points = [(heads[BONES.index(name)], tails[BONES.index(name)]) for name in names]
    along = points[0][1] - points[0][0]
    along /= np.linalg.norm(along)
    across, out = radius * np.cross(along, [0.0, 0.0, 1.0]), np.array([0.0, 0.0, -radius])
    rings = [build.ring(points[0][0] - 0.1 * along, across, out, {root: 1.0})]
    for number, (start, end) in enumerate(points):
        before = names[number - 1] if number else root
        rings.append(build.ring(start, across, out, {before: 0.5, names[number]: 0.5}))
        rings += [build.ring(start + t * (end - start), across, out, {names[number]: 1.0}) for t in (0.3, 0.7)]
    rings.append(build.ring(points[-1][1], 0.8 * across, 0.8 * out, {names[-1]: 1.0}))
    build.tube(rings, nail_at=len(rings) - 2)
