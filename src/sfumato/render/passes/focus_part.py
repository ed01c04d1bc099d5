"""What a part is that is drawn anew: its box and words, its crop, its mask, and how it is laid back.

Values and arithmetic on pixels; knows no model, no finder and no judge. Start reading at `FocusTarget`, then `lay_back`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.render.plan.sizes import SMALLEST_SIDE_CELLS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfumato.models.contract import ModelContract

# A part is drawn on a canvas of at most so many native areas: it is held in memory, and one prompt speaks for all of it.
MOST_NATIVE_AREAS = 16
# The edge of a mask fades over this share of the part's longer side, and at least so many px.
FADE_FRAC, LEAST_FADE_PX = 0.15, 2.0
# Colours are matched by a field as smooth as this share of the part's longer side (the spread of a Gaussian), px at least.
FIELD_FRAC, LEAST_FIELD_PX = 0.3, 2.0


@dataclass(frozen=True, kw_only=True)
class FocusTarget:
    """Name one part that is worth drawing anew.

    `box` is what a finder or the user named, in px of the picture; `core` is what changes wholly: the box grown by what
    belongs to it, hair to a face. `context` is the side of the crop in sides of the box. `prompt` says what the crop
    shows. `depth` counts the parts around it that were drawn anew. A core that is `oval` leaves out its corners. A part
    that `is_blank` shows nothing yet of what it should, so it is drawn anew more strongly.
    """

    kind: str
    box: PixelBox
    core: PixelBox
    context: float
    prompt: str
    depth: int = 0
    oval: bool = False
    is_blank: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class DrawnPart:
    """Hold what one try gave.

    `frame` is the crop in the picture, `share` how much of the new pixels counts there, float32 [h, w], 0 outside the
    mask. `before` and `after` are its pixels, uint8 [h, w, 3]; `parent` and `drawn` are old and new at the size that was
    drawn, before colours were matched.
    """

    target: FocusTarget
    frame: PixelBox
    share: NDArray[np.float32]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    parent: NDArray[np.uint8]
    drawn: NDArray[np.uint8]
    strength: float


def find_crop(box: PixelBox, context: float, picture: PixelSize, contract: ModelContract) -> tuple[PixelBox, PixelSize]:
    """Return the part of a picture that is drawn for a box, and the canvas that it is drawn on.

    The part has the native aspect where the picture allows it and lies inside the picture; the canvas has at least
    native area, and whole cells.
    """
    box, native = box.clip(picture), contract.native
    aspect = native.width / native.height
    high = max(box.height, box.width / aspect) * context
    width, height = min(picture.width, math.ceil(high * aspect)), min(picture.height, math.ceil(high))
    left = _place(box.left, box.right, width, picture.width)
    top = _place(box.top, box.bottom, height, picture.height)
    frame = PixelBox(left, top, left + width, top + height)
    scale = max(math.sqrt(native.area / frame.area), 1.0)
    scale = min(scale, math.sqrt(MOST_NATIVE_AREAS * native.area / frame.area))
    factor, least = contract.factor, SMALLEST_SIDE_CELLS * contract.factor
    sides = (max(least, round(side * scale / factor) * factor) for side in (frame.width, frame.height))
    return frame, PixelSize(*sides)


def _place(begin: int, end: int, length: int, side: int) -> int:
    """Return where a span of a length begins that has another in its middle, pushed inside a side."""
    return max(0, min((begin + end - length) // 2, side - length))


def tighten(part: DrawnPart) -> DrawnPart:
    """Return the same drawing laid through a mask half as far around the box: what came or went beside it stays out."""
    box, core = part.target.box, part.target.core
    sides = [(getattr(box, side) + getattr(core, side)) // 2 for side in ("left", "top", "right", "bottom")]
    target = replace(part.target, core=PixelBox(*sides))
    share = make_mask(part.frame, target.core, oval=target.oval)
    size = (part.before.shape[1], part.before.shape[0])
    reduced = np.asarray(Image.fromarray(part.drawn).resize(size, Image.Resampling.LANCZOS))
    after = lay_back(part.before, reduced, share, max(box.width, box.height))
    return replace(part, target=target, share=share, after=after)


def make_mask(frame: PixelBox, core: PixelBox, *, oval: bool = False) -> NDArray[np.float32]:
    """Return the share of new pixels in a frame [h, w]: 1 in the core, falling smoothly to 0 around it.

    An `oval` core is the ellipse in the box.
    """
    fade = max(LEAST_FADE_PX, FADE_FRAC * max(core.width, core.height))
    if oval:
        x, y = np.arange(frame.left, frame.right) + 0.5, np.arange(frame.top, frame.bottom) + 0.5
        across = (x - (core.left + core.right) / 2) / (core.width / 2)
        down = (y - (core.top + core.bottom) / 2) / (core.height / 2)
        # Along a ray from the middle, as if the ellipse were a circle of its shorter side: the fade is never wider.
        beyond = np.hypot(down[:, None], across[None, :]) - 1.0
        gap = np.maximum(0.0, beyond) * min(core.width, core.height) / 2 / fade
    else:
        across = _measure_gap(frame.left, frame.right, core.left, core.right)
        down = _measure_gap(frame.top, frame.bottom, core.top, core.bottom)
        gap = np.hypot(down[:, None], across[None, :]) / fade
    # Half a cosine: no visible line where the mask begins or ends.
    share = 0.5 + 0.5 * np.cos(np.pi * np.clip(gap, 0.0, 1.0))
    share[gap >= 1.0] = 0.0
    return share.astype(np.float32)


def _measure_gap(begin: int, end: int, inner: int, outer: int) -> NDArray[np.float64]:
    """Return how far each pixel of a span lies from an inner span, px; 0 inside."""
    at = np.arange(begin, end) + 0.5
    return np.maximum(0.0, np.maximum(inner - at, at - outer))


def lay_back(
    before: NDArray[np.uint8], drawn: NDArray[np.uint8], share: NDArray[np.float32], side_px: int
) -> NDArray[np.uint8]:
    """Lay a crop over the old one [h, w, 3] through a mask, its colours matched by a smooth field.

    The field is the difference of both, smoothed over a part of `side_px`. Where the mask is 0 the old bytes stay.
    """
    rest = before.astype(np.float32) - drawn
    spread = max(LEAST_FIELD_PX, FIELD_FRAC * side_px)
    down, across = (_smooth_matrix(length, spread) for length in rest.shape[:2])
    field = np.einsum("ij,jkc->ikc", down, np.einsum("kl,jlc->jkc", across, rest, optimize=True), optimize=True)
    mixed = before + share[..., None] * (field - rest)
    laid = np.rint(np.clip(mixed, 0.0, 255.0)).astype(np.uint8)
    return np.where(share[..., None] > 0.0, laid, before)


def _smooth_matrix(length: int, spread: float) -> NDArray[np.float32]:
    """Return the matrix [length, length] that smooths a line by a Gaussian; rows sum to 1, also at the ends."""
    at = np.arange(length, dtype=np.float32)
    weights = np.exp(-0.5 * np.square((at[:, None] - at[None, :]) / spread))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
