"""Planted faults of a 3-D hand: which finger, how gross, and what that does to bones and vertices.

A fault draws from its own stream and changes nothing that others draw, so a seed has a sound and a faulty picture.
Start reading at `draw_fault`; `FAULTS_3D` lists the kinds, with the words of the drawn world.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sfumato.world.hands3d.labels import DIGIT_NAMES
from sfumato.world.hands3d.mesh import BONES, bone
from sfumato.world.hands3d.rig import FINGERS, Matrices, Pose, RestHand, move, pose_bones, unit

FAULTS_3D = ("extra_digit", "missing_digit", "fused_digits")
EXTRA_RAY_DEG = 8.5
"""By how much the ray of a whole extra finger turns away from the finger it copies."""
MISSING_CUT = 0.3
"""Cage vertices that the bones of a missing finger hold more than this become a membrane."""


@dataclass(frozen=True)
class HandFaultPlan:
    """A fault: `digit` is copied, lost, or fused with the next one; `gap` is how far apart the two lie."""

    kind: str
    digit: int
    gap: float
    rays: dict[int, float]
    flexion_change: tuple[float, float, float]
    spread_change: float

    def parts(self) -> tuple[str, ...]:
        """Name the digits that the fault touches."""
        if self.kind == "extra_digit":
            return ("extra1",)
        name = DIGIT_NAMES[self.digit - 1]
        return (name,) if self.kind == "missing_digit" else (name, DIGIT_NAMES[self.digit])


def draw_fault(kind: str, pose: Pose, rng: np.random.Generator, amount: float) -> HandFaultPlan:
    """Draw where a fault goes: to the fingers held out where there are any; `amount` in (0, 1] is how gross it is."""
    raised = [finger for finger in FINGERS if pose.total_flexion(finger) < 90.0] or list(FINGERS)
    if kind == "fused_digits":
        pairs = [finger for finger in (2, 3, 4) if {finger, finger + 1} <= set(raised)] or [2, 3, 4]
        digit, gap = int(rng.choice(pairs)), float(rng.uniform(0.56, 0.68) + 0.14 * (1 - amount))
        rays: dict[int, float] = {}
    else:
        digit = int(rng.choice(raised))
        gap = float(0.6 + 0.4 * amount * rng.uniform(0.8, 1.0))
        turn = EXTRA_RAY_DEG * gap / 2 if kind == "extra_digit" else (0.0, 4.0)[int(rng.random() < 0.6)]
        if kind == "extra_digit":
            rays = {finger: turn if finger <= digit else -turn for finger in FINGERS}
        else:
            rays = {finger: (-turn if finger < digit else turn) for finger in FINGERS if finger != digit}
    jitter = rng.normal(0, 4, 3)
    return HandFaultPlan(kind, digit, gap, rays, (jitter[0], jitter[1], jitter[2]), float(rng.normal(0, 1.5)))


def change_pose(pose: Pose, plan: HandFaultPlan) -> Pose:
    """Return the pose of the whole hand with a fault: fused fingers bend together."""
    if plan.kind != "fused_digits":
        return pose
    knuckle, middle, end = pose.flexion[plan.digit]
    change = plan.flexion_change
    together = (knuckle + 0.3 * change[0], middle + 0.3 * change[1], end)
    return replace(pose, flexion={**pose.flexion, plan.digit + 1: together})


def fuse_bones(rest: RestHand, matrices: Matrices, plan: HandFaultPlan) -> Matrices:
    """Lay a finger beside its neighbour, joint by joint, `plan.gap` widths away, and return the new transforms."""
    matrices = matrices.copy()
    first, second = plan.digit, plan.digit + 1
    place = np.zeros(3)
    for segment in (1, 2, 3):
        lead, follow = bone(first, segment), bone(second, segment)
        frame = matrices[lead][:3, :3] @ _frame(rest, first, segment)
        if segment == 1:
            own, start = (move(matrices[number], rest.heads[number]) for number in (follow, lead))
            sideways = frame[:, 1] * np.sign(frame[:, 1] @ (own - start))
            along = frame[:, 0] * (frame[:, 0] @ (own - start))
            place = start + along + sideways * plan.gap * rest.finger_width(first)
        turn = frame @ _frame(rest, second, segment).T
        matrices[follow] = np.eye(4)
        matrices[follow][:3, :3] = turn
        matrices[follow][:3, 3] = place - turn @ rest.heads[follow]
        place = move(matrices[follow], rest.tails[follow])
    return matrices


def _frame(rest: RestHand, digit: int, segment: int) -> NDArray[np.float64]:
    along = rest.direction(digit, segment)
    across = unit(np.cross(along, rest.palm_normal))
    return np.stack([along, across, np.cross(along, across)], 1)


def pose_extra(rest: RestHand, pose: Pose, matrices: Matrices, plan: HandFaultPlan) -> Matrices:
    """Return transforms in which the copied finger and its metacarpal stand where the extra finger goes."""
    digit = plan.digit
    flexion = tuple(angle + change for angle, change in zip(pose.flexion[digit], plan.flexion_change, strict=True))
    moved = replace(
        pose,
        flexion={**pose.flexion, digit: (flexion[0], flexion[1], flexion[2])},
        spread={**pose.spread, digit: pose.spread[digit] + plan.spread_change},
    )
    rays = {**plan.rays, digit: plan.rays[digit] - EXTRA_RAY_DEG * plan.gap}
    copied = pose_bones(rest, moved, rays)
    own = extra_bones(digit)
    result = matrices.copy()
    result[own] = copied[own]
    return result


def extra_bones(digit: int) -> NDArray[np.bool_]:
    """Return which bones an extra finger copies: those of the finger and its metacarpal, bool [B]."""
    own = np.zeros(len(BONES), np.bool_)
    own[[bone(digit, segment) for segment in (1, 2, 3)]] = True
    own[BONES.index(f"metacarpal{digit - 1}")] = True
    return own


def blend_along_ray(rest: RestHand, digit: int) -> NDArray[np.float64]:
    """Return how far each cage vertex follows the extra ray: 0 at the wrist, 1 at the knuckle, smooth, [V, 1]."""
    ray = rest.heads[bone(digit, 1)] - rest.wrist
    along = (rest.vertices - rest.wrist) @ unit(ray) / np.linalg.norm(ray)
    share = np.clip((along - 0.3) / 0.6, 0, 1)
    return (share * share * (3 - 2 * share))[:, None]


def find_lost(rest: RestHand, digit: int) -> NDArray[np.bool_]:
    """Return which cage vertices belong to a missing finger, bool [V]."""
    return rest.mesh.weights[:, [bone(digit, segment) for segment in (1, 2, 3)]].sum(1) > MISSING_CUT


def heal_over(rest: RestHand, vertices: NDArray[np.float64], lost: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Put the lost vertices on a smooth membrane over the finger's root; scaling them to nothing would leave spikes."""
    laplacian = rest.mesh.laplacian
    healed = vertices.copy()
    healed[lost] = np.linalg.solve(laplacian[lost][:, lost].toarray(), -(laplacian[lost][:, ~lost] @ vertices[~lost]))
    return healed
