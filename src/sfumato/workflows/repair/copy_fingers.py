"""Fingers that a hand lacks: which place is empty or which two grew together, and neighbours copied into those places.

A place is told by its direction from the middle of the palm. Directions of a whole hand are fitted to those that are seen;
the arm says where up is. Knows a parser's maps, no model. Start reading at `insert_finger`, then `separate_fingers`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sfumato.critic.anatomy.instances import find_tips
from sfumato.critic.anatomy.labels import ARM, FIRST_SEGMENT, PALM
from sfumato.render.passes.repair_box import RepairStep
from sfumato.workflows.repair.hand_masks import (
    CELLS,
    MARGIN_CELLS,
    Cells,
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

# Directions of fingertips from the middle of the palm, degrees towards the thumb, of the hand that the world draws:
# index, middle, ring, little; and the thumb.
FINGER_WAYS, THUMB_WAY = (20.0, 5.0, -9.0, -27.0), 69.0
# How far fingers, the thumb and the line of the arm stray from these, degrees; how far the spread of a hand does, a share.
STRAY_DEG, THUMB_STRAY_DEG, ARM_STRAY_DEG, SPREAD_STRAY = 4.0, 15.0, 8.0, 0.25
# A palm of fewer cells has no middle, an arm of fewer no direction, and a finger of fewer is none.
FEWEST_PALM_CELLS, FEWEST_ARM_CELLS, FEWEST_FINGER_CELLS = 20, 20, 8
# Fewer tips than this do not say where the fingers are; then their middles do.
FEWEST_TIPS = 3
# A finger whose outer part is this many times as wide as that of the narrowest may be two; the inner share is left out.
FUSED_WIDTH, INNER_SHARE = 1.25, 0.4
# A copy takes so many cells of the palm below it along, so that it does not float.
ROOT_CELLS = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class Finger:
    """Hold a finger or thumb: its direction from the middle of the palm, radians clockwise from up, its cells, its width in them."""

    way: float
    cells: Cells
    width: float
    is_thumb: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class _Ways:
    """Say how a whole hand lies: `offset` in radians clockwise, `spread` as a share, `side` +1 where thumbs lie clockwise."""

    offset: float
    spread: float
    side: float

    def place(self, number: int) -> float:
        """Return the direction of finger `number`, radians clockwise from up."""
        return self.offset + self.side * self.spread * math.radians(FINGER_WAYS[number])


def insert_finger(hand: SeenHand, number: int, strength: float) -> RepairStep | None:
    """Return the step that copies a neighbour into the empty place; `number` takes the next neighbour. None: no place is seen."""
    centre, fingers = find_palm(hand), list_fingers(hand)
    single = [one for one in fingers if not one.is_thumb]
    if centre is None or not single:
        return None
    way = _find_empty(hand, fingers)
    if way is None:
        return None
    sources = sorted(single, key=lambda one: abs(one.way - way))[:2]
    words = "copy a finger into the empty place, all others frozen"
    return _lay_copies(hand, centre, sources[number % len(sources)], (way,), None, fingers, strength, words)


def separate_fingers(hand: SeenHand, number: int, strength: float) -> RepairStep | None:
    """Return the step that puts two copies of a neighbour in the place of two that grew together; None: they are not seen."""
    centre, fingers = find_palm(hand), list_fingers(hand)
    fused = find_fused(fingers, told=True)
    single = [one for one in fingers if not one.is_thumb and one is not fused]
    if centre is None or fused is None:
        return None
    way = fused.way
    rank = sum(one.way < way for one in single)
    thumbs = [one.way for one in fingers if one.is_thumb]
    if thumbs and thumbs[0] > way:
        rank = len(single) - rank
    first = min(rank, len(FINGER_WAYS) - 2)
    half = math.radians(FINGER_WAYS[first] - FINGER_WAYS[first + 1]) / 2
    sources = sorted(single, key=lambda one: abs(one.way - way))[:2]
    words = "put two copies of a finger where two grew together, all others frozen"
    ways = (way - half, way + half)
    return _lay_copies(hand, centre, sources[number % len(sources)], ways, fused, fingers, strength, words)


def find_palm(hand: SeenHand) -> NDArray[np.float64] | None:
    """Return the middle of the palm as row and column of cells; None where too little of it is seen."""
    palm = hand.judged.maps.parts[PALM] > 0.5
    return np.argwhere(palm).mean(0) if palm.sum() >= FEWEST_PALM_CELLS else None


def list_fingers(hand: SeenHand) -> tuple[Finger, ...]:
    """Return fingers and thumb by direction: every cell of a digit belongs to the tip that is nearest along the skin."""
    centre, maps = find_palm(hand), hand.judged.maps
    if centre is None:
        return ()
    tips, count = find_tips(maps)
    seen = hand.judged.evidence.digits
    if count >= FEWEST_TIPS:
        owners = _grow_along(tips, maps.parts[FIRST_SEGMENT:].sum(0) > 0.5)
        masks = [(owners == number, np.argwhere(tips == number).mean(0)) for number in range(1, count + 1)]
    else:
        masks = [(one.cells, np.argwhere(one.cells).mean(0)) for one in seen]
    masks = [(cells, tip) for cells, tip in masks if cells.sum() >= FEWEST_FINGER_CELLS]
    thumbs = [float(maps.digits[0][cells].mean()) for cells, _ in masks]
    thumb = int(np.argmax(thumbs)) if thumbs and max(thumbs) > 0.5 else -1
    fingers = [
        Finger(way=_aim(tip - centre), cells=cells, width=_measure_outer(cells, centre), is_thumb=number == thumb)
        for number, (cells, tip) in enumerate(masks)
    ]
    return tuple(sorted(fingers, key=lambda one: one.way))


def _grow_along(seeds: NDArray[np.int32], skin: Cells) -> NDArray[np.int32]:
    """Return to which seed each cell of skin belongs: the one with the shortest way that does not leave the skin."""
    owners = np.where(skin | (seeds > 0), seeds, 0)
    while True:
        grown = ndimage.grey_dilation(owners, footprint=ndimage.generate_binary_structure(2, 1))
        free = skin & (owners == 0) & (grown > 0)
        if not free.any():
            return owners
        owners = np.where(free, grown, owners)


def _measure_outer(cells: Cells, centre: NDArray[np.float64]) -> float:
    """Return the mean width of the outer part of a finger, in cells: near the palm neighbours run into one another."""
    reach = _measure_reach(centre)[cells]
    near, far = _find_begin(cells, centre), float(reach.max())
    begin = near + INNER_SHARE * (far - near)
    return float((reach >= begin).sum()) / max(1.0, far - begin)


def _measure_reach(centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each cell [64, 64] lies from the middle of the palm, in cells."""
    rows, columns = np.mgrid[0:CELLS, 0:CELLS]
    return np.hypot(rows - centre[0], columns - centre[1])


