"""What can be seen of each digit: how it is held, how much of it shows, and whether the hand can be counted.

It compares the part map with what each digit would show alone. Start reading at `find_states`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.world.hands3d.camera import Camera
from sfumato.world.hands3d.labels import DIGIT_NAMES, EXTRA, digit_of_part
from sfumato.world.hands3d.mesh import Floats
from sfumato.world.hands3d.posed import PosedHand
from sfumato.world.hands3d.raster import rasterise
from sfumato.world.hands3d.rig import Pose

FOLDED_DEG = 110.0
"""A finger whose joints bend by more than this in all is folded; a thumb, by more than 65."""
FOLDED_THUMB_DEG = 65.0
HIDDEN_SHARE = 0.30
"""As in the drawn world: a digit that shows less than this share of its own area is occluded."""
CLEAR_SHARE = 0.45
"""A digit of a hand that can be counted shows at least this share of its own area."""
FORESHORTENED_SHARE = 0.5
"""A digit of a hand that can be counted shows at least this share of its length."""
IN_FRAME_SHARE = 0.7


@dataclass(frozen=True)
class DigitTruth:
    """One digit: its state in the words of the drawn world, the shares that show, and its area in pixels."""

    name: str
    state: str  # visible, folded, occluded, out-of-frame, absent
    seen_share: float  # of its area inside the frame, were it alone
    frame_share: float  # of its area, how much lies inside the frame
    length_share: float  # of its length, as seen by the camera
    area_px: int

    def to_facts(self) -> dict[str, object]:
        """Return the facts of the truth tree."""
        return {
            "state": self.state,
            "seen_share": round(self.seen_share, 3),
            "length_share": round(self.length_share, 3),
            "area_px": self.area_px,
        }


def is_countable(digits: tuple[DigitTruth, ...]) -> bool:
    """Tell whether every digit that there is shows clearly: held out, in the frame, not foreshortened."""
    return all(
        digit.state == "visible"
        and digit.seen_share >= CLEAR_SHARE
        and digit.frame_share >= IN_FRAME_SHARE
        and digit.length_share >= FORESHORTENED_SHARE
        for digit in digits
        if digit.state != "absent"
    )


def find_states(
    hand: PosedHand, pose: Pose, camera: Camera, parts: NDArray[np.uint8], *, lost: int
) -> tuple[DigitTruth, ...]:
    """Find the state of each digit from the part map before any mirroring; `lost` is the missing digit, 0 for none."""
    size = len(parts)
    table = digit_of_part()
    areas = np.bincount(table[parts].ravel(), minlength=EXTRA + 1)
    points = camera.project(hand.vertices)
    joints = camera.project(hand.joints)
    found: list[DigitTruth] = []
    for digit in range(1, EXTRA + 1):
        if digit == EXTRA and not (hand.digits == EXTRA).any():
            continue
        name = DIGIT_NAMES[digit - 1]
        if digit == lost:
            found.append(DigitTruth(name, "absent", 0.0, 0.0, 0.0, 0))
            continue
        inside, whole = _measure_alone(hand, points, digit, size)
        seen, frame = float(areas[digit]) / max(inside, 1.0), inside / max(whole, 1.0)
        first = 4 * digit - 3 + (1 if digit == 1 else 0)
        chain = slice(first, 4 * digit + 1)
        length = _share_of_length(hand.joints[chain], joints[chain], camera.scale)
        tip = joints[4 * digit]
        state = _find_state(_bend(pose, digit, hand), digit, seen, tip)
        found.append(DigitTruth(name, state, min(seen, 1.0), frame, length, int(areas[digit])))
    return tuple(found)


def _bend(pose: Pose, digit: int, hand: PosedHand) -> float:
    """Return the total flexion in degrees; measured on the joints, which faults move too."""
    if digit == 1:
        return pose.flexion[1][1] + pose.flexion[1][2]
    chain = hand.joints[4 * digit - 3 : 4 * digit + 1].astype(np.float64)
    steps = np.diff(np.concatenate([hand.joints[:1], chain]), axis=0)
    steps /= np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-9)
    turns = np.degrees(np.arccos(np.clip((steps[1:] * steps[:-1]).sum(1), -1, 1)))
    return float(turns.sum())


def _find_state(bend: float, digit: int, seen: float, tip: Floats) -> str:
    if not (0.0 <= tip[0] < 1.0 and 0.0 <= tip[1] < 1.0):
        return "out-of-frame"
    if bend > (FOLDED_THUMB_DEG if digit == 1 else FOLDED_DEG):
        return "folded"
    return "occluded" if seen < HIDDEN_SHARE else "visible"


def _measure_alone(hand: PosedHand, points: Floats, digit: int, size: int) -> tuple[float, float]:
    """Return the area in pixels that a digit would cover alone: inside the frame, and on a frame twice as wide."""
    half = max(32, size // 2)
    held = (hand.digits == digit) & (hand.digit_weights[hand.triangles].mean(1) > 0.5)
    placed = points.copy()
    placed[:, :2] = (points[:, :2] + 0.5) * half
    covered = rasterise(placed, hand.triangles[held], 2 * half).triangle >= 0
    edge = half // 2
    scale = (size / half) ** 2
    return float(covered[edge : edge + half, edge : edge + half].sum()) * scale, float(covered.sum()) * scale


def _share_of_length(chain: Floats, projected: Floats, scale: float) -> float:
    """Return the length on the picture over the length that faced the camera at the same distance."""
    true = float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum())
    shown = float(np.linalg.norm(np.diff(projected[:, :2], axis=0), axis=1).sum())
    return min(1.0, shown / max(true * scale * float(projected[:, 2].mean()), 1e-6))
