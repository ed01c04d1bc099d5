"""Seams on lines that nobody named: gradients that stand out at equal distances.

Walks the picture in bands. Start reading at `measure_lattice`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.critic.shown import Shown

Array = NDArray[np.float32]

# Pixels looked at at once.
BAND_PX = 1 << 18
# See `seams`: edges of things are strong and short, seams weak and long.
MOST_LEVELS = 8.0
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


def measure_lattice(picture: Shown) -> Lattice:
    """Return the strongest lattice of a picture; 0 deviations where the picture is too small for one.

    Windows are as high as they are wide: the period is the same for columns and rows, and the weaker
    of the two speaks.
    """
    columns, rows = (_stand_out(profile) for profile in _profile_gradients(picture))
    best = Lattice(0, 0, 0, 0.0)
    for period in range(SHORTEST_PX, min(len(columns), len(rows)) // FEWEST_LINES):
        (x, across), (y, down) = _find_comb(columns, period), _find_comb(rows, period)
        if min(across, down) > best.deviations:
            best = Lattice(period, x + 1, y + 1, min(across, down))
    return best


def _profile_gradients(picture: Shown) -> tuple[Array, Array]:
    """Return mean gradients across columns [width - 1] and rows [height - 1], in levels."""
    across, down, last = np.zeros(picture.width - 1), [], None
    rows = max(1, BAND_PX // picture.width)
    for top in range(0, picture.height, rows):
        bottom = min(top + rows, picture.height)
        band = np.asarray(picture.crop((0, top, picture.width, bottom)).convert("RGB"), np.int16)
        across += np.abs(np.diff(band, axis=1)).max(axis=2).clip(max=MOST_LEVELS).sum(axis=0)
        whole = band if last is None else np.concatenate([last, band])
        down.append(np.abs(np.diff(whole, axis=0)).max(axis=2).clip(max=MOST_LEVELS).mean(axis=1))
        last = band[-1:]
    return (across / picture.height).astype(np.float32), np.concatenate(down).astype(np.float32)


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
