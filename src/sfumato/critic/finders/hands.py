"""Real hands: 21 points of each, and how surely it is one.

Palms are proposed in overlapping windows and in windows round the wrists of poses; a pose also says where a hand should
be. A second network lays 21 points on each proposal. It looks again at the square that its own points ask for, and at
that square mirrored: a hand stays one. It finds and frames hands and does not judge them: a hand with a sixth finger is
as sure as any. Both networks are parts of others (see docs/parts.md). The points are the wrist, then four for each
finger from its root to its tip, thumb first. Start reading at `HandSeeker.find`.

Source: MediaPipe's cards of the models "Hand Tracking" and "Holistic" (inputs, anchors, outputs, how crops are turned
and grown).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from sfumato.core.geometry import PixelSize
from sfumato.critic.finders.candidates import (
    Candidates,
    Numbers,
    blend_overlapping,
    bound_points,
    decode_boxes,
    keep_surest,
    make_anchors,
)
from sfumato.critic.finders.crops import Points, TurnedSquare, cut_squares
from sfumato.critic.finders.levels import PictureLevels, list_levels
from sfumato.critic.finders.poses import ARMS, HIPS, SHOULDERS, BodyPose
from sfumato.critic.finders.windows import look_at_squares, look_at_windows
from sfumato.models.parts.graph import PartGraph, load_graph

PARTS = ("palm", "hand-landmarks")
PALM_PX, HAND_PX = 192, 224
# On the whole picture the palm network misses most hands. On 22 renders with hands, windows of 384 px found 13,
# of 256 px 21, see docs/log of 2026-11-30.
WINDOW_PX, OVERLAP_PX = 256, 80
# A palm this sure is looked at; the landmarks decide.
LEAST_SCORE = 0.2
# A proposal is looked at again where the landmarks say at least so much.
LEAST_AGAIN = 0.3
# The least presence of all further looks, for hands at the wrist of a pose and for others. Chosen on the half
# "calibrate" of tests/labels/real.json: a foot had 0.86, a petal 0.92; true hands mostly 0.94 to 1.00.
LEAST_AT_WRIST, LEAST_ALONE = 0.85, 0.95
# A hand is at a wrist where its middle is at most so far from it, in sides of its box.
REACH = 1.2
MOST_COVER, MOST_INSIDE = 0.3, 0.6
# Its side is told where the mean of a look and of its mirror, which is the other side, is this sure.
LEAST_SIDE = 0.9
# Proposals whose boxes share more than this of their union are looked at again once.
MOST_SAME = 0.6
# The crop of a hand: 2.6 times the palm, moved by half a palm towards the fingers.
HAND_GROWTH, HAND_SHIFT = 2.6, 0.5
# The crop that its own points ask for: 2 times the box of wrist, roots and middle joints, moved by a tenth of it.
PALM_JOINTS, AGAIN_GROWTH, AGAIN_SHIFT = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18), 2.0, 0.1
WRIST_JOINT, ROOTS = 0, (5, 9, 13)
# Windows for palms round a wrist, and the crop where a pose says that a hand is, in lengths of the forearm.
WRIST_WINDOWS, POSE_CROP = (1.3, 2.2), 1.3
# The same crop in lengths from the wrist to the knuckles.
KNUCKLE_CROP, KNUCKLE_SHIFT = 5.4, 0.1
# A forearm that points at the camera looks short; then these shares of trunk and shoulders count.
TRUNK_SHARE, SHOULDER_SHARE = 0.4, 0.5
# A wrist counts where the pose says at least so surely that it is seen.
LEAST_WRIST = 0.1
# Skin lies round the points, which run through the middle of the fingers.
BOX_GROWTH = 1.2
WRIST, MIDDLE_ROOT = 0, 2
HAND_BATCH = 4


@dataclass(frozen=True, slots=True)
class Hand:
    """Hold a hand: its 21 points [21, 2], px of the picture, and how surely it is one, 0 to 1.

    `right` is how surely it is a right hand as seen by somebody in front of the person, 0 to 1.
    """

    points: Points
    presence: float
    right: float = 0.5

    @property
    def side(self) -> str:
        """Return left or right, nothing where both looks do not agree surely."""
        return "right" if self.right >= LEAST_SIDE else "left" if self.right <= 1.0 - LEAST_SIDE else ""


class HandSeeker:
    """Find hands and their points. A leaf."""

    @cached_property
    def _palms(self) -> PartGraph:
        return load_graph(PARTS[0])

    @cached_property
    def _landmarks(self) -> PartGraph:
        return load_graph(PARTS[1])

    @cached_property
    def _anchors(self) -> Numbers:
        return make_anchors(PALM_PX, (8, 16), (2, 6))

    def find(self, levels: PictureLevels, size: PixelSize, poses: Sequence[BodyPose]) -> tuple[Hand, ...]:
        """Return each hand once, the surest first; poses say where else to look.

        Raises:
            ModelError: the parts were not fetched yet.
        """
        first = [
            one for one in self._look(levels, self._list_squares(levels, size, poses)) if one.presence >= LEAST_AGAIN
        ]
        first = _keep(first, MOST_SAME, 1.0)
        # The least of these looks counts, so what one of them finds too unsure is not looked at again.
        second = _drop_unsure(self._look(levels, [_frame_again(one.points) for one in first]))
        squares = [_frame_again(one.points) for one in second]
        pairs = list(zip(second, squares, self._look(levels, squares), strict=True))
        pairs = [pair for pair in pairs if pair[2].presence >= LEAST_AT_WRIST]
        mirrored = self._look(levels, [square for _, square, _ in pairs], mirrored=True)
        hands = [
            Hand(last.points, min(one.presence, last.presence, mirror.presence), (last.right + 1.0 - mirror.right) / 2)
            for (one, _, last), mirror in zip(pairs, mirrored, strict=True)
        ]
        wrists = [pose.points[wrist] for pose in poses for _, wrist, _, _ in ARMS]
        return tuple(_keep([hand for hand in hands if _is_sure(hand, wrists)], MOST_COVER, MOST_INSIDE))

    def _list_squares(self, levels: PictureLevels, size: PixelSize, poses: Sequence[BodyPose]) -> list[TurnedSquare]:
        """Return where the landmarks look first: at palms, and where poses say that hands are."""
        seen = [
            candidates
            for level in list_levels(size, WINDOW_PX)
            for candidates in look_at_windows(levels, level, WINDOW_PX, OVERLAP_PX, PALM_PX, self._propose)
        ]
        windows = [square for pose in poses for square in _list_wrist_windows(pose)]
        for start in range(0, len(windows), HAND_BATCH):
            seen += look_at_squares(levels, windows[start : start + HAND_BATCH], PALM_PX, self._propose)
        squares = [_frame(box, points) for one in seen for box, points in zip(one.boxes, one.points, strict=True)]
        return squares + [square for pose in poses for square in _list_pose_crops(pose)]

    def _propose(self, windows: torch.Tensor) -> Iterator[Candidates]:
        """Yield the palms of each window, uint8 [n, side, side, 3], in px of the network's input."""
        raw, logits = self._palms.run(windows.float() / 255.0)
        for rows, scores in zip(raw.numpy(), logits[..., 0].numpy(), strict=True):
            yield blend_overlapping(decode_boxes(rows, scores, self._anchors, PALM_PX, LEAST_SCORE), MOST_COVER)

    def _look(
        self, levels: PictureLevels, squares: Sequence[TurnedSquare], *, mirrored: bool = False
    ) -> Iterator[Hand]:
        """Yield the hand in each square; of `mirrored` squares only presence and side mean anything."""
        for start in range(0, len(squares), HAND_BATCH):
            few = squares[start : start + HAND_BATCH]
            crops = torch.from_numpy(cut_squares(levels, few, HAND_PX))
            crops = crops.flip(2) if mirrored else crops
            points, presences, sides, *_ = self._landmarks.run(crops.float() / 255.0)
            places = points.reshape(len(few), 21, 3)[..., :2].numpy() / HAND_PX
            said = zip(few, presences.reshape(-1).tolist(), sides.reshape(-1).tolist(), places, strict=True)
            for square, presence, right, place in said:
                yield Hand(square.to_picture(place), float(presence), float(right))


