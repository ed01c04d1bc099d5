"""The label ids of a hand's part map, their names as paths of the drawn world, and their colours for sheets.

Start reading at `PART_PATHS`: the id of a pixel is the place of its path in that tuple.
"""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

DIGIT_NAMES = ("thumb", "index", "middle", "ring", "little", "extra1")
EXTRA = 6
"""The number of the extra digit; 1 is the thumb, 5 the little finger."""
BACKGROUND, ARM, SLEEVE, PALM = 0, 1, 2, 3
_FIRST_SEGMENT, _FIRST_NAIL = 4, 22


def segment_id(digit: int, segment: int) -> int:
    """Return the id of a segment (1 to 3 from the palm; the thumb has two) of a digit (1 thumb to 6 extra)."""
    return _FIRST_SEGMENT + 3 * (digit - 1) + segment - 1


def nail_id(digit: int) -> int:
    """Return the id of the nail of a digit (1 thumb to 6 extra)."""
    return _FIRST_NAIL + digit - 1


def _list_paths() -> tuple[str, ...]:
    paths = [""] * (nail_id(EXTRA) + 1)
    paths[ARM], paths[SLEEVE], paths[PALM] = "hand1_arm/lower", "hand1_arm/sleeve", "hand1/palm"
    for digit, name in enumerate(DIGIT_NAMES, 1):
        for segment in (1, 2, 3):
            paths[segment_id(digit, segment)] = f"hand1/{name}/segment{segment}"
        paths[nail_id(digit)] = f"hand1/{name}/nail"
    return tuple(paths)


PART_PATHS = _list_paths()
"""Path of each id; id 6, a third segment of the thumb, never occurs."""

JOINT_NAMES = (
    "wrist",
    *(f"{name}{number}" for name in DIGIT_NAMES[:5] for number in (1, 2, 3, 4)),
    *(f"extra1_{number}" for number in (1, 2, 3, 4)),
)
"""Joints in the order of the 21 points that hand trackers use, base to tip, then those of an extra digit."""


def digit_of_part() -> NDArray[np.uint8]:
    """Return for each id the digit it belongs to, 0 for none: `digit_of_part()[parts]`, uint8 [28]."""
    table = np.zeros(len(PART_PATHS), np.uint8)
    for digit in range(1, EXTRA + 1):
        table[[*(segment_id(digit, segment) for segment in (1, 2, 3)), nail_id(digit)]] = digit
    return table


def part_colours() -> NDArray[np.uint8]:
    """Return a colour for each id, uint8 [28, 3]: one hue a digit, lighter towards the tip, white nails."""
    colours = np.zeros((len(PART_PATHS), 3), np.uint8)
    colours[ARM], colours[SLEEVE], colours[PALM] = (90, 90, 90), (60, 80, 120), (200, 200, 200)
    for digit, hue in enumerate((0.0, 0.12, 0.33, 0.55, 0.75, 0.89), 1):
        for segment in (1, 2, 3):
            colour = colorsys.hsv_to_rgb(hue, 1.26 - 0.26 * segment, 0.45 + 0.18 * segment)
            colours[segment_id(digit, segment)] = [round(255 * channel) for channel in colour]
        colours[nail_id(digit)] = (255, 255, 255) if digit < EXTRA else (255, 255, 0)
    return colours
