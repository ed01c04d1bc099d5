"""The hand as a body at rest and its bones in a pose: random shapes, and forward kinematics.

Angles are degrees, positive flexion closes the hand. It knows no skin and no picture. Start reading at `shape_hand`,
then `pose_bones`. The rest curl of the rig is taken away, so that a pose says absolute angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sfumato.world.hands3d.mesh import BONES, HandMesh, bone

Vector = NDArray[np.float64]  # [3]
Matrices = NDArray[np.float64]  # [B, 4, 4]
FINGERS = (2, 3, 4, 5)
DIGITS = (1, 2, 3, 4, 5)
WRIST = BONES.index("wrist")
FOREARM = BONES.index("lowerarm01")
REST_FAN_SHARE = 0.75
"""How much of the fan that the fingers have at rest is taken away before a spread is added."""
THUMB_REST_DEG = 8.0
CUP_DEG = 2.5
"""How far the ring and little metacarpals of a fist sink towards the palm, for each finger from the middle one."""


@dataclass(frozen=True)
class Pose:
    """Absolute angles in degrees: `flexion[digit]` by joint, `spread[finger]` towards the thumb, thumb and wrist."""

    flexion: dict[int, tuple[float, float, float]]
    spread: dict[int, float]
    thumb_abduction: float = 8.0
    thumb_opposition: float = 10.0
    wrist_flexion: float = 0.0
    wrist_turn: float = 0.0

    def total_flexion(self, digit: int) -> float:
        """Return the sum of a digit's joint angles in degrees."""
        return sum(self.flexion[digit])


@dataclass(frozen=True)
class RestHand:
    """One person's hand at rest, in decimetres: cage vertices, bone ends, and what the shape means."""

    mesh: HandMesh
    vertices: NDArray[np.float64]  # [V, 3]
    heads: NDArray[np.float64]  # [B, 3]
    tails: NDArray[np.float64]  # [B, 3]
    age: float  # share of the old targets, 0 to 1

    @cached_property
    def wrist(self) -> Vector:
        """The wrist joint."""
        return self.heads[WRIST]

    @cached_property
    def palm_normal(self) -> Vector:
        """The unit direction out of the palm."""
        normal = unit(np.cross(self.heads[bone(2, 1)] - self.wrist, self.heads[bone(5, 1)] - self.wrist))
        # Resting fingers curl towards the palm.
        first = self.tails[bone(3, 1)] - self.heads[bone(3, 1)]
        whole = self.tails[bone(3, 3)] - self.heads[bone(3, 1)]
        return normal * (np.sign((unit(whole) - unit(first)) @ normal) or 1.0)

    @cached_property
    def middle(self) -> Vector:
        """The unit direction from the wrist to the middle knuckle."""
        return unit(self.heads[bone(3, 1)] - self.wrist)

    @cached_property
    def thumb_side(self) -> float:
        """+1 where turning about the palm normal by a positive angle leads to the thumb, else -1."""
        towards = self.heads[bone(2, 1)] - self.heads[bone(5, 1)]
        return float(np.sign(np.cross(self.palm_normal, self.middle) @ towards) or 1.0)

    @cached_property
    def thumb_dorsal(self) -> Vector:
        """The unit direction out of the thumb's nail."""
        chosen = self.mesh.nail_quads & (self.mesh.fine_weights[:, bone(1, 3)][self.mesh.fine_quads] > 0.5).all(1)
        if not chosen.any():
            return -self.palm_normal
        quads = self.mesh.fine_quads[chosen]
        fine = self.mesh.split @ self.vertices
        return unit(np.cross(fine[quads[:, 2]] - fine[quads[:, 0]], fine[quads[:, 3]] - fine[quads[:, 1]]).sum(0))

    @cached_property
    def rest_fan(self) -> dict[int, float]:
        """How far each finger leans towards the thumb at rest, in degrees."""
        return {
            finger: REST_FAN_SHARE
            * self.thumb_side
            * angle_about(self.middle, self.direction(finger, 1), self.palm_normal)
            for finger in FINGERS
        }

    def direction(self, digit: int, segment: int) -> Vector:
        """Return the unit direction of a bone."""
        return unit(self.tails[bone(digit, segment)] - self.heads[bone(digit, segment)])

    def finger_width(self, digit: int) -> float:
        """Return the width of a digit at its middle segment, in decimetres."""
        chosen = self.mesh.weights[:, bone(digit, 2)] > 0.9
        points = self.vertices[chosen]
        spreads = np.linalg.svd(points - points.mean(0), compute_uv=False) / np.sqrt(len(points))
        return float(np.sort(spreads)[1] * 2 * np.sqrt(2))


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return vectors of length one along the last axis."""
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def rotation(axis: Vector, degrees: float) -> NDArray[np.float64]:
    """Return the 3 x 3 rotation about an axis."""
    x, y, z = unit(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def about(turn: NDArray[np.float64], point: Vector) -> NDArray[np.float64]:
    """Return the 4 x 4 transform that turns about a point."""
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = point - turn @ point
    return matrix


def angle_about(start: Vector, end: Vector, axis: Vector) -> float:
    """Return the signed angle in degrees from one direction to another, seen along an axis."""
    start, end = start - axis * (start @ axis), end - axis * (end @ axis)
    return float(np.degrees(np.arctan2(np.cross(start, end) @ axis, start @ end)))


def move(matrix: NDArray[np.float64], point: Vector) -> Vector:
    """Apply a 4 x 4 transform to a point."""
    return matrix[:3, :3] @ point + matrix[:3, 3]


def shape_hand(mesh: HandMesh, rng: np.random.Generator) -> RestHand:
    """Draw one person's hand: origin, sex, age, muscle, fat and finger proportions are weights of shape targets."""
    ages = dict(zip(("young", "old", "child"), rng.dirichlet([1.2, 0.6, 0.25]), strict=True))
    male = float(np.clip(rng.random() * 1.6 - 0.3, 0, 1))
    sexes = {"female": 1 - male, "male": male}
    races = dict(zip(("african", "asian", "caucasian"), rng.dirichlet([0.6] * 3), strict=True))
    muscles, fats = _thirds(rng.random(), "muscle"), _thirds(rng.random(), "weight")
    amounts = {
        f"{race}-{sex}-{age}": races[race] * sexes[sex] * ages[age] for race in races for sex in sexes for age in ages
    }
    for sex, sex_share in sexes.items():
        for age, age_share in ages.items():
            for muscle, muscle_share in muscles.items():
                for fat, fat_share in fats.items():
                    amounts[f"universal-{sex}-{age}-{muscle}-{fat}"] = sex_share * age_share * muscle_share * fat_share
    for name in ("l-hand-fingers-diameter", "l-hand-fingers-length", "l-hand-fingers-distance", "measure-wrist-circ"):
        amount = float(rng.normal(0, 0.4))
        amounts[f"{name}-{'incr' if amount > 0 else 'decr'}"] = min(abs(amount), 0.9)
    weights = np.array([amounts.get(str(name), 0.0) for name in mesh.target_names])
    return RestHand(
        mesh=mesh,
        vertices=mesh.vertices.astype(np.float64) + np.tensordot(weights, mesh.targets.astype(np.float64), 1),
        heads=mesh.heads.astype(np.float64) + np.tensordot(weights, mesh.head_targets.astype(np.float64), 1),
        tails=mesh.tails.astype(np.float64) + np.tensordot(weights, mesh.tail_targets.astype(np.float64), 1),
        age=float(ages["old"]),
    )


