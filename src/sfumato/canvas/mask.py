"""Masks of inpainting: how strongly each pixel of a picture is to change, from a mask picture of any usual kind.

Three kinds of picture are masks: black and white without transparency (white changes), white strokes on
a transparent layer (the strokes change), and the picture itself with a part erased (the erased part
changes). Knows no latents. Start reading at `read_mask`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize

Shares = NDArray[np.float32]

# Values this near to black or white (of 255) are black or white: JPEG leaves such noise around edges.
_NEAR = 16
# What is less opaque than this is not seen, so its colour says nothing.
_SEEN = 16


def read_mask(mask: Image.Image, size: PixelSize) -> Shares:
    """Return float32 [H, W]: 1 where a pixel changes, 0 where it keeps its bytes, between them where the mask is soft.

    Raises:
        RequestError: the mask has another size than the picture, selects nothing, or can be read in two ways.
    """
    if mask.size != (size.width, size.height):
        got = f"mask {mask.width}x{mask.height}, picture {size}"
        raise RequestError("a mask has the size of its picture", got=got, do="Draw the mask on the picture itself.")
    shares = _read_transparent(mask) if mask.has_transparency_data else None
    found = _sharpen(_to_grey(mask) if shares is None else shares)
    if not found.any():
        do = "Paint white, or erase, what is to be rendered again."
        raise RequestError("the mask selects nothing", do=do)
    return found


def _read_transparent(mask: Image.Image) -> NDArray[np.uint8] | None:
    """Return how strongly each pixel is selected, 0 to 255; None where the picture has no transparent pixel after all."""
    pixels = np.asarray(mask.convert("RGBA"))
    alpha = pixels[..., 3]
    if alpha.min() > 255 - _NEAR:
        return None
    grey = _to_grey(mask)
    seen = grey[alpha >= _SEEN]
    is_white, is_black = seen >= 255 - _NEAR, seen <= _NEAR
    if is_white.size and is_white.all():
        return alpha
    if is_white.any() and is_black.any() and (is_white | is_black).all():
        raise RequestError(
            "the mask has black, white and transparent parts, so it may be a drawn mask or an erased picture",
            do="Save the mask without transparency: white for what changes, black for the rest.",
        )
    return (255 - alpha).astype(np.uint8)


def _to_grey(mask: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(mask.convert("RGBA").convert("RGB").convert("L"))


def _sharpen(values: NDArray[np.uint8]) -> Shares:
    shares: Shares = np.divide(values, 255, dtype=np.float32)
    shares[values < _NEAR] = 0
    shares[values > 255 - _NEAR] = 1
    return shares
