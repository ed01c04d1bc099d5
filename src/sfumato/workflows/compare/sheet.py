"""One sheet of several pictures of a size: each reduced on top, and below where they differ most, pixel by pixel.

Knows pictures and titles; no method. Start reading at `draw_sheet`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sfumato.core.geometry import PixelBox, PixelSize

# Wide enough to judge a face by, and four of them side by side still fit a screen.
CROP_PX, CROPS = 384, 2
GAP_PX, LETTER_PX, LINE_PX = 6, 6, 14
# Differences are looked for in squares of so many px.
GRAIN_PX = 8


@dataclass(frozen=True, eq=False)
class SheetPicture:
    """Hold a picture, its title, and whether its differences count where the crops are chosen."""

    title: str
    picture: Image.Image
    chooses_crops: bool = True


def draw_sheet(shown: Sequence[SheetPicture], words: str) -> Image.Image:
    """Draw a column for each picture; all have one size. The places of the crops are marked in the reduced pictures."""
    size = PixelSize(*shown[0].picture.size)
    boxes = find_unlike([one.picture for one in shown if one.chooses_crops])
    wide, high = (min(CROP_PX, side) for side in (size.width, size.height))
    small = PixelSize(wide, max(1, round(size.height * wide / size.width)))
    cell, head = wide + GAP_PX, 2 * LINE_PX
    height = head + LINE_PX + small.height + GAP_PX + len(boxes) * (high + GAP_PX)
    sheet = Image.new("RGB", (cell * len(shown) - GAP_PX, height), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((2, 1), textwrap.shorten(words or "no prompt", max(20, sheet.width // LETTER_PX)), fill="black")
    for column, one in enumerate(shown):
        left = column * cell
        pen.text((left + 2, head - 4), textwrap.shorten(one.title, wide // LETTER_PX), fill="black")
        sheet.paste(_reduce(one.picture, small, boxes), (left, head + LINE_PX))
        for row, box in enumerate(boxes):
            top = head + LINE_PX + small.height + GAP_PX + row * (high + GAP_PX)
            sheet.paste(one.picture.crop((box.left, box.top, box.right, box.bottom)), (left, top))
    return sheet


def find_unlike(pictures: Sequence[Image.Image]) -> tuple[PixelBox, ...]:
    """Return the boxes, at most `CROPS` and apart from each other, in which pictures of one size differ most."""
    size = PixelSize(*pictures[0].size)
    unlike = _measure_spread(pictures)
    wide, high = min(CROP_PX, size.width), min(CROP_PX, size.height)
    found: list[PixelBox] = []
    places = [PixelBox(x, y, x + wide, y + high) for y in _steps(size.height, high) for x in _steps(size.width, wide)]
    for _ in range(CROPS):
        free = [box for box in places if not any(box.find_overlap(other) for other in found)]
        if not free:
            break
        found.append(max(free, key=lambda box: _sum(unlike, box)))
    return tuple(found)


def _measure_spread(pictures: Sequence[Image.Image]) -> NDArray[np.float64]:
    """Return the variance between pictures in squares of `GRAIN_PX`."""
    small = np.stack([np.asarray(picture.reduce(GRAIN_PX), dtype=np.float64) for picture in pictures])
    return small.var(axis=0).sum(axis=2)


def _sum(unlike: NDArray[np.float64], box: PixelBox) -> float:
    rows = slice(box.top // GRAIN_PX, -(-box.bottom // GRAIN_PX))
    columns = slice(box.left // GRAIN_PX, -(-box.right // GRAIN_PX))
    return float(unlike[rows, columns].sum())


def _steps(side: int, crop: int) -> list[int]:
    """Return where crops begin along a side: four to a crop, and one that ends at the edge."""
    return sorted({*range(0, side - crop + 1, max(GRAIN_PX, crop // 4)), side - crop})


def _reduce(picture: Image.Image, small: PixelSize, boxes: Sequence[PixelBox]) -> Image.Image:
    reduced = picture.resize((small.width, small.height), Image.Resampling.LANCZOS)
    scale, pen = small.width / picture.width, ImageDraw.Draw(reduced)
    for box in boxes:
        corners = [round(side * scale) for side in (box.left, box.top, box.right, box.bottom)]
        pen.rectangle((corners[0], corners[1], corners[2] - 1, corners[3] - 1), outline="red")
    return reduced
