"""A picture of any size grown by an exact scale, though a canvas has only whole cells.

Its last pixels are repeated at the right and the lower edge until its enlargement is whole cells; the upper left of the
canvas, which is what was asked for, is saved. Scales are whole numbers of quarters. Knows sizes and bands of pixels; no
file, model or step. Start reading at `widen_request`; `scale_size` says what a scale makes of a size.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import PictureSource
from sfumato.render.cohesive.input_picture import SourcePicture
from sfumato.render.plan.sizes import is_growing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sfumato.core.request import RenderRequest
    from sfumato.render.progress import Inputs

# Parts of one that a scale may have. More of them need more pixels beside the picture: one of four at most 31.
SCALE_PARTS = (1, 2, 4)


def scale_size(picture: PixelSize, scale: Fraction) -> PixelSize:
    """Return a size so many times larger, a half pixel rounded up."""
    return PixelSize(*(math.floor(side * scale + Fraction(1, 2)) for side in (picture.width, picture.height)))


def widen_request(request: RenderRequest, factor: int) -> RenderRequest:
    """Return what is drawn for a request: a picture that grows to no whole cells is wider and higher, and so is its canvas.

    Any other request is returned as it is.

    Raises:
        RequestError: the size is neither whole cells nor the picture's at one scale; names sizes nearby.
    """
    source, size = request.source, request.size
    if not isinstance(source, PictureSource) or size in (size.round_up(factor), source.size):
        return request
    scale = _find_scale(source.size, size)
    if scale is None:
        raise _impossible(source, size, factor)
    padded = _pad_size(source.size, scale, factor)
    return replace(request, size=scale_size(padded, scale), source=replace(source, size=padded))


def widen_inputs(inputs: Inputs, request: RenderRequest) -> Inputs:
    """Return the inputs for a request that was widened: the picture with its last pixels repeated to its new size."""
    picture, source = inputs.source, request.source
    if picture is None or not isinstance(source, PictureSource) or picture.size == source.size:
        return inputs
    return replace(inputs, source=SourcePicture(source.size, partial(_walk_padded, picture, source.size)))


def _find_scale(picture: PixelSize, size: PixelSize) -> Fraction | None:
    """Return the scale above 1 at which a picture has a size, None where there is none."""
    for parts in SCALE_PARTS:
        scale = Fraction(round(parts * max(size.width, size.height) / max(picture.width, picture.height)), parts)
        if scale > 1 and scale_size(picture, scale) == size:
            return scale
    return None


def _pad_size(picture: PixelSize, scale: Fraction, factor: int) -> PixelSize:
    """Return the least size that a picture lies in and whose enlargement is whole cells."""
    cells = scale.denominator * factor
    return picture.round_up(cells // math.gcd(scale.numerator, cells))


def _walk_padded(picture: SourcePicture, size: PixelSize) -> Iterator[NDArray[np.uint8]]:
    last = None
    for band in picture.walk():
        last = np.pad(band, ((0, 0), (0, size.width - picture.size.width), (0, 0)), mode="edge")
        yield last
    if last is not None and size.height > picture.size.height:
        yield np.repeat(last[-1:], size.height - picture.size.height, axis=0)


def _impossible(source: PictureSource, size: PixelSize, factor: int) -> RequestError:
    below = PixelSize(*(max(1, side // factor) * factor for side in (size.width, size.height)))
    most = max(SCALE_PARTS)
    parts = max(most + 1, round(most * max(size.width, size.height) / max(source.size.width, source.size.height)))
    near = (below, size.round_up(factor), scale_size(source.size, Fraction(parts, most)))
    *others, last = [str(other) for other in near if is_growing(source, other)]
    return RequestError(
        f"a size is a multiple of {factor} pixels, or the picture's own times a whole number of quarters",
        got=f"`size` {size}, the picture is {source.size}",
        do=f"Ask for {', '.join(others)} or {last}." if others else f"Ask for {last}.",
    )
