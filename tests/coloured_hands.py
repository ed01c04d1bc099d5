"""Hands of coloured bars, and a parser and an auditor that read the colours: for tests of what is built around them.

A digit is a red bar whose green says which it is; the palm is blue. Start reading at `draw_hand`, then `ColourParser`.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sfumato.core.geometry import PixelBox
from sfumato.critic.anatomy.auditor import AuditorAnswers, AuditorBeliefs, judge_answers
from sfumato.critic.anatomy.belief import Beliefs
from sfumato.critic.anatomy.labels import CAUSES, CELL_PX, DIGITS, MOST_DIGITS, PALM, PARTS
from sfumato.critic.anatomy.parser import HandMaps

SIDE, GROUND = 192, (90, 140, 90)
PALM_BOX, BOX = PixelBox(56, 110, 136, 150), PixelBox(50, 46, 142, 152)
SURE = 6.0


def place_bar(number: int) -> PixelBox:
    """Return where digit `number` of a hand stands."""
    return PixelBox(54 + 15 * number, 50, 62 + 15 * number, 108)


def draw_hand(digits: int) -> np.ndarray:
    """Draw a hand, uint8 [192, 192, 3], with so many digits side by side."""
    values = np.full((SIDE, SIDE, 3), GROUND, np.uint8)
    values[PALM_BOX.slices_hw] = (60, 30, 230)
    for number in range(digits):
        values[place_bar(number).slices_hw] = (230, 40 * number, 30)
    return values


def count_bars(crop: np.ndarray) -> int:
    """Count the red bars of a crop."""
    red = (crop[..., 0].astype(int) > 160) & (crop[..., 2] < 120)
    labels, _ = ndimage.label(red)
    return int((np.bincount(labels.ravel())[1:] > 60).sum())


class ColourParser:
    """Reads colours."""

    beliefs = Beliefs()

    def read(self, crops):
        return [self._read(crop) for crop in crops]

    def _read(self, crop):
        cells = crop[CELL_PX // 2 :: CELL_PX, CELL_PX // 2 :: CELL_PX].astype(int)
        red, blue = (cells[..., 0] > 160) & (cells[..., 2] < 120), cells[..., 2] > 170
        parts = np.zeros((len(PARTS), *red.shape), np.float32)
        parts[3], parts[PALM] = red, blue
        parts[0] = ~(red | blue)
        digits = np.zeros((len(DIGITS), *red.shape), np.float32)
        which = np.clip(np.rint(cells[..., 1] / 40).astype(int), 0, 5)
        np.put_along_axis(digits, which[None], 1.0, 0)
        count = count_bars(crop)
        counts = np.full(MOST_DIGITS, -SURE, np.float32)
        counts[min(count, 7)] = SURE
        cause = np.full(len(CAUSES), -SURE, np.float32)
        cause[0 if count == 5 else (1 if count > 5 else 2)] = SURE
        hand = SURE if blue.sum() > 30 else -SURE
        one = {
            name: np.array([value], np.float32)
            for name, value in (("countable", SURE), ("right", 0.0), ("cartoon", -SURE), ("hand", hand))
        }
        return HandMaps(parts, digits, red * 0.0, red * 1.0, {"count": counts, "cause": cause, **one})


class ColourAuditor:
    """Counts bars; `blind` sees five everywhere, `stubborn` never."""

    beliefs = AuditorBeliefs()

    def __init__(self, *, blind: bool = False, stubborn: bool = False) -> None:
        self._blind, self._stubborn = blind, stubborn

    def look(self, crops):
        found = []
        for crop in crops:
            count = 5 if self._blind else 6 if self._stubborn else count_bars(crop)
            counts, cause = np.full(MOST_DIGITS, -SURE), np.full(len(CAUSES), -SURE)
            counts[min(count, 7)] = cause[0 if count == 5 else 1] = SURE
            found.append(AuditorAnswers(counts, cause, SURE))
        return found

    most_fault = beliefs.most_fault

    def ask(self, crops, expected):
        return judge_answers(self.look(crops), self.beliefs, expected)
