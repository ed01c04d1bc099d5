"""The posed hand as triangles: skinned, subdivided, with an extra or missing finger, and a sleeve.

Lengths are decimetres; the hand is a left one. It knows no camera and no light. Start reading at `pose_hand`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.world.hands3d.faults import (
    HandFaultPlan,
    blend_along_ray,
    change_pose,
    extra_bones,
    find_lost,
    fuse_bones,
    heal_over,
    pose_extra,
)
from sfumato.world.hands3d.labels import EXTRA
from sfumato.world.hands3d.mesh import Floats, Ints, bone, own_triangles
from sfumato.world.hands3d.rig import DIGITS, FINGERS, FOREARM, WRIST, Matrices, Pose, RestHand, move, pose_bones, unit

TIP_SHARE = 0.8
"""The tip of a digit lies this far along its last bone: bones end outside the flesh."""
EXTRA_CUT = 0.55
"""A triangle belongs to an extra finger when its bones hold more than this of each corner."""


@dataclass(frozen=True)
class PosedHand:
    """N vertices and T triangles in a pose; `rest_` arrays keep where a vertex lies on the resting hand."""

    vertices: Floats  # [N, 3]
    normals: Floats  # [N, 3]
    rest_vertices: Floats  # [N, 3]
    rest_normals: Floats  # [N, 3]
    digit_weights: Floats  # [N], how much any digit holds a vertex
    forearm: Floats  # [N], 0 at the elbow, 1 at the wrist
    triangles: Ints  # [T, 3]
    uv: Floats  # [T, 3, 2]
    digits: Ints  # [T], 1 thumb to 6 extra, 0 none
    sleeve: NDArray[np.bool_]  # [T]
    joints: Floats  # [21 or 25, 3], NaN for a missing digit
    matrices: Matrices


def pose_hand(rest: RestHand, pose: Pose, knuckles: float, fault: HandFaultPlan | None = None) -> PosedHand:
    """Pose a hand, with or without a fault; `knuckles` is how far they stand out, in decimetres."""
    pose = change_pose(pose, fault) if fault else pose
    matrices = pose_bones(rest, pose, fault.rays if fault else None)
    if fault and fault.kind == "fused_digits":
        matrices = fuse_bones(rest, matrices, fault)
    shaped = _raise_knuckles(rest, knuckles)
    cage = _skin(shaped, rest.mesh.weights, matrices)
    flat = shaped
    weights, digits = rest.mesh.digit_weights.sum(1), rest.mesh.triangle_digits
    if fault and fault.kind == "missing_digit":
        lost = find_lost(rest, fault.digit)
        cage, flat = heal_over(rest, cage, lost), heal_over(rest, shaped, lost)
        kept = rest.mesh.digit_weights.copy()
        kept[:, fault.digit - 1] = 0.0
        weights, digits = kept.sum(1), own_triangles(kept, rest.mesh.triangles)
    hand = _subdivide(rest, cage, flat)
    hand = replace(
        hand,
        digit_weights=weights.astype(np.float32),
        digits=digits.astype(np.int32),
        joints=_place_joints(rest, matrices, lost=fault.digit if fault and fault.kind == "missing_digit" else 0),
        matrices=matrices,
    )
    if fault and fault.kind == "extra_digit":
        hand = _add_extra(rest, hand, pose, shaped, fault)
    return hand


def _raise_knuckles(rest: RestHand, amount: float) -> NDArray[np.float64]:
    vertices, dorsal = rest.vertices.copy(), -rest.palm_normal
    for finger in FINGERS:
        for segment, height, reach in ((1, 1.0, 0.085), (2, 0.45, 0.06)):
            offset = vertices - rest.heads[bone(finger, segment)]
            above = np.clip(offset @ dorsal / 0.05, 0, 1)
            bump = np.exp(-(offset**2).sum(1) / (2 * reach**2)) * above
            vertices += (height * amount * bump)[:, None] * dorsal
    return vertices


def _skin(vertices: NDArray[np.float64], weights: Floats, matrices: Matrices) -> NDArray[np.float64]:
    """Linear blend skinning, [V, 3]."""
    blended = np.tensordot(weights.astype(np.float64), matrices[:, :3, :], 1)
    return (blended[:, :, :3] @ vertices[:, :, None])[..., 0] + blended[:, :, 3]


def _subdivide(rest: RestHand, cage: NDArray[np.float64], flat: NDArray[np.float64]) -> PosedHand:
    mesh = rest.mesh
    vertices, rest_vertices = (np.asarray(mesh.split @ points.astype(np.float32)) for points in (cage, flat))
    elbow = rest.heads[FOREARM]
    axis = rest.wrist - elbow
    return PosedHand(
        vertices=vertices,
        normals=find_normals(vertices, mesh.fine_quads),
        rest_vertices=rest_vertices,
        rest_normals=find_normals(rest_vertices, mesh.fine_quads),
        digit_weights=np.zeros(len(vertices), np.float32),
        forearm=((rest_vertices - elbow) @ axis / (axis @ axis)).astype(np.float32),
        triangles=mesh.triangles,
        uv=mesh.triangle_uv,
        digits=mesh.triangle_digits,
        sleeve=np.zeros(len(mesh.triangles), np.bool_),
        joints=np.zeros((0, 3), np.float32),
        matrices=np.zeros((0, 4, 4)),
    )


def find_normals(vertices: Floats, quads: Ints) -> Floats:
    """Return the unit normal of each vertex, float32 [N, 3]: the mean of its faces by area."""
    faces = np.cross(vertices[quads[:, 2]] - vertices[quads[:, 0]], vertices[quads[:, 3]] - vertices[quads[:, 1]])
    normals = np.zeros(vertices.shape)
    for corner in range(4):
        for axis in range(3):
            normals[:, axis] += np.bincount(quads[:, corner], faces[:, axis], len(vertices))
    return unit(normals).astype(np.float32)


def _place_joints(rest: RestHand, matrices: Matrices, *, lost: int) -> Floats:
    joints = [move(matrices[WRIST], rest.wrist)]
    for digit in DIGITS:
        own = _digit_joints(rest, matrices, digit)
        joints += [np.full(3, np.nan)] * len(own) if digit == lost else own
    return np.array(joints, np.float32)


def _digit_joints(rest: RestHand, matrices: Matrices, digit: int) -> list[NDArray[np.float64]]:
    numbers = [bone(digit, segment) for segment in (1, 2, 3)]
    last = numbers[-1]
    tip = rest.tails[last] * TIP_SHARE + rest.heads[last] * (1 - TIP_SHARE)
    return [*(move(matrices[number], rest.heads[number]) for number in numbers), move(matrices[last], tip)]


def _add_extra(
    rest: RestHand, hand: PosedHand, pose: Pose, shaped: NDArray[np.float64], fault: HandFaultPlan
) -> PosedHand:
    """Add a copy of a finger and its metacarpal, which leaves its original between the wrist and the knuckle."""
    matrices = pose_extra(rest, pose, hand.matrices, fault)
    follow = blend_along_ray(rest, fault.digit)
    weights = rest.mesh.weights
    cage = _skin(shaped, weights, matrices) * follow + _skin(shaped, weights, hand.matrices) * (1 - follow)
    vertices = np.asarray(rest.mesh.split @ cage.astype(np.float32))
    normals = find_normals(vertices, rest.mesh.fine_quads)
    held = rest.mesh.fine_weights[:, extra_bones(fault.digit)].sum(1)
    chosen = (held[rest.mesh.triangles] > EXTRA_CUT).all(1)
    used = np.unique(rest.mesh.triangles[chosen])
    numbers = np.full(len(vertices), -1, np.int32)
    numbers[used] = np.arange(len(used)) + len(hand.vertices)
    new = {
        "vertices": vertices[used],
        "normals": normals[used],
        "rest_vertices": hand.rest_vertices[used],
        "rest_normals": hand.rest_normals[used],
        "digit_weights": rest.mesh.digit_weights[used, fault.digit - 1],
        "forearm": hand.forearm[used],
        "triangles": numbers[rest.mesh.triangles[chosen]],
        "uv": hand.uv[chosen],
        "digits": np.full(int(chosen.sum()), EXTRA, np.int32),
        "sleeve": np.zeros(int(chosen.sum()), np.bool_),
        "joints": np.array(_digit_joints(rest, matrices, fault.digit), np.float32),
    }
    return _append(hand, new)


def _append(hand: PosedHand, new: Mapping[str, NDArray[Any]]) -> PosedHand:
    joined = {name: np.ascontiguousarray(np.concatenate([getattr(hand, name), rows])) for name, rows in new.items()}
    return replace(hand, **joined)


def add_sleeve(rest: RestHand, hand: PosedHand, hem: float, width: float) -> PosedHand:
    """Add a sleeve: a shell round the forearm up to `hem` (1 is the wrist), `width` decimetres away from the skin.

    It has an inner side, so that one can look into it.
    """
    share = hand.forearm[hand.triangles]
    chosen = (share.min(1) < hem) & (hand.digits == 0) & (hand.digit_weights[hand.triangles].max(1) < 0.01)
    used = np.unique(hand.triangles[chosen])
    numbers = np.full(len(hand.vertices), -1, np.int32)
    numbers[used] = np.arange(len(used))
    elbow = rest.heads[FOREARM]
    axis = (rest.wrist - elbow).astype(np.float32)
    # Corners beyond the hem slide back to it, so that it is straight.
    forearm = hand.forearm[used]
    # The forearm rests; where the wrist bends, cloth does not follow.
    points = hand.rest_vertices[used] - np.maximum(forearm - hem, 0)[:, None] * axis
    forearm = np.minimum(forearm, hem)
    radial = points - (elbow + forearm[:, None] * axis)
    radial -= (radial @ axis / (axis @ axis))[:, None] * axis
    outwards = unit(radial)
    back = hem - forearm
    # Cloth hangs: folds that grow away from the hem, and a sleeve that widens towards the elbow.
    turn = np.arctan2(outwards[:, 0], outwards[:, 2])
    folds = 0.22 * np.clip(back * 6, 0, 1) * np.sin(forearm * 40 + 3 * np.sin(2 * turn + forearm * 9))
    out = width * (1 + folds + 1.4 * np.clip(back, 0, 0.4))
    sides = []
    for inner in (False, True):
        thickness = np.float32(0.35 * width) if inner else np.float32(0.0)
        turned = numbers[hand.triangles[chosen]] + len(hand.vertices) + (len(used) if inner else 0)
        sides.append(
            {
                "vertices": (points + outwards * (out - thickness)[:, None]).astype(np.float32),
                "normals": (-outwards if inner else outwards).astype(np.float32),
                "rest_vertices": hand.rest_vertices[used],
                "rest_normals": hand.rest_normals[used],
                "digit_weights": np.zeros(len(used), np.float32),
                "forearm": forearm.astype(np.float32),
                "triangles": turned[:, ::-1] if inner else turned,
                "uv": hand.uv[chosen],
                "digits": np.zeros(int(chosen.sum()), np.int32),
                "sleeve": np.ones(int(chosen.sum()), np.bool_),
            }
        )
    for side in sides:
        hand = _append(hand, side)
    return hand