def _thirds(amount: float, word: str) -> dict[str, float]:
    """Return the shares of the least, average and most of something, from an amount in [0, 1]."""
    low, high = max(0.0, 1 - 2 * amount), max(0.0, 2 * amount - 1)
    return {f"min{word}": low, f"average{word}": 1 - low - high, f"max{word}": high}


def pose_bones(rest: RestHand, pose: Pose, rays: dict[int, float] | None = None) -> Matrices:
    """Return the transform of each bone from rest to pose, float64 [B, 4, 4].

    `rays` turns whole fingers with their metacarpals about the wrist towards the thumb, in degrees.
    """
    rays = rays or {}
    matrices: list[NDArray[np.float64]] = []
    for number, name in enumerate(BONES):
        parent = int(rest.mesh.parents[number])
        local = np.eye(4)
        if name == "wrist":
            local = _turn_wrist(rest, pose)
        elif name.startswith("metacarpal"):
            local = _turn_metacarpal(rest, pose, int(name[-1]) + 1, rays)
        elif name.startswith("finger1"):
            local = _turn_thumb(rest, pose, int(name[-1]))
        elif name.startswith("finger"):
            local = _turn_finger(rest, pose, int(name[6]), int(name[-1]))
        matrices.append((matrices[parent] if parent >= 0 else np.eye(4)) @ local)
    return np.array(matrices)


def _turn_wrist(rest: RestHand, pose: Pose) -> NDArray[np.float64]:
    across = np.cross(rest.middle, rest.palm_normal)
    turn = rotation(across, pose.wrist_flexion) @ rotation(rest.palm_normal, pose.wrist_turn)
    return about(turn, rest.wrist)


def _turn_metacarpal(rest: RestHand, pose: Pose, finger: int, rays: dict[int, float]) -> NDArray[np.float64]:
    local = about(rotation(rest.palm_normal, rays.get(finger, 0.0) * rest.thumb_side), rest.wrist)
    if finger not in (4, 5):
        return local
    number = BONES.index(f"metacarpal{finger - 1}")
    across = np.cross(unit(rest.tails[number] - rest.wrist), rest.palm_normal)
    cup = (finger - 3) * CUP_DEG * max(0.0, pose.flexion[finger][0]) / 60
    return local @ about(rotation(across, cup), rest.heads[number])


def _turn_thumb(rest: RestHand, pose: Pose, segment: int) -> NDArray[np.float64]:
    head, along = rest.heads[bone(1, segment)], rest.direction(1, segment)
    if segment == 1:
        turn = rotation(rest.palm_normal, pose.thumb_abduction * rest.thumb_side)
        return about(turn @ rotation(np.cross(along, rest.palm_normal), pose.thumb_opposition), head)
    flexion = pose.flexion[1][segment - 1] - THUMB_REST_DEG
    return about(rotation(np.cross(along, -rest.thumb_dorsal), flexion), head)


def _turn_finger(rest: RestHand, pose: Pose, finger: int, segment: int) -> NDArray[np.float64]:
    head, along = rest.heads[bone(finger, segment)], rest.direction(finger, segment)
    axis = unit(np.cross(rest.direction(finger, 1), rest.palm_normal))
    before = rest.middle if segment == 1 else unit(head - rest.heads[bone(finger, segment - 1)])
    local = about(rotation(axis, pose.flexion[finger][segment - 1] - angle_about(before, along, axis)), head)
    if segment > 1:
        return local
    spread = (pose.spread[finger] - rest.rest_fan[finger]) * rest.thumb_side
    return local @ about(rotation(rest.palm_normal, spread), head)
