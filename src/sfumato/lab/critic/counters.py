"""Counters of digits that are not trained, to compare with: convexity defects and skeleton ends of a hand's outline.

They get the parser's own mask of the hand, which flatters them: a mask of others is worse. Start reading at
`count_by_convexity` and `count_by_skeleton`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image, skeletonize

from sfumato.critic.anatomy.labels import PALM
from sfumato.critic.anatomy.parser import HandMaps

Mask = NDArray[np.bool_]

# A valley between two digits is at least so deep, as a share of the hand's longer side.
LEAST_VALLEY = 0.10
# Of the rows of a valley so many have a digit on either side: the tips of spread digits lie at different heights.
LEAST_HELD = 0.2
# A skeleton ends in a digit where it reaches so many radii of the palm from its middle.
LEAST_REACH = 1.6


def find_outline(maps: HandMaps) -> Mask:
    """Return the largest piece of palm and digits, bool [h, w]."""
    mask = maps.parts[PALM:].sum(0) > 0.5
    labels, count = ndimage.label(mask)  # pyright: ignore[reportGeneralTypeIssues]
    if not count:
        return mask
    return labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))


def count_by_convexity(mask: Mask) -> int:
    """Return one more than the number of deep valleys between an outline and its convex hull; 0 for no hand."""
    if mask.sum() < 16:
        return 0
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    side = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    hull = convex_hull_image(mask)
    labels, count = ndimage.label(hull & ~mask)  # pyright: ignore[reportGeneralTypeIssues]
    # How far the outline lies inside the hull, along each gap.
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(hull, 1)))[1:-1, 1:-1]
    found = 0
    for number in range(1, count + 1):
        gap = labels == number
        places = np.argwhere(gap)
        # Beside the palm the hull leaves long gaps too; those between digits lie above its middle.
        is_above = float(places[:, 0].mean()) < float(np.flatnonzero(mask.any(1)).mean())
        found += int(is_above and depth[gap].max() >= LEAST_VALLEY * side and _is_between(mask, places))
    return found + 1


def _is_between(mask: Mask, places: NDArray[np.int64]) -> bool:
    """Tell whether a gap has outline on both of its sides: some of its rows lie between two digits."""
    held = 0
    rows = np.unique(places[:, 0])
    for row in rows:
        columns = places[places[:, 0] == row, 1]
        held += bool(mask[row, : columns.min()].any()) and bool(mask[row, columns.max() + 1 :].any())
    return held > LEAST_HELD * len(rows)


def count_by_skeleton(mask: Mask) -> int:
    """Return how many ends of an outline's skeleton lie far from the middle of the palm, the wrist left out."""
    if mask.sum() < 16:
        return 0
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    middle = np.array(np.unravel_index(int(depth.argmax()), depth.shape))
    bones = skeletonize(mask)
    neighbours = ndimage.convolve(bones.astype(np.int64), np.ones((3, 3), np.int64), mode="constant")
    ends = np.argwhere(bones & (neighbours == 2))
    reach = np.hypot(*(ends - middle).T) if len(ends) else np.zeros(0)
    far = ends[reach > LEAST_REACH * float(depth.max())]
    # Hands are cut with their digits up: what ends below the palm is the wrist.
    return int((far[:, 0] < middle[0] + depth.max()).sum()) if len(far) else 0