def _drop_unsure(hands: Iterable[Hand]) -> list[Hand]:
    """Return the hands that may count, at the wrist of a pose at least."""
    return [hand for hand in hands if hand.presence >= LEAST_AT_WRIST]


def _keep(hands: Sequence[Hand], most_cover: float, most_inside: float) -> list[Hand]:
    """Return hands without those that a surer one covers, the surest first."""
    if not hands:
        return []
    boxes = np.stack([bound_points(hand.points, BOX_GROWTH) for hand in hands])
    sure = np.array([hand.presence for hand in hands], np.float32)
    return [hands[number] for number in keep_surest(boxes, sure, most_cover=most_cover, most_inside=most_inside)]


def _is_sure(hand: Hand, wrists: Sequence[Points]) -> bool:
    """Tell whether a hand counts; one at the wrist of a pose needs less than one alone."""
    box = bound_points(hand.points, BOX_GROWTH)
    middle, reach = (box[:2] + box[2:]) / 2, REACH * float((box[2:] - box[:2]).max())
    at_wrist = any(math.hypot(*(middle - wrist)) <= reach for wrist in wrists)
    return hand.presence >= (LEAST_AT_WRIST if at_wrist else LEAST_ALONE)


def _frame(box: Numbers, points: Points) -> TurnedSquare:
    """Return the square that the landmarks look at: turned so that the middle finger points up, and grown."""
    left, top, right, bottom = (float(side) for side in box)
    across, down = (float(value) for value in points[MIDDLE_ROOT] - points[WRIST])
    # Clockwise from straight up.
    angle = math.atan2(across, -down)
    side = max(right - left, bottom - top)
    shift = HAND_SHIFT * (bottom - top)
    x, y = (left + right) / 2 + shift * math.sin(angle), (top + bottom) / 2 - shift * math.cos(angle)
    return TurnedSquare(x, y, HAND_GROWTH * side, angle)