def _find_begin(cells: Cells, centre: NDArray[np.float64]) -> float:
    """Return how far from the middle of the palm a finger begins, in cells."""
    return float(np.percentile(_measure_reach(centre)[cells], 5))


def _find_root(centre: NDArray[np.float64], finger: Finger) -> Cells:
    """Return the cells below a finger towards the middle of the palm, as wide as it is: what holds its copy."""
    rows, columns = np.mgrid[0:CELLS, 0:CELLS]
    down, across = rows - centre[0], columns - centre[1]
    along = across * math.sin(finger.way) - down * math.cos(finger.way)
    beside = across * math.cos(finger.way) + down * math.sin(finger.way)
    begin = _find_begin(finger.cells, centre)
    return (along >= begin - ROOT_CELLS) & (along <= begin + ROOT_CELLS) & (np.abs(beside) <= finger.width / 2)


def _aim(aim: NDArray[np.float64]) -> float:
    return math.atan2(float(aim[1]), -float(aim[0]))


def find_fused(fingers: Sequence[Finger], *, told: bool = False) -> Finger | None:
    """Return the widest finger where it may be two, as it is where somebody `told` that two grew together; else None."""
    single = [one for one in fingers if not one.is_thumb]
    if len(single) < 2:
        return None
    widest = max(single, key=lambda one: one.width)
    least = min(one.width for one in single)
    return widest if told or widest.width >= FUSED_WIDTH * least else None


def _find_empty(hand: SeenHand, fingers: Sequence[Finger]) -> float | None:
    """Return the direction of the empty place, radians clockwise from up; None where no finger is missing or all are."""
    single = [one.way for one in fingers if not one.is_thumb]
    thumbs = [one.way for one in fingers if one.is_thumb]
    if not 1 <= len(single) < len(FINGER_WAYS):
        return None
    arm = find_up(hand)
    best: tuple[float, _Ways, tuple[int, ...]] | None = None
    for side in (1.0, -1.0):
        if thumbs and (thumbs[0] > float(np.mean(single))) != (side > 0):
            continue
        # Fingers from the thumb on.
        ways = sorted(single, reverse=side > 0)
        for places in combinations(range(len(FINGER_WAYS)), len(ways)):
            cost, fitted = _fit_ways(ways, places, thumbs, arm, side)
            if best is None or cost < best[0]:
                best = (cost, fitted, places)
    if best is None:
        return None
    _, fitted, places = best
    empty = [number for number in range(len(FINGER_WAYS)) if number not in places]
    return fitted.place(min(empty, key=lambda number: _count_along(hand, fitted.place(number))))


