"""Seams on lines that nobody named: gradients that stand out at equal distances.

Walks the picture in bands. Start reading at `measure_lattice`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.core.geometry import PixelBox
from sfumato.critic.picture.picture_reader import PictureReader

Array = NDArray[np.float32]
Sums = NDArray[np.int64]

# Pixels looked at at once.
BAND_PX = 1 << 18
# See `seams`: edges of things are strong and short, seams weak and long.
MOST_LEVELS = 8
# Windows are no smaller than this, and three lines make a lattice.
SHORTEST_PX, FEWEST_LINES = 32, 3
# A line is held against its surroundings this far on either side.
AROUND_PX = 16
# One tooth of the comb cannot make the comb: no line counts for more than this many deviations.
MOST_DEVIATIONS = 12.0
# Deviation that flat surroundings are taken to have, in levels: a tenth of a level is rounding.
FLOOR_LEVELS = 0.1


@dataclass(frozen=True, slots=True)
class Lattice:
    """Hold the strongest lattice: its period, its first column and row in px, and how far its lines stand out."""

    period_px: int
    first_x_px: int
    first_y_px: int
    deviations: float


@dataclass(frozen=True, eq=False)
class Gradients:
    """Hold the sums of gradients across the borders between columns [width - 1] and rows [height - 1], in whole levels."""

    across: Sums
    down: Sums


def measure_lattice(picture: PictureReader, gradients: Gradients | None = None) -> Lattice:
    """Return the strongest lattice of a picture; 0 deviations where the picture is too small for one.

    Windows are as high as they are wide: the period is the same for columns and rows, and the weaker
    of the two speaks. Its gradients are added up unless they are given.
    """
    found = gradients or add_gradients(picture)
    columns = _stand_out((found.across / picture.height).astype(np.float32))
    rows = _stand_out((found.down / picture.width).astype(np.float32))
    best = Lattice(0, 0, 0, 0.0)
    for period in range(SHORTEST_PX, min(len(columns), len(rows)) // FEWEST_LINES):
        (x, across), (y, down) = _find_comb(columns, period), _find_comb(rows, period)
        if min(across, down) > best.deviations:
            best = Lattice(period, x + 1, y + 1, min(across, down))
    return best


def add_gradients(picture: PictureReader) -> Gradients:
    """Add up the gradients of a picture, band by band."""
    found = Gradients(np.zeros(picture.width - 1, np.int64), np.zeros(picture.height - 1, np.int64))
    rows = max(1, BAND_PX // picture.width)
    for top in range(0, picture.height, rows):
        _add(found, picture, PixelBox(0, top, picture.width, min(top + rows, picture.height)), 1)
    return found


def renew_gradients(
    before: Gradients, pictures: tuple[PictureReader, PictureReader], squares: Sequence[PixelBox]
) -> Gradients:
    """Return the gradients of a picture after some squares of a grid have changed; as if they had been added up anew.

    `pictures` are the one before and the one after; each square is given once.
    """
    found, corners = Gradients(before.across.copy(), before.down.copy()), {(box.left, box.top) for box in squares}
    for picture, sign in zip(pictures, (-1, 1), strict=True):
        for box in squares:
            _add(found, picture, box, sign)
            # Of the squares beside it that stay, only the border has changed.
            if box.right < picture.width and (box.right, box.top) not in corners:
                _add_across(found, picture, PixelBox(box.right, box.top, box.right + 1, box.bottom), sign)
            if box.bottom < picture.height and (box.left, box.bottom) not in corners:
                _add_down(found, picture, PixelBox(box.left, box.bottom, box.right, box.bottom + 1), sign)
    return found


def _add(found: Gradients, picture: PictureReader, box: PixelBox, sign: int) -> None:
    _add_across(found, picture, box, sign)
    _add_down(found, picture, box, sign)


def _add_across(found: Gradients, picture: PictureReader, box: PixelBox, sign: int) -> None:
    """Add the borders that lie left of the pixels of a box, so many times."""
    left = max(0, box.left - 1)
    steps = _find_steps(picture, (left, box.top, box.right, box.bottom), axis=1)
    found.across[left : box.right - 1] += sign * steps.sum(axis=0)


def _add_down(found: Gradients, picture: PictureReader, box: PixelBox, sign: int) -> None:
    """Add the borders that lie above the pixels of a box, so many times."""
    top = max(0, box.top - 1)
    steps = _find_steps(picture, (box.left, top, box.right, box.bottom), axis=0)
    found.down[top : box.bottom - 1] += sign * steps.sum(axis=1)


def _find_steps(picture: PictureReader, box: tuple[int, int, int, int], axis: int) -> Sums:
    levels = np.asarray(picture.crop(box).convert("RGB"), np.int16)
    return np.abs(np.diff(levels, axis=axis)).max(axis=2).clip(max=MOST_LEVELS).astype(np.int64)


def _find_comb(score: Array, period: int) -> tuple[int, float]:
    """Return the phase whose lines stand out together, and how far; the second weakest line speaks for all."""
    teeth = -(-len(score) // period)
    padded = np.pad(score, (0, teeth * period - len(score)), constant_values=np.inf)
    weak = np.partition(padded.reshape(teeth, period), 1, axis=0)[1]
    first = int(weak.argmax())
    return first, float(weak[first])


def _stand_out(profile: Array) -> Array:
    padded = np.pad(profile, AROUND_PX, mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * AROUND_PX + 1)
    middle = np.median(around, axis=1)
    spread = 1.4826 * np.median(np.abs(around - middle[:, None]), axis=1) + FLOOR_LEVELS
    return ((profile - middle) / spread).clip(0.0, MOST_DEVIATIONS)
