"""An auditor that was never trained: it finds skin by its colour, and counts what sticks out of the palm.

It stands in while no trained auditor ships. Colours that fill the middle of a crop and not its rim are skin; discs of
several sizes that fit into it are palm; pieces that are left and long enough are digits. It is wrong often, and mostly by
refusing: docs/repair.md has its error. Knows pixels only. Start reading at `SkinCounter.ask`.

Source: the parts that an opening by a disc removes, Serra 1982, "Image Analysis and Mathematical Morphology".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sfumato.critic.anatomy.auditor import Opinion
from sfumato.critic.anatomy.labels import MOST_DIGITS

Mask = NDArray[np.bool_]
Colours = NDArray[np.float32]

# Brightness counts less than tone: light falls on a hand from one side. Levels of 255.
BRIGHTNESS_SHARE, BIN_LEVELS, NEAR_LEVELS, SAME_LEVELS = 0.6, 14.0, 20.0, 22.0
# The middle of a crop reaches from here to there; its rim is so wide. Shares of its side.
MIDDLE_FROM, MIDDLE_TO, RIM = 0.3, 0.7, 1 / 16
FEWEST_SKIN_PX, FEWEST_DIGIT_PX = 80, 10
# Radii of the discs, and the least length of a digit, in radii of the largest disc that fits into the skin.
LEAST_DISC, MOST_DISC, DISCS, LEAST_LENGTH = 0.42, 0.8, 9, 0.75


@dataclass(frozen=True)
class SkinCounter:
    """Count digits by colour and shape. A leaf.

    A hand passes where at most `most_fault` of the looks count another number than expected.
    """

    most_fault: float = 0.25

    def ask(self, crops: NDArray[np.uint8], expected: int) -> Opinion:
        """Return an opinion on a hand from several crops of it, uint8 RGB [N, side, side, 3]."""
        counts = [count_digits(find_skin(crop)) for crop in crops]
        digits = int(np.bincount(counts).argmax())
        return Opinion(digits=digits, fault=float(np.mean([count != expected for count in counts])), countable=1.0)


def find_skin(crop: NDArray[np.uint8]) -> Mask:
    """Return the largest piece of the colour that fills the middle of a crop and not its rim, bool [side, side]."""
    levels = crop.astype(np.float32)
    red, green, blue = levels[..., 0], levels[..., 1], levels[..., 2]
    colours: Colours = np.stack((BRIGHTNESS_SHARE * levels.mean(2), red - green, blue - green), axis=-1)
    bins = np.floor(colours / BIN_LEVELS).astype(np.int64)
    bins -= bins.reshape(-1, 3).min(0)
    shape = tuple(int(count) for count in bins.reshape(-1, 3).max(0) + 1)
    places = np.asarray(np.ravel_multi_index(tuple(bins[..., axis] for axis in range(3)), shape), np.int64)
    side = len(crop)
    middle = np.s_[
        round(side * MIDDLE_FROM) : round(side * MIDDLE_TO), round(side * MIDDLE_FROM) : round(side * MIDDLE_TO)
    ]
    is_rim = np.ones((side, side), np.bool_)
    rim = max(3, round(side * RIM))
    is_rim[rim:-rim, rim:-rim] = False
    size = int(np.prod(shape))
    inside = np.bincount(places[middle].ravel(), minlength=size) / places[middle].size
    outside = np.bincount(places[is_rim], minlength=size) / int(is_rim.sum())
    colour = np.median(colours[middle][places[middle] == int((inside - outside).argmax())], axis=0)
    near = np.linalg.norm(colours[middle] - colour, axis=-1) < NEAR_LEVELS
    if near.any():
        colour = np.median(colours[middle][near], axis=0)
    skin = np.asarray(ndimage.binary_opening(np.linalg.norm(colours - colour, axis=-1) < SAME_LEVELS), np.bool_)
    labels, count = _label(skin)
    return labels == 1 + int(np.bincount(labels.ravel())[1:].argmax()) if count else skin


def count_digits(skin: Mask) -> int:
    """Return how many long pieces discs of most sizes leave of the skin; 0 where there is too little of it."""
    if skin.sum() < FEWEST_SKIN_PX:
        return 0
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(skin, 1)))[1:-1, 1:-1]
    widest = float(depth.max())
    votes = np.zeros(MOST_DIGITS + 1)
    for share in np.linspace(LEAST_DISC, MOST_DISC, DISCS):
        radius = share * widest
        # What lies within a radius of the depth of a radius is what discs of it cover, and one px more.
        palm = np.asarray(ndimage.distance_transform_edt(depth < radius)) < radius + 1.0
        labels, count = _label(skin & ~palm)
        pieces = [labels == number for number in range(1, count + 1)]
        votes[min(sum(_measure_length(piece) >= LEAST_LENGTH * widest for piece in pieces), MOST_DIGITS)] += 1
    # Of two numbers with as many votes the larger one: discs that are too small hide digits.
    return int(MOST_DIGITS - votes[::-1].argmax())


def _measure_length(piece: Mask) -> float:
    """Return the length of a piece along its longer axis, px: four standard deviations."""
    places = np.argwhere(piece)
    if len(places) < FEWEST_DIGIT_PX:
        return 0.0
    return 4.0 * float(np.sqrt(max(float(np.linalg.eigvalsh(np.cov(places.T))[-1]), 0.0)))


def _label(mask: Mask) -> tuple[NDArray[np.int32], int]:
    labels = np.empty(mask.shape, np.int32)
    count = ndimage.label(mask, output=labels)
    return labels, int(count)  # pyright: ignore[reportArgumentType]
