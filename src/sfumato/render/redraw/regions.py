"""Where a canvas is drawn anew: the places, each with what its windows see around it, apart from one another.

Pure geometry in cells. Start reading at `cut_parts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sfumato.core.geometry import LatentBox
from sfumato.render.cohesive.change_map import Freedom
from sfumato.render.cohesive.update import MARGIN_CELLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfumato.core.geometry import LatentSize, PixelBox

# What a place is grown by before it is as large as a window, in cells.
RIM_CELLS = 2
# Sides of the map of places: finer than a cell is never needed, and memory must not grow with the picture.
MOST_MAP_CELLS = 256
# A step that no level has: cells of the map that stay closed.
_NEVER = 1e6


@dataclass(frozen=True)
class Part:
    """Hold a part of a canvas and the places in it that are drawn anew, in cells of the canvas."""

    box: LatentBox
    places: tuple[LatentBox, ...]

    def make_freedom(self) -> Freedom:
        """Return what opens the cells of the places, on a canvas that is the part."""
        cells = self.box.size
        height, width = (min(side, MOST_MAP_CELLS) for side in cells.shape_hw)
        first_steps = torch.full((height, width), _NEVER)
        for place in self.places:
            place = place.shift(-self.box.left, -self.box.top)
            rows = _scale(place.top, place.bottom, cells.height, height)
            first_steps[rows, _scale(place.left, place.right, cells.width, width)] = 0.0
        return Freedom(
            first_steps=first_steps,
            share=torch.ones(height, width),
            part=(0.0, 0.0, 1.0, 1.0),
            canvas=cells,
            margin_cells=MARGIN_CELLS,
        )

    def list_open(self) -> list[LatentBox]:
        """Return boxes that hold every open cell, in cells of the canvas."""
        grain = max(-(-side // MOST_MAP_CELLS) for side in self.box.size.shape_hw)
        rim = 0 if grain == 1 else 2 * grain + 1
        grown = (place.grow(rim).find_overlap(self.box) for place in self.places)
        return [box for box in grown if box is not None]


def cut_parts(boxes: Sequence[PixelBox], cells: LatentSize, window: LatentSize, factor: int) -> tuple[Part, ...]:
    """Return the parts of a canvas that hold boxes (px), in reading order; none reaches into another.

    A place is a box grown by a rim and to the size of a window; around it a part has half a window more.
    """
    parts: list[Part] = []
    for box in boxes:
        place = grow_place(box.snap_out(factor).to_latent(factor), window, cells)
        around = max(MARGIN_CELLS, min(window.width, window.height) // 2)
        parts.append(Part(place.grow(around).clip(cells), (place,)))
    while (pair := _find_pair(parts)) is not None:
        parts = [*(part for part in parts if part not in pair), _join(*pair)]
    return tuple(sorted(parts, key=lambda part: (part.box.top, part.box.left)))


def grow_place(box: LatentBox, window: LatentSize, canvas: LatentSize) -> LatentBox:
    """Return a box with its rim, at least as large as a window and inside the canvas."""
    box = box.grow(RIM_CELLS)
    wide, high = max(0, window.width - box.width), max(0, window.height - box.height)
    left, top = box.left - wide // 2, box.top - high // 2
    # What would stick out on one side is moved in, so that a place at the edge has its window too.
    left = max(0, min(left, canvas.width - box.width - wide))
    top = max(0, min(top, canvas.height - box.height - high))
    return LatentBox(left, top, left + box.width + wide, top + box.height + high).clip(canvas)


def _find_pair(parts: list[Part]) -> tuple[Part, Part] | None:
    """Return two parts that have a cell in common."""
    for number, part in enumerate(parts):
        for other in parts[number + 1 :]:
            if part.box.find_overlap(other.box) is not None:
                return part, other
    return None


def _join(one: Part, other: Part) -> Part:
    left, top = min(one.box.left, other.box.left), min(one.box.top, other.box.top)
    right, bottom = max(one.box.right, other.box.right), max(one.box.bottom, other.box.bottom)
    return Part(LatentBox(left, top, right, bottom), (*one.places, *other.places))


def _scale(first: int, last: int, cells: int, side: int) -> slice:
    """Return the cells of a map that hold a span; one more on each side where they are coarser, as lines run between them."""
    if side == cells:
        return slice(first, last)
    return slice(max(0, first * side // cells - 1), min(side, -(-last * side // cells) + 1))
