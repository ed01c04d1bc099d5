"""What a detector should find in a drawn picture: people, faces, hands and houses with the boxes of what shows.

Knows the truth of the world and the kinds of the detector, no picture. Start reading at `list_marks`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from sfumato.critic.detector.network import KINDS, Kind
from sfumato.critic.detector.pyramid import SMALLEST_PX
from sfumato.world.truth import Truth

Box = tuple[float, float, float, float]
# Of the box of an object cut by the frame: from here on it is an object, below the other it is none, between nobody is asked.
COUNTED_FRAC, SEEN_FRAC = 0.60, 0.25
# What shows less of its own box than this (a hand behind a cup) has a box that says nothing.
LEAST_FILLED_FRAC = 0.12
_HIDDEN = ("occluded", "out-of-frame")


@dataclass(frozen=True, slots=True)
class TrueBox:
    """Hold one object: its kind, the box of what shows (px), and whether a detector is asked about it."""

    kind: Kind
    box: Box
    counts: bool = True

    @property
    def side(self) -> float:
        """Return the longer side in px."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    def move(self, x: float, y: float, scale: float = 1.0) -> TrueBox:
        """Return the mark shifted, then scaled."""
        left, top, right, bottom = self.box
        return replace(self, box=((left + x) * scale, (top + y) * scale, (right + x) * scale, (bottom + y) * scale))


def list_marks(
    truth: Truth, *, whole: Mapping[str, Box] | None = None, least_px: float = SMALLEST_PX, most_px: float = np.inf
) -> tuple[TrueBox, ...]:
    """List the objects of a picture by kind.

    `whole` holds their boxes (any corner) before a crop. Nobody is asked about what is smaller than `least_px` or a
    little larger than `most_px`; what is much larger is background.
    """
    marks: list[TrueBox] = []
    for name, (kind, box, filled) in find_objects(truth).items():
        shown = 1.0 if whole is None else _measure_area(box) / _measure_area(whole[name])
        mark = TrueBox(kind, box)
        if shown < SEEN_FRAC or mark.side > most_px * 1.4:
            continue
        clear = filled >= LEAST_FILLED_FRAC and (kind != "hand" or _is_clear(truth, name.removeprefix("hand ")))
        counts = clear and shown >= COUNTED_FRAC and least_px <= mark.side <= most_px
        marks.append(replace(mark, counts=counts))
    return tuple(marks)


def find_objects(truth: Truth) -> dict[str, tuple[Kind, Box, float]]:
    """Find what shows, by "kind path": kind, box in px, and the share of the box that it fills."""
    found: dict[str, tuple[Kind, Box, float]] = {}
    for kind in KINDS:
        owners = [find_owner(path, kind) for path in truth.paths]
        names = sorted({owner for owner in owners if owner})
        table = np.array([names.index(owner) + 1 if owner else 0 for owner in owners], np.uint8)
        areas = table[truth.ids]
        for number in np.flatnonzero(np.bincount(areas.ravel(), minlength=len(names) + 1)[1:]) + 1:
            shows = areas == number
            rows, columns = np.flatnonzero(shows.any(axis=1)), np.flatnonzero(shows.any(axis=0))
            box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
            found[f"{kind} {names[number - 1]}"] = (kind, box, float(shows.sum()) / _measure_area(box))
    return found


def find_owner(path: str, kind: Kind) -> str | None:
    """Return the path of the object of a kind that a part belongs to, or None.

    A person does not own what it holds. A face is a head without hair and ears: what is seen of a head from behind is none.
    """
    steps = path.split("/")
    if kind == "house":
        return steps[0] if re.fullmatch(r"house\d+", steps[0]) else None
    if kind == "hand" and re.fullmatch(r"hand\d+", steps[0]):
        return steps[0]
    if not re.fullmatch(r"person\d+", steps[0]) or (len(steps) > 1 and steps[1].startswith("held_")):
        return None
    if kind == "person":
        return steps[0]
    if kind == "face":
        skin = steps[1:2] == ["head"] and not (len(steps) > 2 and steps[2].startswith(("hair", "ear_")))
        return "/".join(steps[:2]) if skin else None
    return "/".join(steps[: steps.index("hand") + 1]) if "hand" in steps else None


def _is_clear(truth: Truth, path: str) -> bool:
    """Tell whether at least half of the digits of a hand can be seen, or are folded on purpose."""
    states = [
        str(known["state"])
        for name, known in truth.facts.items()
        if name.startswith(path + "/") and "state" in known and known["state"] != "absent"
    ]
    return sum(state in _HIDDEN for state in states) * 2 <= len(states)


def _measure_area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
