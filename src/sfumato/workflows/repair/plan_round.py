"""What a round draws of a hand, by what is wrong with it: which pixels change, which digits stay, and from what drawing starts.

| cause | start | what changes |
| --- | --- | --- |
| extra, split | the digit that is one too many erased, filled from around | that digit alone; from another seed the whole hand |
| missing | a finger beside the widest gap, copied and turned into it | that copy; then one of the other neighbour; then the whole hand |
| fused | the hand as it is | the widest digit and the room around; then its neighbours; then the whole hand |
| third-limb | all skin in the box erased | the whole box |
| wrong-side | the hand mirrored | the whole box |

Digits that are right are frozen: their pixels cannot change before the last round. A model that gets half a hand to draw
draws a small whole one into it, so what is freed is one digit or all of them. Knows a parser's maps, no model.
Start reading at `plan_round`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sfumato.core.geometry import PixelBox
from sfumato.critic.anatomy.instances import SeenDigit
from sfumato.critic.anatomy.judge import JudgedHand
from sfumato.critic.anatomy.labels import ARM, CELL_PX, CROP_PX, FIRST_SEGMENT, PALM
from sfumato.critic.finders.crops import TurnedSquare
from sfumato.render.passes.repair_box import RepairStep

Cells = NDArray[np.bool_]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.float32]

CELLS = CROP_PX // CELL_PX
# A digit reaches so many cells beyond what the parser sees of it: outlines and shadows.
MARGIN_CELLS = 2
# Cells are squares; so soft a Gaussian rounds them before they become pixels.
CORNER_CELLS = 0.7
# The edge of what changes fades over this share of the hand's longer side, px at least.
FADE_FRAC, LEAST_FADE_PX = 0.02, 1.5
# Gaussians that fill a hole, finest first, in shares of the crop: what lies near counts most.
FILL_FRACS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.4)
# A whole hand is drawn anew with so many cells around it: digits need not lie where they were.
HAND_MARGIN_CELLS = 5
# A palm of fewer cells has no middle; the thumb stands so many times farther from the index than fingers do.
FEWEST_PALM_CELLS, THUMB_ROOM = 20, 2.4


@dataclass(frozen=True, eq=False, kw_only=True)
class SeenHand:
    """Hold a hand as the parser saw it, and the crop that is drawn: `frame` in px, its pixels, uint8 [h, w, 3]."""

    judged: JudgedHand
    frame: PixelBox
    before: NDArray[np.uint8]


def plan_round(hand: SeenHand, cause: str, number: int, strengths: tuple[float, ...]) -> RepairStep:
    """Return what round `number`, from 0, draws; beyond the last strength that one is repeated."""
    strength = strengths[min(number, len(strengths) - 1)]
    if cause == "third-limb":
        return _erase_limb(hand, strength)
    if cause == "wrong-side":
        return _mirror(hand, strength)
    digits = hand.judged.evidence.digits
    wrong = find_wrong(digits, cause)
    last = len(strengths) if cause in ("extra", "split") else len(strengths) - 1
    if number >= last or (cause in ("extra", "split") and not wrong):
        return _redraw_hand(hand, strength)
    if cause in ("extra", "split"):
        return _rebuild(hand, wrong[0], MARGIN_CELLS + number // 2, strength)
    if cause == "missing":
        return _insert(hand, number, strength)
    return _redraw(hand, wrong, number, strength)


def find_wrong(digits: tuple[SeenDigit, ...], cause: str) -> tuple[SeenDigit, ...]:
    """Return the digits that a cause is about, the likeliest first; none where that cannot be told.

    An extra digit is the one the parser calls so, else the smallest finger. Fused digits are the widest one.
    """
    fingers = [digit for digit in digits if digit.digit != "thumb"]
    if not fingers:
        return ()
    if cause in ("extra", "split"):
        named = [digit for digit in fingers if digit.digit == "extra"]
        return tuple(named or [min(fingers, key=lambda one: int(one.cells.sum()))])
    if cause == "fused":
        return (max(fingers, key=lambda one: _measure_width(one.cells)),)
    return ()


def _measure_width(cells: Cells) -> float:
    """Return how wide a digit is, in cells: twice the depth of its middle."""
    return 2.0 * float(np.asarray(ndimage.distance_transform_edt(np.pad(cells, 1))).max())


def _rebuild(hand: SeenHand, extra: SeenDigit, margin: int, strength: float) -> RepairStep:
    """Erase one digit and draw what was behind it; all others are frozen."""
    parts = hand.judged.maps.parts
    palm = parts[PALM] + parts[ARM] > 0.5
    kept = _join([digit for digit in hand.judged.evidence.digits if digit is not extra])
    hole = _grow(extra.cells, margin) & ~palm & ~kept
    start = erase(hand, _place(hand, hole), _place(hand, _find_skin(hand) | hole))
    change = _soften(hand, _place(hand, _grow(hole, 1) & ~kept), _place(hand, kept))
    return RepairStep(
        change=change, start=start, strength=strength, words="erase a digit, all others frozen", fills=True
    )


def _redraw(hand: SeenHand, wrong: tuple[SeenDigit, ...], number: int, strength: float) -> RepairStep:
    """Draw the room between digits anew, and the digits concerned; in the second round their neighbours too."""
    digits = list(hand.judged.evidence.digits)
    near = list(wrong)
    if number > 0:
        near += [one for digit in wrong for one in _list_near(digit, digits) if one not in near]
    kept = _join([digit for digit in digits if digit not in near])
    freed = _find_room(hand) | (_grow(_join(near), MARGIN_CELLS) if near else _nothing())
    change = _soften(hand, _place(hand, freed & ~kept), _place(hand, kept))
    words = f"draw digits anew, {len(digits) - len(near)} of {len(digits)} frozen"
    return RepairStep(change=change, start=hand.before, strength=strength, words=words)


def _insert(hand: SeenHand, number: int, strength: float) -> RepairStep:
    """Copy a finger into the widest gap between digits and draw the copy anew; all others are frozen."""
    found = _find_gap(hand)
    if found is None:
        return _redraw_hand(hand, strength)
    centre, sources, turns = found
    source, turn = sources[number % len(sources)], turns[number % len(sources)]
    kept = _join(list(hand.judged.evidence.digits))
    row, column = _find_pixel(hand, centre)
    rows, columns = np.mgrid[0 : hand.frame.height, 0 : hand.frame.width]
    sine, cosine = math.sin(turn), math.cos(turn)
    down, across = rows - row, columns - column
    places = (down * cosine - across * sine + row, across * cosine + down * sine + column)
    digit = _place(hand, _grow(source.cells, 1)).astype(np.float32)
    copied = np.asarray(ndimage.map_coordinates(digit, places, order=1)) > 0.5
    copied &= ~_place(hand, kept)
    moved = [
        np.asarray(ndimage.map_coordinates(hand.before[..., c], places, order=1, mode="nearest")) for c in range(3)
    ]
    start = np.where(copied[..., None], np.stack(moved, axis=-1), hand.before).astype(np.uint8)
    grown = np.asarray(ndimage.binary_dilation(copied, iterations=max(1, round(2 * _fade(hand)))), np.bool_)
    change = _soften(hand, grown & ~_place(hand, kept), _place(hand, kept))
    return RepairStep(
        change=change, start=start, strength=strength, words="copy a finger into a gap, all others frozen"
    )


def _find_gap(
    hand: SeenHand,
) -> tuple[NDArray[np.float64], tuple[SeenDigit, ...], tuple[float, ...]] | None:
    """Return the middle of the palm, the fingers beside the widest gap, and how far each turns into it, in radians.

    The middle is a row and column of cells. None where fewer than two digits and a palm are seen.
    """
    palm, digits = hand.judged.maps.parts[PALM] > 0.5, hand.judged.evidence.digits
    if palm.sum() < FEWEST_PALM_CELLS or len(digits) < 2:
        return None
    centre = np.argwhere(palm).mean(0)
    aims = [_find_middle(one) - centre for one in digits]
    ways = sorted(zip([math.atan2(aim[1], -aim[0]) for aim in aims], range(len(digits)), strict=True))
    # Between thumb and index there is always more room.
    shares = [
        (other[0] - one[0]) / (THUMB_ROOM if "thumb" in (digits[one[1]].digit, digits[other[1]].digit) else 1.0)
        for one, other in pairwise(ways)
    ]
    place = int(np.argmax(shares))
    beside = [way for way in ways[place : place + 2] if digits[way[1]].digit != "thumb"]
    middle = (ways[place][0] + ways[place + 1][0]) / 2
    return centre, tuple(digits[way[1]] for way in beside), tuple(middle - way[0] for way in beside)


def _find_pixel(hand: SeenHand, cell: NDArray[np.float64]) -> tuple[float, float]:
    """Return row and column in the crop of a row and column of cells."""
    at = np.array([[(cell[1] + 0.5) / CELLS, (cell[0] + 0.5) / CELLS]])
    x, y = hand.judged.square.to_picture(at)[0]
    return float(y) - hand.frame.top - 0.5, float(x) - hand.frame.left - 0.5


def _redraw_hand(hand: SeenHand, strength: float) -> RepairStep:
    """Draw palm and digits anew; the arm stays."""
    parts = hand.judged.maps.parts
    freed = _grow(parts[PALM:].sum(0) > 0.5, HAND_MARGIN_CELLS) & ~(parts[ARM] > 0.5)
    change = _soften(hand, _place(hand, freed), np.zeros(hand.before.shape[:2], np.bool_))
    return RepairStep(change=change, start=hand.before, strength=strength, words="draw the whole hand anew")


def _erase_limb(hand: SeenHand, strength: float) -> RepairStep:
    box = _box_mask(hand)
    grown = np.asarray(ndimage.binary_dilation(box, iterations=max(1, round(0.02 * max(box.shape)))), np.bool_)
    change = np.asarray(ndimage.gaussian_filter(grown.astype(np.float32), _fade(hand)), np.float32)
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
    change = np.asarray(ndimage.gaussian_filter(box.astype(np.float32), 2 * _fade(hand)), np.float32)
    change[change < 0.02] = 0.0
    return RepairStep(change=change, start=start.astype(np.uint8), strength=strength, words="mirror the hand")


def erase(hand: SeenHand, hole: Mask, unknown: Mask) -> NDArray[np.uint8]:
    """Return the crop with a hole filled from pixels around it that are not `unknown`, the nearest counting most."""
    known = (~(unknown | hole)).astype(np.float32)
    if not known.any():
        return hand.before
    values = hand.before.astype(np.float32)
    filled, sure = np.zeros_like(values), np.zeros(known.shape, np.float32)
    for share in FILL_FRACS:
        spread = max(1.0, share * max(known.shape))
        weight = ndimage.gaussian_filter(known, spread, mode="nearest")
        mean = ndimage.gaussian_filter(values * known[..., None], (spread, spread, 0), mode="nearest")
        mean = mean / np.maximum(weight, 1e-4)[..., None]
        # A pixel takes the finest Gaussian that reaches something known.
        trust = np.clip(weight * 8.0, 0.0, 1.0) * (1.0 - sure)
        filled += trust[..., None] * mean
        sure += trust
    filled = filled / np.maximum(sure, 1e-4)[..., None]
    edge = np.asarray(ndimage.gaussian_filter(hole.astype(np.float32), 0.8), np.float32)
    share = np.maximum(edge, hole.astype(np.float32))[..., None]
    return np.rint(values + share * (filled - values)).clip(0, 255).astype(np.uint8)


def to_frame(square: TurnedSquare, frame: PixelBox, cells: Cells) -> Mask:
    """Return which pixels of a frame lie in cells [64, 64] of a parser's square, bool [h, w], without the cells' corners."""
    soft = ndimage.gaussian_filter(cells.astype(np.float32), CORNER_CELLS, mode="constant")
    return np.asarray(ndimage.map_coordinates(soft, map_to_cells(square, frame), order=1)) > 0.5


def _place(hand: SeenHand, cells: Cells) -> Mask:
    return to_frame(hand.judged.square, hand.frame, cells)


def map_to_cells(square: TurnedSquare, frame: PixelBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where in the cells of a parser's square each pixel of a frame lies: row and column, float64 [h, w] each."""
    rows, columns = np.mgrid[0 : frame.height, 0 : frame.width]
    x, y = columns + 0.5 + frame.left - square.x, rows + 0.5 + frame.top - square.y
    sine, cosine = math.sin(square.angle), math.cos(square.angle)
    across, down = x * cosine + y * sine, y * cosine - x * sine
    step = CELLS / square.side
    return down * step + CELLS / 2 - 0.5, across * step + CELLS / 2 - 0.5


