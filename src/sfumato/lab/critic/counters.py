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
    gaps = convex_hull_image(mask) & ~mask
    outside = np.asarray(ndimage.distance_transform_edt(~(gaps | mask) == False))  # noqa: E712
    labels, count = ndimage.label(gaps)  # pyright: ignore[reportGeneralTypeIssues]
    depths = np.asarray(ndimage.maximum(outside, labels, range(1, count + 1))) if count else np.zeros(0)
    return int((depths >= LEAST_VALLEY * side).sum()) + 1


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
