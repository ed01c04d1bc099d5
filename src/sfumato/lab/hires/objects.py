"""Objects of a large picture held against those of its base: who is new, who is lost, who is beyond the caption.

Pure geometry over what a finder found; knows no network. All boxes are in px of the large picture.
Start reading at `list_phantoms`, then `list_lost`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]

KINDS = ("person", "face", "hand", "house")
# Parts of people, and how many of each a person has.
PARTS = {"face": 1, "hand": 2}
# What the base may show is believed from this share of a finder's own limit on, so that a doubt is never a phantom.
MAYBE_SHARE = 0.3
# Two boxes show one object from this intersection over union on; a lost object has to be found a little more exactly.
SAME_IOU, KEPT_IOU = 0.3, 0.4
# Two finds in the base (at two scales) are one object.
TWIN_IOU = 0.5
# A hand or face lies on its person, or this share of the person's longer side beside the box: arms reach out.
REACH_FRAC = 0.15


class FoundObject(Protocol):
    """What a finder says of one object: its kind, box (left, top, right, bottom in px) and confidence from 0 to 1."""

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def box(self) -> Sequence[float]: ...  # noqa: D102

    @property
    def confidence(self) -> float: ...  # noqa: D102


class ObjectFinder(Protocol):
    """Find people, faces, hands and houses; `critic.detector` is one."""

    def find(self, picture: NDArray[np.uint8], /) -> Sequence[FoundObject]:
        """Return what is in a picture, uint8 [H, W, 3], doubtful objects included."""
        ...


@dataclass(frozen=True, eq=False)
class Watcher:
    """Hold a finder that also tells its doubts, and from which confidence on each kind is sure."""

    finder: ObjectFinder
    least: Mapping[str, float]
    name: str = ""


@dataclass(frozen=True, slots=True)
class SeenObject:
    """Hold one object: kind, box in px of the large picture, confidence, and whether that is enough to be sure."""

    kind: str
    box: Box
    confidence: float
    sure: bool = True

    def to_json(self) -> list[str | float]:
        """Return kind, four sides and confidence."""
        return [self.kind, *(round(side, 1) for side in self.box), round(self.confidence, 3)]


def find_objects(watcher: Watcher, picture: NDArray[np.uint8], size: tuple[int, int]) -> tuple[SeenObject, ...]:
    """Return the objects of the counted kinds, their boxes brought to a large picture of `size` (width, height)."""
    across, down = size[0] / picture.shape[1], size[1] / picture.shape[0]
    found: list[SeenObject] = []
    for one in watcher.finder.find(picture):
        left, top, right, bottom = (float(side) for side in one.box)
        if one.kind in KINDS:
            box = (left * across, top * down, right * across, bottom * down)
            found.append(SeenObject(one.kind, box, float(one.confidence), one.confidence >= watcher.least[one.kind]))
    return tuple(found)


def join_known(first: Sequence[SeenObject], second: Sequence[SeenObject]) -> tuple[SeenObject, ...]:
    """Return the objects of both lists, those found twice once and with the higher confidence."""
    joined = list(first)
    for one in second:
        twins = [place for place, other in enumerate(joined) if _same_kind_iou(one, other) >= TWIN_IOU]
        if not twins:
            joined.append(one)
        elif one.confidence > joined[twins[0]].confidence:
            joined[twins[0]] = replace(one, sure=one.sure or joined[twins[0]].sure)
    return tuple(joined)


def list_phantoms(result: Sequence[SeenObject], known: Sequence[SeenObject]) -> tuple[SeenObject, ...]:
    """Return the sure objects of a result that nothing in its base excuses, the surest first.

    A known object of the same kind excuses one object that overlaps it (IoU of at least 0.3, or its centre
    inside): a second one in its place is new. A face or hand that the base is too small to show is excused
    by a known person it lies on, up to one face and two hands each.
    """
    sure = sorted((one for one in result if one.sure), key=lambda one: -one.confidence)
    left, room = list(known), _count_room(known)
    unknown: list[SeenObject] = []
    for one in sure:
        match = _find_match(one, left)
        if match is None:
            unknown.append(one)
        else:
            left.remove(match)
            _take_room(one, room)
    return tuple(one for one in unknown if not _take_room(one, room))


def list_lost(base: Sequence[SeenObject], shown: Sequence[SeenObject]) -> tuple[SeenObject, ...]:
    """Return the sure objects of a base that are not shown at their place any more; `shown` may hold several scales.

    A doubt in `shown` keeps an object: give only what is sure to learn what is lost or broken.
    """
    sure = [one for one in base if one.sure]
    return tuple(one for one in sure if all(_same_kind_iou(one, other) < KEPT_IOU for other in shown))


def count_kinds(found: Sequence[SeenObject]) -> dict[str, int]:
    """Count the sure objects of every kind."""
    return {kind: sum(one.kind == kind and one.sure for one in found) for kind in KINDS}


def count_excess(found: Sequence[SeenObject], most: Mapping[str, int]) -> int:
    """Count the sure objects beyond what a scene excuses; a kind that `most` leaves out is not counted."""
    counts = count_kinds(found)
    return sum(max(0, counts[kind] - most[kind]) for kind in KINDS if kind in most)


def _find_match(one: SeenObject, known: Sequence[SeenObject]) -> SeenObject | None:
    """Return the known object that overlaps most, else one around the centre."""
    same = [other for other in known if other.kind == one.kind]
    best = max(same, key=lambda other: measure_iou(one.box, other.box), default=None)
    if best is not None and measure_iou(one.box, best.box) >= SAME_IOU:
        return best
    return next((other for other in same if _holds_centre(other.box, one.box)), None)


# A person's box and how many parts of each kind it still excuses.
_Room = list[tuple[Box, dict[str, int]]]


def _count_room(known: Sequence[SeenObject]) -> _Room:
    return [(_grow(one.box), dict(PARTS)) for one in known if one.kind == "person"]


def _take_room(part: SeenObject, room: _Room) -> bool:
    """Give a part to the smallest person it lies on that still lacks one; tell whether there was one."""
    free = [each for each in room if each[1].get(part.kind, 0) > 0 and _holds_centre(each[0], part.box)]
    if not free:
        return False
    min(free, key=lambda each: _area(each[0]))[1][part.kind] -= 1
    return True


def measure_iou(one: Box, other: Box) -> float:
    """Return intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, wide) * max(0.0, high)
    return shared / max(_area(one) + _area(other) - shared, 1e-9)


def _same_kind_iou(one: SeenObject, other: SeenObject) -> float:
    return measure_iou(one.box, other.box) if one.kind == other.kind else 0.0


def _holds_centre(outer: Box, inner: Box) -> bool:
    x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]


def _grow(box: Box) -> Box:
    margin = REACH_FRAC * max(box[2] - box[0], box[3] - box[1])
    return (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