def _frame_again(points: Points) -> TurnedSquare:
    """Return the square that a hand's own points ask for."""
    across, down = (float(value) for value in points[list(ROOTS)].mean(axis=0) - points[WRIST_JOINT])
    angle = math.atan2(across, -down)
    up = np.array((math.sin(angle), -math.cos(angle)))
    right = np.array((math.cos(angle), math.sin(angle)))
    joints = points[list(PALM_JOINTS)]
    along, beside = joints @ up, joints @ right
    height, width = float(np.ptp(along)), float(np.ptp(beside))
    middle = right * (beside.min() + width / 2) + up * (along.min() + height / 2 + AGAIN_SHIFT * height)
    return TurnedSquare(float(middle[0]), float(middle[1]), max(AGAIN_GROWTH * max(height, width), 1.0), angle)


def _list_wrist_windows(pose: BodyPose) -> Iterator[TurnedSquare]:
    """Yield the windows round the wrists of a pose in which palms are searched."""
    for elbow, wrist, pinky, index in ARMS:
        if pose.seen[wrist] >= LEAST_WRIST:
            x, y = (float(value) for value in _find_knuckles(pose, pinky, index))
            length = _measure_forearm(pose, elbow, wrist)
            yield from (TurnedSquare(x, y, share * length, 0.0) for share in WRIST_WINDOWS)


def _list_pose_crops(pose: BodyPose) -> Iterator[TurnedSquare]:
    """Yield the squares, wrist below and knuckles above, where a pose says that hands are."""
    for elbow, wrist, pinky, index in ARMS:
        if pose.seen[wrist] < LEAST_WRIST:
            continue
        knuckles = _find_knuckles(pose, pinky, index)
        across, down = (float(value) for value in knuckles - pose.points[wrist])
        angle, length = math.atan2(across, -down), math.hypot(across, down)
        for side in (KNUCKLE_CROP * length, POSE_CROP * _measure_forearm(pose, elbow, wrist)):
            shift = KNUCKLE_SHIFT * side / 2.7
            x, y = float(knuckles[0]) + shift * math.sin(angle), float(knuckles[1]) - shift * math.cos(angle)
            yield TurnedSquare(x, y, max(side, 1.0), angle)


def _find_knuckles(pose: BodyPose, pinky: int, index: int) -> Points:
    return (2 * pose.points[index] + pose.points[pinky]) / 3


def _measure_forearm(pose: BodyPose, elbow: int, wrist: int) -> float:
    shoulders, hips = pose.points[list(SHOULDERS)], pose.points[list(HIPS)]
    trunk = math.hypot(*(shoulders.mean(axis=0) - hips.mean(axis=0)))
    forearm = math.hypot(*(pose.points[wrist] - pose.points[elbow]))
    return max(forearm, TRUNK_SHARE * trunk, SHOULDER_SHARE * math.hypot(*(shoulders[0] - shoulders[1])), 1.0)
