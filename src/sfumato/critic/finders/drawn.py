"""The finder of mini's world: people, faces, hands and houses, by the detector that ships with mini.

It was trained on drawn pictures and says nothing of photographs. Knows no render. Start reading at `DrawnFinder.find`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from sfumato.canvas.pixels import PixelStore, count_grain, make_small
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.critic.detector.boxes import keep_strongest
from sfumato.critic.detector.detector import MOST_COVER, Detection, Detector, load_detector
from sfumato.critic.detector.network import KINDS

# Sides of the pieces that are read at once, and what neighbours share: a thing of that size lies wholly in one of them.
PIECE_PX, SHARED_PX = 4096, 512
# A box that ends so near to the cut edge of a piece may go on beyond it.
_CUT_PX = 2.0


class DrawnFinder:
    """Find people, faces, hands and houses in drawn pictures. A leaf."""

    name = "drawn"
    kinds: frozenset[str] = frozenset(KINDS)

    def __init__(self, detector: Detector | None = None, *, piece_px: int = PIECE_PX) -> None:
        """Take a detector; without one, that of mini is opened at the first picture."""
        assert piece_px >= 2 * SHARED_PX, "pieces are larger than what they share"
        self._own, self._piece_px = detector, piece_px

    @cached_property
    def _detector(self) -> Detector:
        return self._own or load_detector()

    def find(self, pixels: PixelStore) -> tuple[Found, ...]:
        """Find objects of at least 8 px, the surest first, each once.

        A large picture is read in pieces that overlap, and once more as a whole, reduced, for what is larger than a piece.
        """
        found = [
            _shift(one, piece.left, piece.top)
            for piece in self._list_pieces(pixels.size)
            for one in self._detector.find(pixels.read(piece))
            if not _is_cut(one, piece, pixels.size)
        ]
        grain = count_grain(pixels.size, self._piece_px)
        if grain > 1:
            small = np.asarray(make_small(pixels, self._piece_px))
            enlarged = (_enlarge(one, grain) for one in self._detector.find(small))
            # Pieces saw smaller ones sharper.
            found += [one for one in enlarged if max(_measure_sides(one)) > SHARED_PX / 2]
        return _join(found, pixels.size)

    def _list_pieces(self, size: PixelSize) -> Iterator[PixelBox]:
        step = self._piece_px - SHARED_PX
        for top in range(0, max(1, size.height - SHARED_PX), step):
            for left in range(0, max(1, size.width - SHARED_PX), step):
                right, bottom = min(size.width, left + self._piece_px), min(size.height, top + self._piece_px)
                yield PixelBox(left, top, right, bottom)


def _shift(one: Detection, left: int, top: int) -> Detection:
    box = one.box
    return Detection(one.kind, (box[0] + left, box[1] + top, box[2] + left, box[3] + top), one.confidence)


def _enlarge(one: Detection, grain: int) -> Detection:
    left, top, right, bottom = (side * grain for side in one.box)
    return Detection(one.kind, (left, top, right, bottom), one.confidence)


def _measure_sides(one: Detection) -> tuple[float, float]:
    left, top, right, bottom = one.box
    return right - left, bottom - top


def _is_cut(one: Detection, piece: PixelBox, size: PixelSize) -> bool:
    """Tell whether a box in px of a piece touches an edge of the piece that is none of the picture."""
    left, top, right, bottom = one.box
    return (
        (piece.left > 0 and left < _CUT_PX)
        or (piece.top > 0 and top < _CUT_PX)
        or (piece.right < size.width and right > piece.width - _CUT_PX)
        or (piece.bottom < size.height and bottom > piece.height - _CUT_PX)
    )


def _join(found: list[Detection], size: PixelSize) -> tuple[Found, ...]:
    """Return each object once, the surest first, in whole px inside the picture."""
    kept = list[Found]()
    for kind in KINDS:
        own = [one for one in found if one.kind == kind]
        boxes = np.array([one.box for one in own], np.float32).reshape(-1, 4)
        scores = np.array([one.confidence for one in own], np.float32)
        for place in keep_strongest(boxes, scores, MOST_COVER):
            left, top, right, bottom = own[place].box
            box = PixelBox(math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)).clip(size)
            kept.append(Found(kind=kind, box=box, confidence=own[place].confidence, by=DrawnFinder.name))
    return tuple(sorted(kept, key=lambda one: (-one.confidence, one.box)))