def _fit_ways(
    ways: Sequence[float], places: Sequence[int], thumbs: Sequence[float], arm: float, side: float
) -> tuple[float, _Ways]:
    """Return how badly fingers at some places fit, and how the hand would lie then: least squares, weighted by stray."""
    rows = [
        (1.0, side * math.radians(FINGER_WAYS[place]), way, STRAY_DEG) for place, way in zip(places, ways, strict=True)
    ]
    rows += [(1.0, side * math.radians(THUMB_WAY), way, THUMB_STRAY_DEG) for way in thumbs]
    rows.append((1.0, 0.0, arm, ARM_STRAY_DEG))
    table = np.array([row[:3] for row in rows]) / np.radians([[row[3]] for row in rows])
    table = np.vstack((table, np.array([0.0, 1.0, 1.0]) / SPREAD_STRAY))
    found, *_ = np.linalg.lstsq(table[:, :2], table[:, 2], rcond=None)
    cost = float(((table[:, :2] @ found - table[:, 2]) ** 2).sum())
    return cost, _Ways(offset=float(found[0]), spread=float(found[1]), side=side)


def find_up(hand: SeenHand) -> float:
    """Return the direction from arm to palm, radians clockwise from up; 0 where no arm is seen."""
    arm, centre = hand.judged.maps.parts[ARM] > 0.5, find_palm(hand)
    if centre is None or arm.sum() < FEWEST_ARM_CELLS:
        return 0.0
    return _aim(centre - np.argwhere(arm).mean(0))


def _count_along(hand: SeenHand, way: float) -> int:
    """Count the cells of digits that lie in a direction from the middle of the palm."""
    centre = find_palm(hand)
    assert centre is not None, "a palm was seen"
    steps = np.arange(CELLS)[:, None] * np.array([-math.cos(way), math.sin(way)]) + centre
    inside = steps[((steps >= 0) & (steps <= CELLS - 1)).all(axis=1)].astype(int)
    skin = hand.judged.maps.parts[FIRST_SEGMENT:].sum(0) > 0.5
    return int(skin[inside[:, 0], inside[:, 1]].sum())


def _lay_copies(
    hand: SeenHand,
    centre: NDArray[np.float64],
    source: Finger,
    ways: Sequence[float],
    erased: Finger | None,
    fingers: Sequence[Finger],
    strength: float,
    words: str,
) -> RepairStep:
    """Turn copies of a finger round the middle of the palm into some directions; what is erased makes room before."""
    maps = hand.judged.maps
    palm = maps.parts[PALM] + maps.parts[ARM] > 0.5
    kept = join_cells([one.cells for one in fingers if one is not erased])
    start, frozen = hand.before, place_cells(hand, kept)
    freed = np.zeros(frozen.shape, np.bool_)
    if erased is not None:
        # What lies nearer to the palm than the others begin is skin in any case.
        begin = float(np.median([_find_begin(one.cells, centre) for one in fingers if one is not erased]))
        hole = grow(erased.cells, MARGIN_CELLS) & (_measure_reach(centre) >= begin) & ~palm & ~kept
        freed |= place_cells(hand, grow(hole, 1) & ~kept)
        start = erase(hand, place_cells(hand, hole), place_cells(hand, find_skin(hand) | hole))
    digit = grow(source.cells, 1) & ~palm | _find_root(centre, source) & (maps.parts[PALM:].sum(0) > 0.5)
    for way in ways:
        copied, moved = _turn(hand, centre, digit, way - source.way)
        copied &= ~frozen
        start = np.where(copied[..., None], moved, start).astype(np.uint8)
        rim = max(1, round(2 * measure_fade(hand)))
        freed |= np.asarray(ndimage.binary_dilation(copied, iterations=rim), np.bool_) & ~frozen
    return RepairStep(change=soften(hand, freed, frozen), start=start, strength=strength, words=words)


def _turn(hand: SeenHand, centre: NDArray[np.float64], cells: Cells, angle: float) -> tuple[Mask, NDArray[np.float32]]:
    """Return cells and crop turned clockwise round the palm, radians: bool [h, w] and float32 [h, w, 3]."""
    row, column = _find_pixel(hand, centre)
    rows, columns = np.mgrid[0 : hand.frame.height, 0 : hand.frame.width]
    sine, cosine = math.sin(angle), math.cos(angle)
    down, across = rows - row, columns - column
    places = (down * cosine - across * sine + row, across * cosine + down * sine + column)
    turned = ndimage.map_coordinates(place_cells(hand, cells).astype(np.float32), places, order=1)
    moved = [
        np.asarray(ndimage.map_coordinates(hand.before[..., c], places, order=1, mode="nearest")) for c in range(3)
    ]
    return np.asarray(turned) > 0.5, np.stack(moved, axis=-1).astype(np.float32)


def _find_pixel(hand: SeenHand, cell: NDArray[np.float64]) -> tuple[float, float]:
    """Return row and column in the crop of a row and column of cells."""
    at = np.array([[(cell[1] + 0.5) / CELLS, (cell[0] + 0.5) / CELLS]])
    x, y = hand.judged.square.to_picture(at)[0]
    return float(y) - hand.frame.top - 0.5, float(x) - hand.frame.left - 0.5