def _find_skin(hand: SeenHand) -> Cells:
    """Return the cells of the hand and its arm, with their outlines."""
    return _grow(hand.judged.maps.parts[ARM:].sum(0) > 0.5, MARGIN_CELLS)


def _find_room(hand: SeenHand) -> Cells:
    """Return the cells between and just around the digits: where one could be."""
    parts = hand.judged.maps.parts
    skin = parts[FIRST_SEGMENT:].sum(0) > 0.5
    # What a disc of a finger's width cannot enter lies between digits.
    closed = ndimage.binary_closing(np.pad(skin, 12), structure=_disc(8), iterations=1)[12:-12, 12:-12]
    return _grow(np.asarray(closed, np.bool_), MARGIN_CELLS) & ~(parts[PALM] + parts[ARM] > 0.5)


def _disc(radius: int) -> Cells:
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return rows**2 + columns**2 <= radius**2


def _box_mask(hand: SeenHand) -> Mask:
    box, frame = hand.judged.box, hand.frame
    mask = np.zeros(hand.before.shape[:2], np.bool_)
    mask[box.shift(-frame.left, -frame.top).clip(frame.size).slices_hw] = True
    return mask


def _soften(hand: SeenHand, freed: Mask, frozen: Mask) -> Numbers:
    """Return the change map of pixels that are freed: 1 inside, fading outwards; what is frozen keeps its bytes."""
    spread = _fade(hand)
    share = np.asarray(ndimage.gaussian_filter(freed.astype(np.float32), spread), np.float32)
    share = np.clip(share * 2.0, 0.0, 1.0)
    share[(share < 0.02) | frozen] = 0.0
    return share


def _fade(hand: SeenHand) -> float:
    return max(LEAST_FADE_PX, FADE_FRAC * max(hand.judged.box.width, hand.judged.box.height))


def _grow(cells: Cells, margin: int) -> Cells:
    return np.asarray(ndimage.binary_dilation(cells, structure=np.ones((3, 3)), iterations=margin), np.bool_)


def _join(digits: list[SeenDigit]) -> Cells:
    return np.logical_or.reduce([one.cells for one in digits], initial=False) if digits else _nothing()


def _nothing() -> Cells:
    return np.zeros((CELLS, CELLS), np.bool_)


def _find_middle(digit: SeenDigit) -> NDArray[np.float64]:
    return np.argwhere(digit.cells).mean(0)


def _list_near(digit: SeenDigit, others: list[SeenDigit]) -> list[SeenDigit]:
    """Return the two digits whose middles lie nearest to that of one."""
    rest = [one for one in others if one is not digit]
    return sorted(rest, key=lambda one: float(np.hypot(*(_find_middle(one) - _find_middle(digit)))))[:2]
