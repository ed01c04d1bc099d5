"""The poses of people in real pictures: 33 points of each body, and the box that holds it.

The network looks at a square round one person and says how surely there is one, where the points are, and where the
person's square really lies; so a rough guess is looked at again until it sits. Guesses come from faces and from a few
large windows. The network is a part of others (see docs/parts.md). Start reading at `PoseSeeker.find`.

Source: MediaPipe's card of the model "BlazePose GHUM 3D" (input, outputs, the square from its points 33 and 34).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from sfumato.core.geometry import PixelSize
from sfumato.critic.finders.candidates import Numbers, keep_surest, measure_inside
from sfumato.critic.finders.crops import Points, TurnedSquare, cut_squares
from sfumato.critic.finders.faces import Face
from sfumato.critic.finders.levels import PictureLevels
from sfumato.models.parts.graph import PartGraph, load_graph

PART = "pose-landmarks"
INPUT_PX, COUNT, BODY_COUNT = 256, 39, 33
# The outputs that are looked at: points, presence, outline.
OUTLINED = (0, 1, 2)
BATCH = 4
# Points by number: the head; shoulders; hips; and of each arm elbow, wrist, and the roots of little and index finger.
HEAD = tuple(range(11))
SHOULDERS, HIPS = (11, 12), (23, 24)
ARMS = ((13, 15, 17, 19), (14, 16, 18, 20))
# The square of a person goes round point 33, and point 34 lies on its circle; then it grows.
MIDDLE, RIM, GROWTH = 33, 34, 1.25
# A first guess from a face: this many of its heights wide, its middle so far below.
FACE_SQUARE, FACE_BELOW = 8.0, 2.6
# A guess is looked at again where the network says at least so much, and so often.
LEAST_GUESS, LOOKS = 0.4, 3
# Guesses whose middles lie this near, in sides, and whose sides differ at most by this factor are one.
SAME_PLACE, SAME_SIZE = 0.2, 1.4
# The same after a look: what is this near settles at the same pose.
SETTLED_PLACE, SETTLED_SIZE = 0.08, 1.15
# A person whose face was found needs less than one without. Chosen on the half "calibrate" of tests/labels/real.json: a
# horse of coloured papers had 0.93, a robot 0.89, a rose 0.79; true persons mostly 0.99 and more.
LEAST_WITH_FACE, LEAST_ALONE = 0.8, 0.94
# A face belongs to the person whose box holds this share of it.
OWN_FACE = 0.6
# A point counts where the network says at least so surely that it is seen.
LEAST_SEEN = 0.5
# The mask reaches beyond the points: hair, feet, clothes. Shares of the longer side of their box.
BEYOND_POINTS = 0.3
# Two poses are one person: more than this of the union of their boxes, or of the smaller box, is shared.
MOST_COVER, MOST_INSIDE = 0.45, 0.8


@dataclass(frozen=True, slots=True)
class BodyPose:
    """Hold one person: points [33, 2] in px of the picture, how surely each is seen [33], and the box [4].

    The box is left, top, right, bottom. `presence` is how surely a person is there.
    """

    points: Points
    seen: Numbers
    box: Numbers
    presence: float


class PoseSeeker:
    """Find poses. A leaf."""

    @cached_property
    def _network(self) -> PartGraph:
        return load_graph(PART)

    def find(self, levels: PictureLevels, size: PixelSize, faces: Sequence[Face]) -> tuple[BodyPose, ...]:
        """Return each person once, the surest first."""
        guesses = [_guess_from_face(face) for face in faces]
        looked = self._look(levels, list_windows(size), outlined=False)
        seen = [(square, pose.presence) for square, pose in looked if pose.presence >= LEAST_GUESS]
        for square, _ in sorted(seen, key=lambda one: -one[1]):
            if not any(_is_same(square, other) for other in guesses):
                guesses.append(square)
        poses = [pose for pose in self._settle(levels, guesses) if pose.presence >= _choose_least(pose, faces)]
        if not poses:
            return ()
        boxes = np.stack([pose.box for pose in poses])
        sure = np.array([pose.presence for pose in poses], np.float32)
        kept = keep_surest(boxes, sure, most_cover=MOST_COVER, most_inside=MOST_INSIDE)
        return tuple(poses[number] for number in kept)

    def _settle(self, levels: PictureLevels, squares: Sequence[TurnedSquare]) -> Iterator[BodyPose]:
        """Yield the pose of every look at guesses; its presence is that of the square or of its mirror, the lesser."""
        for _ in range(LOOKS):
            looked = list(self._look(levels, squares))
            # Of the two presences the lesser counts, so the mirror of one that is too small already says nothing.
            sure = [number for number, (_, pose) in enumerate(looked) if pose.presence >= LEAST_WITH_FACE]
            mirrored = self._look(levels, [squares[number] for number in sure], mirrored=True, outlined=False)
            for number, (_, mirror) in zip(sure, mirrored, strict=True):
                pose = looked[number][1]
                yield replace(pose, presence=min(pose.presence, mirror.presence))
            squares = _list_apart([square for square, pose in looked if pose.presence >= LEAST_GUESS])

    def _look(
        self,
        levels: PictureLevels,
        squares: Sequence[TurnedSquare],
        *,
        mirrored: bool = False,
        outlined: bool = True,
    ) -> Iterator[tuple[TurnedSquare, BodyPose]]:
        """Yield for each square the better one that the network proposes, and the pose in it.

        Of `mirrored` squares only the presence means anything. The outline of a body costs a third of the network; without
        it a box bounds the points alone.
        """
        for start in range(0, len(squares), BATCH):
            few = squares[start : start + BATCH]
            crops = torch.from_numpy(cut_squares(levels, few, INPUT_PX))
            crops = crops.flip(2) if mirrored else crops
            wanted = OUTLINED if outlined else OUTLINED[:2]
            rows, presences, *outlines = self._network.run(crops.float() / 255.0, wanted)
            masks = outlines[0][..., 0].numpy() if outlines else np.zeros((len(few), 1, 1), np.float32)
            values = rows.reshape(len(few), COUNT, 5).numpy()
            for square, value, presence, mask in zip(few, values, presences.reshape(-1).tolist(), masks, strict=True):
                points = square.to_picture(value[:, :2] / INPUT_PX)
                seen = 1.0 / (1.0 + np.exp(-np.clip(value[:BODY_COUNT, 3], -80.0, 80.0)))
                box = _bound_body(value[:BODY_COUNT, :2], seen, mask, square)
                yield _frame(points), BodyPose(points[:BODY_COUNT], seen, box, float(presence))


def _is_same(one: TurnedSquare, other: TurnedSquare, *, place: float = SAME_PLACE, size: float = SAME_SIZE) -> bool:
    """Tell whether two squares show a person alike, so that one of them is enough."""
    apart = math.hypot(one.x - other.x, one.y - other.y)
    return apart <= place * one.side and 1 / size <= one.side / other.side <= size


def _list_apart(squares: Sequence[TurnedSquare]) -> list[TurnedSquare]:
    """Return squares without those that moved onto one before them: guesses from several windows end at one person."""
    kept = list[TurnedSquare]()
    for square in squares:
        if not any(_is_same(square, other, place=SETTLED_PLACE, size=SETTLED_SIZE) for other in kept):
            kept.append(square)
    return kept


def owns(pose: BodyPose, face: Face) -> bool:
    """Tell whether a face lies in the box of a person."""
    return float(measure_inside(pose.box, face.box[None])[0]) >= OWN_FACE


def _choose_least(pose: BodyPose, faces: Sequence[Face]) -> float:
    return LEAST_WITH_FACE if any(owns(pose, face) for face in faces) else LEAST_ALONE


def list_windows(size: PixelSize) -> list[TurnedSquare]:
    """Return squares that show the whole picture, and windows of half its longer side that overlap by half."""
    longest = float(max(size.width, size.height))
    side = longest / 2
    found = [TurnedSquare(size.width / 2, size.height / 2, longest, 0.0)]
    for y in _list_middles(size.height, side):
        found += [TurnedSquare(x, y, side, 0.0) for x in _list_middles(size.width, side)]
    return found


def _list_middles(length: float, side: float) -> list[float]:
    if length <= side:
        return [length / 2]
    count = math.ceil((length - side) / (side / 2)) + 1
    return [side / 2 + number * (length - side) / (count - 1) for number in range(count)]


def _guess_from_face(face: Face) -> TurnedSquare:
    left, top, right, bottom = (float(side) for side in face.box)
    across, down = (float(value) for value in face.points[1] - face.points[0])
    angle = math.atan2(down, across)
    side, below = FACE_SQUARE * (bottom - top), FACE_BELOW * (bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    return TurnedSquare(x - below * math.sin(angle), y + below * math.cos(angle), side, angle)


def _frame(points: Points) -> TurnedSquare:
    """Return the square of a person: upright from its middle to the point on its rim."""
    across, down = (float(value) for value in points[RIM] - points[MIDDLE])
    x, y = (float(value) for value in points[MIDDLE])
    side = 2 * GROWTH * math.hypot(across, down)
    return TurnedSquare(x, y, max(side, 1.0), math.atan2(across, -down))


def _bound_body(points: Points, seen: Numbers, mask: Numbers, square: TurnedSquare) -> Numbers:
    """Return the box of a body in px of the picture: of its mask near the points that are seen.

    `points` and `mask` (above 0: the person) lie in px of the network's input.
    """
    there = points[seen >= LEAST_SEEN]
    if len(there) < 2:
        there = points
    low, high = there.min(axis=0), there.max(axis=0)
    margin = BEYOND_POINTS * float((high - low).max())
    rows, columns = np.nonzero(mask > 0)
    inside = (
        (columns >= low[0] - margin)
        & (columns <= high[0] + margin)
        & (rows >= low[1] - margin)
        & (rows <= high[1] + margin)
    )
    outline = np.stack((columns[inside], rows[inside]), axis=1).astype(np.float32)
    if not len(outline):
        outline = there
    turned = square.to_picture(outline / INPUT_PX)
    return np.concatenate((turned.min(axis=0), turned.max(axis=0))).astype(np.float32)
