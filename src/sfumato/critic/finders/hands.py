"""The finder of real hands: palms in overlapping windows, then 21 points of each hand and whether it is one.

It finds and frames hands and does not judge them: a hand with a sixth finger is as sure as any. Both networks are parts
of others (see docs/parts.md). The points are the wrist, then four for each finger from its root to its tip, thumb
first. Start reading at `HandFinder.find`.

Source: MediaPipe's card of the model "Hand Tracking" (input, anchors, outputs, how the crop is turned and grown).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch

from sfumato.canvas.pixels import PixelStore
from sfumato.core.found import Found
from sfumato.core.geometry import PixelSize
from sfumato.critic.finders.candidates import (
    Candidates,
    Numbers,
    blend_overlapping,
    bound_points,
    decode_boxes,
    join_candidates,
    keep_surest,
    make_anchors,
    to_pixel_box,
)
from sfumato.critic.finders.crops import Points, TurnedSquare, cut_squares
from sfumato.critic.finders.levels import PictureLevels, list_levels
from sfumato.critic.finders.windows import look_at_windows
from sfumato.models.parts.graph import PartGraph, load_graph

PARTS = ("palm", "hand-landmarks")
PALM_PX, HAND_PX = 192, 224
# On the whole picture the palm network misses most hands. On 22 renders with hands, windows of 384 px found 13,
# of 256 px 21, see docs/log of 2026-11-30.
WINDOW_PX, OVERLAP_PX = 256, 80
# A palm this sure is looked at; the landmarks decide.
LEAST_SCORE = 0.3
# Measured on real renders: true hands 0.94 to 1.00; a petal had 0.93, the foot of a dragon 0.88.
LEAST_PRESENCE = 0.94
MOST_COVER, MOST_INSIDE = 0.3, 0.6
# The crop of a hand: 2.6 times the palm, moved by half a palm towards the fingers.
HAND_GROWTH, HAND_SHIFT = 2.6, 0.5
# Skin lies round the points, which run through the middle of the fingers.
BOX_GROWTH = 1.2
WRIST, MIDDLE_ROOT = 0, 2
HAND_BATCH = 4


class HandFinder:
    """Find hands and their points. A leaf."""

    name = "hands"
    kinds: frozenset[str] = frozenset({"hand"})

    @cached_property
    def _palms(self) -> PartGraph:
        return load_graph(PARTS[0])

    @cached_property
    def _landmarks(self) -> PartGraph:
        return load_graph(PARTS[1])

    @cached_property
    def _anchors(self) -> Numbers:
        return make_anchors(PALM_PX, (8, 16), (2, 6))

    def find(self, pixels: PixelStore) -> tuple[Found, ...]:
        """Find hands, each once, the surest first; `confidence` is the presence that the landmarks say.

        Raises:
            ModelError: the parts were not fetched yet.
        """
        levels = PictureLevels(pixels)
        palms = self._find_palms(levels, pixels.size)
        hands = [
            hand
            for start in range(0, len(palms.scores), HAND_BATCH)
            for hand in self._look_closer(levels, palms, start, pixels.size)
        ]
        if not hands:
            return ()
        boxes = np.array([(one.box.left, one.box.top, one.box.right, one.box.bottom) for one in hands], np.float32)
        sure = np.array([one.confidence for one in hands], np.float32)
        kept = keep_surest(boxes, sure, most_cover=MOST_COVER, most_inside=MOST_INSIDE)
        return tuple(hands[number] for number in kept)

    def _find_palms(self, levels: PictureLevels, size: PixelSize) -> Candidates:
        """Return the palms of all levels in px of the picture, each once."""
        palms = join_candidates(
            [
                candidates
                for level in list_levels(size, WINDOW_PX)
                for candidates in look_at_windows(levels, level, WINDOW_PX, OVERLAP_PX, PALM_PX, self._propose)
            ]
        )
        return palms.pick(keep_surest(palms.boxes, palms.scores, most_cover=MOST_COVER, most_inside=MOST_INSIDE))

    def _propose(self, windows: torch.Tensor) -> Iterator[Candidates]:
        """Yield the palms of each window, uint8 [n, side, side, 3], in px of the network's input."""
        raw, logits = self._palms.run(windows.float() / 255.0)
        for rows, scores in zip(raw.numpy(), logits[..., 0].numpy(), strict=True):
            yield blend_overlapping(decode_boxes(rows, scores, self._anchors, PALM_PX, LEAST_SCORE), MOST_COVER)

    def _look_closer(self, levels: PictureLevels, palms: Candidates, start: int, size: PixelSize) -> Iterator[Found]:
        """Yield the hands among a few palms."""
        few = range(start, min(start + HAND_BATCH, len(palms.scores)))
        squares = [_frame(palms.boxes[number], palms.points[number]) for number in few]
        crops = torch.from_numpy(cut_squares(levels, squares, HAND_PX))
        points, presences, *_ = self._landmarks.run(crops.float() / 255.0)
        places = points.reshape(len(squares), 21, 3)[..., :2].numpy() / HAND_PX
        for square, presence, place in zip(squares, presences.reshape(-1).tolist(), places, strict=True):
            if presence < LEAST_PRESENCE:
                continue
            skeleton = square.to_picture(place)
            box = to_pixel_box(bound_points(skeleton, BOX_GROWTH), size)
            if box is not None:
                joints = tuple((float(x), float(y)) for x, y in skeleton)
                yield Found(kind="hand", box=box, confidence=float(presence), by=self.name, points=joints)


def _frame(box: Numbers, points: Points) -> TurnedSquare:
    """Return the square that the landmarks look at: turned so that the middle finger points up, and grown."""
    left, top, right, bottom = (float(side) for side in box)
    across, down = (float(value) for value in points[MIDDLE_ROOT] - points[WRIST])
    # Clockwise from straight up.
    angle = math.atan2(across, -down)
    side = max(right - left, bottom - top)
    shift = HAND_SHIFT * (bottom - top)
    x, y = (left + right) / 2 + shift * math.sin(angle), (top + bottom) / 2 - shift * math.cos(angle)
    return TurnedSquare(x, y, HAND_GROWTH * side, angle)
