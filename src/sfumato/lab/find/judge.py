"""Hold what a finder found against labels: what was found, what was missed, what is false.

Knows boxes, no picture. Start reading at `judge_picture`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox
from sfumato.lab.find.labels import LabelledThing

# A find is the labelled thing where they share this of their union; boxes read by eye differ that much in style.
LEAST_COVER = 0.3
# A find that lies so far inside a skipped thing, or holds so much of it, is not counted.
MOST_INSIDE = 0.5


@dataclass(slots=True)
class FindCounts:
    """Count for one kind: which labelled things were found, and the finds that are none of them.

    `heights` and `hits` have one entry for each labelled thing that is not drawn; `drawn_hits` one for each that is.
    `right` counts the finds that are a labelled thing, drawn or not.
    """

    heights: list[int] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)
    drawn_hits: list[bool] = field(default_factory=list)
    right: int = 0
    false: int = 0

    def add(self, other: FindCounts) -> None:
        """Add the counts of another picture."""
        self.heights += other.heights
        self.hits += other.hits
        self.drawn_hits += other.drawn_hits
        self.right += other.right
        self.false += other.false


def judge_picture(kind: str, found: Iterable[Found], things: Iterable[LabelledThing]) -> FindCounts:
    """Return the counts of one kind in one picture.

    The surest find chooses first, among the things that it covers the one that it covers most. A second find of the
    same thing is false.
    """
    open_things = [thing for thing in things if thing.kind == kind]
    labelled = [thing for thing in open_things if not thing.skipped]
    skipped = [thing.box for thing in open_things if thing.skipped]
    taken: set[int] = set()
    counts = FindCounts()
    for one in sorted((one for one in found if one.kind == kind), key=lambda one: -one.confidence):
        number = _choose(one.box, labelled, taken)
        if number is not None:
            taken.add(number)
            counts.right += 1
        elif not any(_is_same(one.box, box) for box in skipped):
            counts.false += 1
    for number, thing in enumerate(labelled):
        if thing.drawn:
            counts.drawn_hits.append(number in taken)
        else:
            counts.heights.append(thing.box.height)
            counts.hits.append(number in taken)
    return counts


def _choose(box: PixelBox, labelled: Sequence[LabelledThing], taken: set[int]) -> int | None:
    covers = {number: _measure_cover(box, one.box) for number, one in enumerate(labelled) if number not in taken}
    best = max(covers, key=lambda number: covers[number], default=None)
    return best if best is not None and covers[best] >= LEAST_COVER else None


def _is_same(box: PixelBox, other: PixelBox) -> bool:
    shared = box.find_overlap(other)
    return shared is not None and shared.area >= MOST_INSIDE * min(box.area, other.area)


def _measure_cover(box: PixelBox, other: PixelBox) -> float:
    shared = box.find_overlap(other)
    return 0.0 if shared is None else shared.area / (box.area + other.area - shared.area)
