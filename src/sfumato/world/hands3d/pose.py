"""Poses: what a gesture means in joint angles, drawn at random, and without fingers that pass through each other.

It knows angles and capsules, no mesh. Start reading at `draw_pose`.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sfumato.world.hands3d.mesh import bone
from sfumato.world.hands3d.rig import DIGITS, FINGERS, WRIST, Pose, RestHand, move, pose_bones

GESTURES_3D = ("open", "fist", "pointing", "one", "two", "three", "four", "five", "relaxed", "grip", "mixed", "pinch")
RAISED: dict[str, tuple[int, ...]] = {
    "open": DIGITS,
    "five": DIGITS,
    "four": FINGERS,
    "three": (2, 3, 4),
    "two": (2, 3),
    "one": (2,),
    "pointing": (2,),
    "fist": (),
}
"""Digits that a gesture of the captions holds out, 1 is the thumb; the other gestures bend fingers freely."""
TRIES = 12
"""Poses drawn at most until no digit passes through another."""
LONE_MIDDLE_DEG = 30.0
"""A middle finger that stretches by more than this over both neighbours is an insult: the ring finger joins it."""
TOUCH_SHARE = 0.28
"""How deep two digits may press into each other, as a share of their radii: flesh gives way."""


def draw_pose(rest: RestHand, gesture: str, rng: np.random.Generator) -> Pose:
    """Draw a pose of a gesture; of `TRIES` draws the first without overlap, or the one with the least."""
    best, least = None, np.inf
    for _ in range(TRIES):
        pose = _draw_once(gesture, rng)
        overlap = measure_overlap(rest, pose)
        if overlap < least:
            best, least = pose, overlap
        if least <= 0.0:
            break
    assert best is not None, "TRIES is positive"
    return best


def _draw_once(gesture: str, rng: np.random.Generator) -> Pose:
    raised = RAISED.get(gesture)
    flexion: dict[int, tuple[float, float, float]] = {}
    shared = rng.normal(0, 4)
    for finger in FINGERS:
        kind = _finger_kind(gesture, finger, raised, rng)
        flexion[finger] = _draw_flexion(kind, finger, shared, rng)
    if min(sum(flexion[2]), sum(flexion[4])) - sum(flexion[3]) > LONE_MIDDLE_DEG and raised is None:
        flexion[4] = flexion[3]
    spread_amount = _draw_spread(gesture, rng)
    spread = {
        finger: (share * spread_amount + rng.normal(0, 1.2)) * max(0.0, 1 - flexion[finger][0] / 80)
        for finger, share in zip(FINGERS, (10.0, 1.0, -7.0, -16.0), strict=True)
    }
    abduction, opposition, thumb = _draw_thumb(gesture, raised, rng)
    flexion[1] = thumb
    calm = 0.6 if raised is not None else 1.0
    return Pose(
        flexion=flexion,
        spread=spread,
        thumb_abduction=abduction,
        thumb_opposition=opposition,
        wrist_flexion=float(np.clip(rng.normal(0, 16 * calm), -42, 42)),
        wrist_turn=float(np.clip(rng.normal(0, 6 * calm), -14, 18)),
    )


def _finger_kind(gesture: str, finger: int, raised: tuple[int, ...] | None, rng: np.random.Generator) -> str:
    if raised is not None:
        return "open" if finger in raised else "fist"
    if gesture == "pinch":
        return "curl" if finger == 2 else "relaxed"
    if gesture == "mixed":
        return ("open", "relaxed", "curl", "fist")[rng.choice(4, p=(0.4, 0.25, 0.25, 0.1))]
    return "curl" if gesture == "grip" else gesture


def _draw_flexion(kind: str, finger: int, shared: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return the angles of knuckle, middle and end joint; the little finger of a relaxed hand bends most."""
    late = (finger - 2) * 3.0
    if kind == "open":
        knuckle, middle = rng.normal(1, 4) + shared * 0.6, abs(rng.normal(4, 4))
    elif kind == "relaxed":
        knuckle, middle = rng.normal(17, 6) + late + shared, abs(rng.normal(24, 7)) + late
    elif kind == "curl":
        knuckle, middle = rng.normal(38, 9) + late * 0.5 + shared, rng.normal(58, 10)
    else:
        knuckle, middle = rng.normal(82, 4), rng.normal(98, 4)
    end = middle * rng.uniform(0.45, 0.7) if kind != "fist" else rng.normal(62, 6)
    return float(np.clip(knuckle, -15, 88)), float(np.clip(middle, 0, 106)), float(np.clip(end, 0, 72))


