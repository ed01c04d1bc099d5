"""Digits as things: which digits a parser's maps show, where each lies, with how many segments and a nail or not.

Two ways of counting come from here: middles of digits that hang together, and fingertips. Knows maps, no network.
Start reading at `find_digits`, then `count_tips`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sfumato.critic.anatomy.labels import DIGITS, FIRST_SEGMENT, NAIL
from sfumato.critic.anatomy.parser import HandMaps

LEAST_CORE, LEAST_TIP = 0.5, 0.3
"""From which probability on a cell belongs to the middle of a digit, or is a fingertip."""
# Cells; a digit of a hand that fills the crop covers about 150, its middle about 60.
LEAST_CORE_CELLS, LEAST_SEGMENT_CELLS, LEAST_NAIL_CELLS = 5, 6, 3
SEGMENTS_OF_THUMB = 2
# Two tips nearer than this are one; digits of a hand that fills the crop are about 5 cells wide.
TIP_REACH_CELLS = 2


@dataclass(frozen=True, eq=False)
class SeenDigit:
    """Hold one digit: its name, how many segments show, whether a nail shows, and its cells, bool [h, w]."""

    digit: str
    segments: int
    nail: bool
    cells: NDArray[np.bool_]

    def to_json(self) -> dict[str, object]:
        """Return the form of `sfumato check --json`."""
        return {"digit": self.digit, "segments": self.segments, "nail": self.nail}


def find_digits(maps: HandMaps) -> tuple[SeenDigit, ...]:
    """Return the digits that the maps show: one for each middle that hangs together, largest first.

    Of two digits with the same name, the smaller one is called extra.
    """
    skin = maps.parts[FIRST_SEGMENT:].sum(0)
    flesh = skin > 0.5
    middles, count = _label((maps.cores > LEAST_CORE) & flesh)
    sizes = np.bincount(middles.ravel(), minlength=count + 1)
    kept = [number for number in range(1, count + 1) if sizes[number] >= LEAST_CORE_CELLS]
    middles[~np.isin(middles, kept)] = 0
    if not kept:
        return ()
    # Every cell of skin belongs to the nearest middle.
    nearest = np.asarray(ndimage.distance_transform_edt(middles == 0, return_distances=False, return_indices=True))
    owners = np.where(flesh, middles[nearest[0], nearest[1]], 0)
    found: list[SeenDigit] = []
    names: set[str] = set()
    for number in sorted(kept, key=lambda number: -int((owners == number).sum())):
        cells = owners == number
        name = DIGITS[int(maps.digits[:, cells].mean(1).argmax())]
        name = "extra" if name in names else name
        names.add(name)
        found.append(SeenDigit(name, _count_segments(maps, cells, name), _has_nail(maps, cells), cells))
    return tuple(found)


def _count_segments(maps: HandMaps, cells: NDArray[np.bool_], name: str) -> int:
    kinds = maps.parts[:, cells].argmax(0)
    seen = sum(int((kinds == kind).sum()) >= LEAST_SEGMENT_CELLS for kind in range(FIRST_SEGMENT, NAIL))
    return min(seen, SEGMENTS_OF_THUMB) if name == DIGITS[0] else seen


def _has_nail(maps: HandMaps, cells: NDArray[np.bool_]) -> bool:
    return int((maps.parts[:, cells].argmax(0) == NAIL).sum()) >= LEAST_NAIL_CELLS


def count_tips(maps: HandMaps) -> int:
    """Return how many fingertips light up."""
    return find_tips(maps)[1]


def find_tips(maps: HandMaps) -> tuple[NDArray[np.int32], int]:
    """Return where fingertips light up, numbered from 1 on, int32 [h, w], and how many there are."""
    reach = 2 * TIP_REACH_CELLS + 1
    return _label((maps.tips == ndimage.maximum_filter(maps.tips, reach)) & (maps.tips > LEAST_TIP))


def _label(cells: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the groups of cells that hang together, corners included, from 1 on; return them and how many there are."""
    groups = np.empty(cells.shape, np.int32)
    count = ndimage.label(cells, structure=np.ones((3, 3)), output=groups)
    return groups, int(count)  # pyright: ignore[reportArgumentType]
