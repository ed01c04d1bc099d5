"""Masks of a hand: from the parser's cells to pixels of a crop, grown, softened, or filled from around.

Knows a parser's maps, neither causes nor models. Start reading at `SeenHand`, then `place_cells`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sfumato.core.geometry import PixelBox
from sfumato.critic.anatomy.judge import JudgedHand
from sfumato.critic.anatomy.labels import ARM, CELL_PX, CROP_PX
from sfumato.critic.finders.crops import TurnedSquare

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


@dataclass(frozen=True, eq=False, kw_only=True)
class SeenHand:
    """Hold a hand as the parser saw it, and the crop that is drawn: `frame` in px, its pixels, uint8 [h, w, 3]."""

    judged: JudgedHand
    frame: PixelBox
    before: NDArray[np.uint8]


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


def place_cells(hand: SeenHand, cells: Cells) -> Mask:
    """Return which pixels of the crop lie in cells of a hand, bool [h, w]."""
    return to_frame(hand.judged.square, hand.frame, cells)


def map_to_cells(square: TurnedSquare, frame: PixelBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where in the cells of a parser's square each pixel of a frame lies: row and column, float64 [h, w] each."""
    rows, columns = np.mgrid[0 : frame.height, 0 : frame.width]
    x, y = columns + 0.5 + frame.left - square.x, rows + 0.5 + frame.top - square.y
    sine, cosine = math.sin(square.angle), math.cos(square.angle)
    across, down = x * cosine + y * sine, y * cosine - x * sine
    step = CELLS / square.side
    return down * step + CELLS / 2 - 0.5, across * step + CELLS / 2 - 0.5


def find_skin(hand: SeenHand) -> Cells:
    """Return the cells of the hand and its arm, with their outlines."""
    return grow(hand.judged.maps.parts[ARM:].sum(0) > 0.5, MARGIN_CELLS)


def soften(hand: SeenHand, freed: Mask, frozen: Mask) -> Numbers:
    """Return the change map of pixels that are freed: 1 inside, fading outwards; what is frozen keeps its bytes."""
    spread = measure_fade(hand)
    share = np.asarray(ndimage.gaussian_filter(freed.astype(np.float32), spread), np.float32)
    share = np.clip(share * 2.0, 0.0, 1.0)
    share[(share < 0.02) | frozen] = 0.0
    return share


def measure_fade(hand: SeenHand) -> float:
    """Return over how many px the edge of a change fades."""
    return max(LEAST_FADE_PX, FADE_FRAC * max(hand.judged.box.width, hand.judged.box.height))


def grow(cells: Cells, margin: int) -> Cells:
    """Return cells with so many more around them."""
    return np.asarray(ndimage.binary_dilation(cells, structure=np.ones((3, 3)), iterations=margin), np.bool_)


def join_cells(masks: Sequence[Cells]) -> Cells:
    """Return the cells of any of some masks."""
    return np.asarray(np.logical_or.reduce([np.zeros((CELLS, CELLS), np.bool_), *masks]), np.bool_)


def measure_width(cells: Cells) -> float:
    """Return how wide a digit is, in cells: twice the depth of its middle."""
    return 2.0 * float(np.asarray(ndimage.distance_transform_edt(np.pad(cells, 1))).max())
