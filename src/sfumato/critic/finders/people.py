"""The finder of people in photographs and renders: faces, eyes, mouths, persons, heads and hands.

One look at a picture serves all: faces lead to poses, poses to wrists, wrists to hands; a person without a face gets a
head. Everything learned is a part of others (see docs/parts.md), so nothing is found until the parts were fetched.
Start reading at `PeopleFinder.find`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from sfumato.canvas.pixels import PixelStore
from sfumato.core.found import Found
from sfumato.core.geometry import PixelSize
from sfumato.critic.finders.candidates import Numbers, bound_points, to_pixel_box
from sfumato.critic.finders.crops import Points
from sfumato.critic.finders.faces import PARTS as FACE_PARTS
from sfumato.critic.finders.faces import Face, FaceSeeker
from sfumato.critic.finders.hands import BOX_GROWTH, Hand, HandSeeker
from sfumato.critic.finders.hands import PARTS as HAND_PARTS
from sfumato.critic.finders.levels import PictureLevels
from sfumato.critic.finders.poses import HEAD, BodyPose, PoseSeeker, owns
from sfumato.critic.finders.poses import PART as POSE_PART

FACES, PERSONS, HANDS = "faces", "persons", "hands"
# What each name finds, and the parts that it needs.
KINDS = {
    FACES: frozenset({"face", "eye", "mouth"}),
    PERSONS: frozenset({"person", "head"}),
    HANDS: frozenset({"hand"}),
}
PARTS = {
    FACES: FACE_PARTS,
    PERSONS: (*FACE_PARTS, POSE_PART),
    HANDS: (*FACE_PARTS, POSE_PART, *HAND_PARTS),
}
# The rims in the order of the mesh's numbers, the outer corner first.
EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
MOUTH = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
# The box of an eye holds its lids and lashes, which lie around the rim.
EYE_GROWTH, MOUTH_GROWTH = 1.5, 1.25
# A person as seen from a face alone: a standing adult is seven to eight faces high and three to four wide.
PERSON_WIDTH, PERSON_HEIGHT, ABOVE_FACE = 3.6, 9.0, 0.6
# Nose, eyes, ears and mouth lie in the middle of a head.
HEAD_GROWTH = 2.0


class PeopleFinder:
    """Find what some of the names `faces`, `persons` and `hands` find. A leaf."""

    def __init__(self, names: Sequence[str] = (FACES, PERSONS, HANDS)) -> None:
        """Take the names; what none of them finds is not looked for unless it leads to what they do."""
        assert set(names) <= set(KINDS), "unknown names are refused before"
        self._names = frozenset(names)
        self.name = names[0] if len(names) == 1 else "people"
        self.kinds: frozenset[str] = frozenset(kind for name in names for kind in KINDS[name])

    @cached_property
    def _faces(self) -> FaceSeeker:
        return FaceSeeker()

    @cached_property
    def _poses(self) -> PoseSeeker:
        return PoseSeeker()

    @cached_property
    def _hands(self) -> HandSeeker:
        return HandSeeker()

    def find(self, pixels: PixelStore) -> tuple[Found, ...]:
        """Find each thing once, the surest first.

        Raises:
            ModelError: a part was not fetched yet.
        """
        levels, size = PictureLevels(pixels), pixels.size
        faces = self._faces.find(levels, size)
        found = [one for face in faces for one in _name_face(face, size)] if FACES in self._names else []
        poses = self._poses.find(levels, size, faces) if self._names & {PERSONS, HANDS} else ()
        if PERSONS in self._names:
            found += _name_persons(poses, faces, size)
        if HANDS in self._names:
            found += _name_hands(self._hands.find(levels, size, poses), size)
        return tuple(sorted(found, key=lambda one: -one.confidence))


def _name_face(face: Face, size: PixelSize) -> Iterator[Found]:
    """Yield a face, and its eyes and mouth where there is a mesh."""
    box, sure = to_pixel_box(face.box, size), face.confidence
    if box is not None:
        yield Found(kind="face", box=box, confidence=sure, by=FACES, points=_to_tuple(face.points))
    if face.mesh is None:
        return
    for kind, rim, growth in _RIMS:
        points = face.mesh[list(rim)]
        part = to_pixel_box(bound_points(points, growth), size)
        if part is not None:
            yield Found(kind=kind, box=part, confidence=sure, by=FACES, points=_to_tuple(points))


_RIMS = (("eye", EYES[0], EYE_GROWTH), ("eye", EYES[1], EYE_GROWTH), ("mouth", MOUTH, MOUTH_GROWTH))


def _name_persons(poses: Sequence[BodyPose], faces: Sequence[Face], size: PixelSize) -> Iterator[Found]:
    """Yield the persons of poses, with a head where there is no face; then those guessed from faces without a pose."""
    for pose in poses:
        box = to_pixel_box(pose.box, size)
        if box is None:
            continue
        points, seen = _to_tuple(pose.points), tuple(pose.seen.tolist())
        yield Found(kind="person", box=box, confidence=pose.presence, by=PERSONS, points=points, seen=seen)
        if not any(owns(pose, face) for face in faces):
            head = to_pixel_box(bound_points(pose.points[list(HEAD)], HEAD_GROWTH), size)
            if head is not None:
                yield Found(kind="head", box=head, confidence=pose.presence, by=PERSONS)
    for face in faces:
        if not any(owns(pose, face) for pose in poses):
            box = to_pixel_box(_guess_person(face.box), size)
            if box is not None:
                yield Found(kind="person", box=box, confidence=face.confidence, by=PERSONS)


def _name_hands(hands: Sequence[Hand], size: PixelSize) -> Iterator[Found]:
    for hand in hands:
        box = to_pixel_box(bound_points(hand.points, BOX_GROWTH), size)
        if box is not None:
            points = _to_tuple(hand.points)
            yield Found(kind="hand", box=box, confidence=hand.presence, by=HANDS, points=points, side=hand.side)


def _guess_person(box: Numbers) -> Numbers:
    left, top, right, bottom = (float(side) for side in box)
    middle, width, height = (left + right) / 2, right - left, bottom - top
    reach = PERSON_WIDTH * width / 2
    above = top - ABOVE_FACE * height
    return np.array((middle - reach, above, middle + reach, above + PERSON_HEIGHT * height), np.float32)


def _to_tuple(points: Points) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in points)
