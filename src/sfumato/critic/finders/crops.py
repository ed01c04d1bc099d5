"""Square crops of a picture that may be turned, and the way of points back from a crop into the picture.

Knows pixels and points, no network. Start reading at `TurnedSquare`, then `cut_squares`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.pixels import Pixels
from sfumato.core.geometry import PixelBox
from sfumato.critic.finders.levels import PictureLevels

Points = NDArray[Any]
"""Points [n, 2] as x and y."""


@dataclass(frozen=True, slots=True)
class TurnedSquare:
    """Hold a square in a picture: centre and side in px, and its turn in radians, clockwise on the screen."""

    x: float
    y: float
    side: float
    angle: float

    def to_picture(self, points: Points) -> Points:
        """Return points [n, 2] of the unit square, 0 to 1, as points of the picture, px."""
        sine, cosine = math.sin(self.angle), math.cos(self.angle)
        across, down = (points - 0.5).T * self.side
        return np.stack((self.x + across * cosine - down * sine, self.y + across * sine + down * cosine), axis=1)

    def bound(self) -> PixelBox:
        """Return the smallest box that holds the square."""
        reach = self.side / 2 * (abs(math.sin(self.angle)) + abs(math.cos(self.angle)))
        left, top = math.floor(self.x - reach), math.floor(self.y - reach)
        return PixelBox(left, top, max(left + 1, math.ceil(self.x + reach)), max(top + 1, math.ceil(self.y + reach)))


def cut_squares(levels: PictureLevels, squares: Sequence[TurnedSquare], side_px: int) -> Pixels:
    """Return squares upright as uint8 [n, side_px, side_px, 3]; what lies outside of the picture is black."""
    return np.stack([_cut(levels, square, side_px) for square in squares])


def _cut(levels: PictureLevels, square: TurnedSquare, side_px: int) -> Pixels:
    # From the level on which a pixel of the crop is between one and two pixels: nothing is skipped, nothing blurred.
    level = max(0, math.floor(math.log2(max(square.side / side_px, 1.0))))
    factor = 1 << level
    small = TurnedSquare(square.x / factor, square.y / factor, square.side / factor, square.angle)
    box = small.bound().grow(1)
    source = Image.fromarray(levels.read(level, box))
    sine, cosine, step = math.sin(square.angle), math.cos(square.angle), small.side / side_px
    # Pillow asks for the place in the source of each pixel (x, y) of the crop: a x + b y + c, d x + e y + f.
    half = side_px / 2
    a, b, d, e = step * cosine, -step * sine, step * sine, step * cosine
    c = small.x - box.left - a * half - b * half
    f = small.y - box.top - d * half - e * half
    turned = source.transform((side_px, side_px), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR)
    return np.asarray(turned)
