"""What a round draws of a hand, by what is wrong with it: which pixels change, which digits stay, and from what drawing starts.

| cause | start | what changes |
| --- | --- | --- |
| extra, split | the digit that is one too many erased, filled from around | that digit alone; from another seed the whole hand |
| missing | a neighbour copied into the empty place | that copy; then one of the other neighbour; then the whole hand |
| fused | both erased, two copies of a neighbour in their place | these copies; then of the other neighbour; then the whole hand |
| third-limb | all skin in the box erased | the whole box |
| wrong-side | the hand mirrored | the whole box |

Digits that are right are frozen: their pixels cannot change before the last round. A model that gets half a hand to draw
draws a small whole one into it, so what is freed is one digit, two that grew together, or all of them. Knows a parser's
maps, no model. Start reading at `plan_round`.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from sfumato.critic.anatomy.instances import SeenDigit
from sfumato.critic.anatomy.labels import ARM, PALM
from sfumato.render.passes.repair_box import RepairStep
from sfumato.workflows.repair.copy_fingers import find_fused, insert_finger, list_fingers, separate_fingers
from sfumato.workflows.repair.hand_masks import (
    MARGIN_CELLS,
    Mask,
    SeenHand,
    erase,
    find_skin,
    grow,
    join_cells,
    measure_fade,
    place_cells,
    soften,
)

# A whole hand is drawn anew with so many cells around it: digits need not lie where they were.
HAND_MARGIN_CELLS = 5


def plan_round(hand: SeenHand, cause: str, number: int, strengths: tuple[float, ...]) -> RepairStep:
    """Return what round `number`, from 0, draws; beyond the last strength that one is repeated."""
    strength = strengths[min(number, len(strengths) - 1)]
    if cause == "third-limb":
        return _erase_limb(hand, strength)
    if cause == "wrong-side":
        return _mirror(hand, strength)
    last = len(strengths) if cause in ("extra", "split") else len(strengths) - 1
    step: RepairStep | None = None
    if number < last and cause in ("extra", "split"):
        extra = find_extra(hand.judged.evidence.digits)
        step = _rebuild(hand, extra, MARGIN_CELLS + number // 2, strength) if extra else None
    elif number < last:
        # Two that grew together show one digit too few as well.
        step = separate_fingers(hand, number, strength) if cause == "fused" or find_fused(list_fingers(hand)) else None
        step = step or insert_finger(hand, number, strength)
    return step or _redraw_hand(hand, strength)


def find_extra(digits: tuple[SeenDigit, ...]) -> SeenDigit | None:
    """Return the digit that is one too many: the one the parser calls so, else the smallest finger; None without fingers."""
    fingers = [digit for digit in digits if digit.digit != "thumb"]
    named = [digit for digit in fingers if digit.digit == "extra"]
    return min(named or fingers, key=lambda one: int(one.cells.sum()), default=None)


def _rebuild(hand: SeenHand, extra: SeenDigit, margin: int, strength: float) -> RepairStep:
    """Erase one digit and draw what was behind it; all others are frozen."""
    parts = hand.judged.maps.parts
    palm = parts[PALM] + parts[ARM] > 0.5
    kept = join_cells([digit.cells for digit in hand.judged.evidence.digits if digit is not extra])
    hole = grow(extra.cells, margin) & ~palm & ~kept
    start = erase(hand, place_cells(hand, hole), place_cells(hand, find_skin(hand) | hole))
    change = soften(hand, place_cells(hand, grow(hole, 1) & ~kept), place_cells(hand, kept))
    return RepairStep(
        change=change, start=start, strength=strength, words="erase a digit, all others frozen", fills=True
    )


def _redraw_hand(hand: SeenHand, strength: float) -> RepairStep:
    """Draw palm and digits anew; the arm stays."""
    parts = hand.judged.maps.parts
    freed = grow(parts[PALM:].sum(0) > 0.5, HAND_MARGIN_CELLS) & ~(parts[ARM] > 0.5)
    change = soften(hand, place_cells(hand, freed), np.zeros(hand.before.shape[:2], np.bool_))
    return RepairStep(change=change, start=hand.before, strength=strength, words="draw the whole hand anew")


def _erase_limb(hand: SeenHand, strength: float) -> RepairStep:
    box = _box_mask(hand)
    grown = np.asarray(ndimage.binary_dilation(box, iterations=max(1, round(0.02 * max(box.shape)))), np.bool_)
    change = np.asarray(ndimage.gaussian_filter(grown.astype(np.float32), measure_fade(hand)), np.float32)
    change[change < 0.02] = 0.0
    start = erase(hand, grown, grown)
    return RepairStep(
        change=change, start=start, strength=strength, words="erase the limb, fill from around it", fills=True
    )


def _mirror(hand: SeenHand, strength: float) -> RepairStep:
    """Mirror the hand across the line from wrist to fingers, which is upright where nobody knows it."""
    square, frame = hand.judged.square, hand.frame
    rows, columns = np.mgrid[0 : frame.height, 0 : frame.width]
    x, y = columns + 0.5 + frame.left - square.x, rows + 0.5 + frame.top - square.y
    sine, cosine = math.sin(square.angle), math.cos(square.angle)
    across = x * cosine + y * sine
    places = (y - 2 * across * sine + square.y - frame.top - 0.5, x - 2 * across * cosine + square.x - frame.left - 0.5)
    start = np.stack(
        [
            np.asarray(ndimage.map_coordinates(hand.before[..., channel], places, order=1, mode="nearest"))
            for channel in range(3)
        ],
        axis=-1,
    )
    box = _box_mask(hand)
    change = np.asarray(ndimage.gaussian_filter(box.astype(np.float32), 2 * measure_fade(hand)), np.float32)
    change[change < 0.02] = 0.0
    return RepairStep(change=change, start=start.astype(np.uint8), strength=strength, words="mirror the hand")


def _box_mask(hand: SeenHand) -> Mask:
    box, frame = hand.judged.box, hand.frame
    mask = np.zeros(hand.before.shape[:2], np.bool_)
    mask[box.shift(-frame.left, -frame.top).clip(frame.size).slices_hw] = True
    return mask
