"""Where in a picture a concept acts: a side, a box in shares of the picture, cells of a mask, or wherever its trigger is.

Knows texts and masks; no model. Start reading at `make_region_mask`.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import RequestError

AUTO, CELLS = "auto", "cells:"
# left, top, width, height, in shares of the picture.
_SIDES = {
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 0.5, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 0.5),
    "middle": (0.25, 0.0, 0.5, 1.0),
    "left-third": (0.0, 0.0, 1 / 3, 1.0),
    "middle-third": (1 / 3, 0.0, 1 / 3, 1.0),
    "right-third": (2 / 3, 0.0, 1 / 3, 1.0),
}
# A mask is kept in so many cells a side, in the request itself: latents of SD 1.x have 64, and layers see less.
MASK_CELLS = 32
_HEX = MASK_CELLS * MASK_CELLS // 4
_BOX = re.compile(r"(\d*\.?\d+),(\d*\.?\d+),(\d*\.?\d+),(\d*\.?\d+)")
_CELLS = re.compile(rf"{CELLS}([0-9a-f]{{{_HEX}}})")
# Boxes are laid out this finely before they are averaged into latents.
_FINE = 8


def check_region(text: str) -> None:
    """Check the text of a region; "" is the whole picture.

    Raises:
        RequestError: it is no region.
    """
    if text not in ("", AUTO):
        make_region_mask(text, 8, 8)


def make_region_mask(text: str, height: int, width: int) -> NDArray[np.float32]:
    """Return how much of each cell a region covers: float32 [height, width], 0 to 1.

    Raises:
        RequestError: it is no region, or an empty one.
    """
    if cells := _CELLS.fullmatch(text):
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(cells[1]), np.uint8)).reshape(MASK_CELLS, MASK_CELLS)
        mask = _average(bits.astype(np.float32), height, width)
    else:
        left, top, wide, high = _read_box(text)
        columns, rows = _cover(left, wide, width), _cover(top, high, height)
        mask = (rows[:, None] * columns[None, :]).astype(np.float32)
    if not mask.any():
        raise RequestError("the region is empty", got=text[:60], do="Give a larger one.")
    return mask


def pack_region(mask: NDArray[np.float32]) -> str:
    """Return the text of a region that a mask [H, W], 0 to 1, draws freely."""
    cells = _average(mask, MASK_CELLS, MASK_CELLS) >= 0.5
    return f"{CELLS}{np.packbits(cells).tobytes().hex()}"


def _read_box(text: str) -> tuple[float, float, float, float]:
    if text in _SIDES:
        return _SIDES[text]
    found = _BOX.fullmatch(text)
    if found is None:
        do = f"Use {', '.join(_SIDES)}, {AUTO}, or LEFT,TOP,WIDTH,HEIGHT in shares of the picture: 0,0,0.5,1."
        raise RequestError("this is no region of a picture", got=text[:60], do=do)
    left, top, wide, high = (float(number) for number in found.groups())
    if left + wide > 1.0001 or top + high > 1.0001 or not wide or not high:
        do = "Give LEFT,TOP,WIDTH,HEIGHT in shares from 0 to 1: 0.5,0,0.5,1 is the right half."
        raise RequestError("the region lies outside the picture", got=text, do=do)
    return left, top, wide, high


def _cover(start: float, length: float, cells: int) -> NDArray[np.float64]:
    edges = np.arange(cells) / cells
    inside = np.minimum(edges + 1 / cells, start + length) - np.maximum(edges, start)
    return np.clip(inside * cells, 0, 1)


def _average(mask: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return a mask in other cells, each the mean of what it covers."""
    rows = np.linspace(0, mask.shape[0], height * _FINE, endpoint=False).astype(int)
    columns = np.linspace(0, mask.shape[1], width * _FINE, endpoint=False).astype(int)
    fine = mask[rows][:, columns].reshape(height, _FINE, width, _FINE)
    return fine.mean(axis=(1, 3)).astype(np.float32)
