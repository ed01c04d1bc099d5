"""What stands in a part of a picture before it is drawn anew, and the picture grown at its sides.

The colours of a hole are those around it, smoothed the more the further in: each level of a pyramid fills what the
finer one left. Knows pixels and masks. Start reading at `fill_masked`, then `grow_borders`.

Source: Gortler et al. 1996, The Lumigraph, section 3.4 (pull-push).
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sfumato.core.errors import RequestError
from sfumato.core.request_parts.edit import FILLS, Borders

_GREY = 128
# About the width of what would be a stripe.
_STRIPES_PX = 6
# Grey levels of the noise; with less, smooth areas stay smooth when they are drawn.
_NOISE = 48.0


def check_fill(fill: str) -> None:
    """Check that a word says how a masked part is filled.

    Raises:
        RequestError: it is no such word.
    """
    if fill not in FILLS:
        raise RequestError("`mask_fill` is another word", got=fill, do=f"Use {', '.join(FILLS)}.")


def fill_masked(picture: Image.Image, shares: NDArray[np.float32], fill: str) -> Image.Image:
    """Return an RGB picture whose part under a mask, `shares` [H, W] in 0 to 1, is filled; the rest stays to the bit."""
    if fill == "original":
        return picture
    old = np.asarray(picture.convert("RGB"))
    if fill == "grey":
        new = np.full(old.shape, float(_GREY), np.float32)
    else:
        new = _spread(old.astype(np.float32), 1.0 - (shares > 0).astype(np.float32))
    if fill == "noise":
        # The same picture and mask have the same noise.
        digest = hashlib.sha256(old.tobytes() + shares.tobytes()).digest()
        chance = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        new = new + chance.normal(0.0, _NOISE, old.shape).astype(np.float32)
    mixed = np.rint(np.clip(new, 0, 255)).astype(np.uint8)
    return Image.fromarray(np.where((shares > 0)[..., None], mixed, old))


def grow_borders(picture: Image.Image, borders: Borders, overlap_px: int) -> tuple[Image.Image, Image.Image]:
    """Return a picture grown by borders in the colours of its rim, and the mask of what is to be drawn, white.

    The mask reaches `overlap_px` into the picture and fades there, so that no line shows.
    """
    old = np.asarray(picture.convert("RGB"))
    ways = ((borders.top, borders.bottom), (borders.left, borders.right))
    inside = np.pad(np.ones(old.shape[:2], np.float32), ways)
    grown = np.pad(old, (*ways, (0, 0)), mode="edge")
    mask = np.where(inside > 0, 0.0, 1.0).astype(np.float32)
    if overlap_px:
        mask = np.maximum(mask, _fade(inside.shape, borders, old.shape, overlap_px))
    # Lines that run out of the picture would be drawn as stripes; smoothed, they are only colours.
    smooth = np.asarray(Image.fromarray(grown).filter(ImageFilter.GaussianBlur(_STRIPES_PX)))
    filled = Image.fromarray(np.where(inside[..., None] > 0, grown, smooth))
    return filled, Image.fromarray(np.rint(255 * mask).astype(np.uint8))


def _fade(shape: tuple[int, ...], borders: Borders, old: tuple[int, ...], overlap_px: int) -> NDArray[np.float32]:
    """Return how much of each pixel is drawn anew near the sides that grow: 1 at the seam, 0 beyond the overlap."""
    rows, columns = np.arange(shape[0], dtype=np.float32), np.arange(shape[1], dtype=np.float32)
    share = np.zeros((shape[0], shape[1]), np.float32)
    sides = (
        (borders.top, rows[:, None] - borders.top),
        (borders.bottom, borders.top + old[0] - 1 - rows[:, None]),
        (borders.left, columns[None] - borders.left),
        (borders.right, borders.left + old[1] - 1 - columns[None]),
    )
    for grows, depth in sides:
        if grows:
            share = np.maximum(share, np.clip(1.0 - (depth + 1) / (overlap_px + 1), 0.0, 1.0))
    return share


def _spread(colours: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return colours [H, W, 3] with those of weight 0 in `known` [H, W] taken from what is around them."""
    if known.min() > 0:
        return colours
    if min(known.shape) == 1 or not known.any():
        weight = max(float(known.sum()), 1.0)
        mean = (colours * known[..., None]).sum(axis=(0, 1)) / weight if known.any() else np.full(3, float(_GREY))
        return np.where(known[..., None] > 0, colours, mean.astype(np.float32)).astype(np.float32)
    height, width = known.shape
    ways = ((0, height % 2), (0, width % 2))
    weights = np.pad(known, ways)
    sums = np.pad(colours * known[..., None], (*ways, (0, 0)))
    half = weights.reshape(weights.shape[0] // 2, 2, weights.shape[1] // 2, 2).sum(axis=(1, 3))
    pulled = sums.reshape(weights.shape[0] // 2, 2, weights.shape[1] // 2, 2, 3).sum(axis=(1, 3))
    coarse = _spread(pulled / np.maximum(half, 1e-6)[..., None], np.minimum(half, 1.0))
    pushed = np.stack([_double(coarse[..., channel], weights.shape) for channel in range(3)], axis=-1)
    pushed = pushed[:height, :width]
    return (colours * known[..., None] + pushed * (1.0 - known[..., None])).astype(np.float32)


def _double(values: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(values).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