def _draw_spread(gesture: str, rng: np.random.Generator) -> float:
    if gesture in ("open", "five", "four", "three"):
        return float(np.clip(rng.normal(0.75, 0.4), 0.05, 1.5))
    if gesture == "two":
        return float(np.clip(rng.normal(0.8, 0.6), 0.0, 1.8))
    return float(np.clip(rng.normal(0.3, 0.3), -0.1, 1.0))


def _draw_thumb(
    gesture: str, raised: tuple[int, ...] | None, rng: np.random.Generator
) -> tuple[float, float, tuple[float, float, float]]:
    """Return abduction, opposition and the angles of the thumb's three joints."""
    if raised is not None and 1 in raised:
        bend = (0.0, rng.normal(6, 8), rng.normal(0, 10))
        return float(np.clip(rng.normal(16, 9), 0, 36)), float(np.clip(rng.normal(2, 8), -15, 18)), _clip_thumb(bend)
    if gesture == "four":
        return -8 + rng.normal(0, 3), 48 + rng.normal(0, 4), _clip_thumb((0.0, rng.normal(36, 5), rng.normal(48, 8)))
    if raised is not None:
        # Over the folded fingers: a thumb that stands up would be one finger more.
        bend = (0.0, rng.normal(30, 5), rng.normal(44, 8))
        return -4 + rng.normal(0, 3), 42 + rng.normal(0, 4), _clip_thumb(bend)
    bend = (0.0, rng.normal(12, 10), rng.normal(14, 14))
    opposition = rng.normal(34, 6) if gesture == "pinch" else rng.normal(12, 11)
    return float(np.clip(rng.normal(6, 10), -12, 34)), float(np.clip(opposition, -12, 42)), _clip_thumb(bend)


def _clip_thumb(bend: tuple[float, float, float]) -> tuple[float, float, float]:
    return 0.0, float(np.clip(bend[1], -10, 50)), float(np.clip(bend[2], -18, 70))


def measure_overlap(rest: RestHand, pose: Pose) -> float:
    """Return how deep digits pass through one another or through the palm, in decimetres; 0 or less for none."""
    matrices = pose_bones(rest, pose)
    starts, ends, radii, owners = [], [], [], []
    for digit in DIGITS:
        width = rest.finger_width(digit) if digit > 1 else rest.finger_width(2) * 1.15
        for segment in (1, 2, 3) if digit > 1 else (2, 3):
            number = bone(digit, segment)
            starts.append(move(matrices[number], rest.heads[number]))
            ends.append(move(matrices[number], rest.tails[number]))
            radii.append(0.5 * width * (1.08, 1.0, 0.9)[segment - 1])
            owners.append(10 * digit + segment)
    # The palm: capsules along the metacarpals of the middle fingers, thicker than a finger.
    for finger in (2, 3, 4, 5):
        starts.append(
            move(matrices[WRIST], rest.wrist) * 0.3 + move(matrices[bone(finger, 1)], rest.heads[bone(finger, 1)]) * 0.7
        )
        ends.append(move(matrices[bone(finger, 1)], rest.heads[bone(finger, 1)]))
        radii.append(0.5 * rest.finger_width(finger))
        owners.append(0)
    pairs = [
        (i, j)
        for i, j in combinations(range(len(owners)), 2)
        if owners[i] // 10 != owners[j] // 10 and not _are_neighbours(owners[i], owners[j])
    ]
    first, second = np.array(pairs).T
    a, b, radius = np.array(starts), np.array(ends), np.array(radii)
    gap = _segment_distances(a[first], b[first], a[second], b[second])
    return float(((1 - TOUCH_SHARE) * (radius[first] + radius[second]) - gap).max())


def _are_neighbours(a: int, b: int) -> bool:
    """Tell whether two segments are allowed to touch: those next to the palm or to each other's root."""
    low, high = sorted((a, b))
    if low == 0:
        return high % 10 == 1 or high == 12
    return low % 10 == 1 and high % 10 == 1


def _segment_distances(
    p: NDArray[np.float64], q: NDArray[np.float64], r: NDArray[np.float64], s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the least distances between segments p-q and r-s, [N].

    Source: Ericson, "Real-Time Collision Detection", 2005, section 5.1.9.
    """
    u, v, w = q - p, s - r, p - r
    a, b, c = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    d, e = (u * w).sum(1), (v * w).sum(1)
    along = np.clip((b * e - c * d) / np.maximum(a * c - b * b, 1e-9), 0, 1)
    other = np.clip((b * along + e) / np.maximum(c, 1e-9), 0, 1)
    along = np.clip((b * other - d) / np.maximum(a, 1e-9), 0, 1)
    return np.linalg.norm(w + along[:, None] * u - other[:, None] * v, axis=1)
