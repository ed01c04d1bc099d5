"""The five row filters of PNG, chosen per row by the smallest sum of absolute differences.

Knows rows of bytes, no file. Source: PNG specification (third edition), clause 9 and 12.7.
Start reading at `filter_rows`.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
# Bytes between a sample and its left neighbour, 8-bit RGB.
_PIXEL_BYTES = 3


def filter_rows(rows: Bytes, above: Bytes) -> Bytes:
    """Return uint8 [n, 1 + bytes]: for each row of [n, bytes] the number of its best filter and its bytes.

    `above` [bytes] is the row before the first, zeros at the top of a picture. A row's result
    depends on itself and the row above only.
    """
    best = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    least = np.full(rows.shape[0], np.iinfo(np.int64).max)
    for kind, guess in enumerate(_predict(rows, above)):
        rest = rows - guess
        # A byte stands for a difference of either sign; its size is the shorter way to zero.
        cost = np.minimum(rest, -rest).sum(axis=1, dtype=np.int64)
        better = cost < least
        least[better] = cost[better]
        best[better, 0] = kind
        best[better, 1:] = rest[better]
    return best


def _predict(rows: Bytes, above: Bytes) -> Generator[Bytes]:
    up = np.concatenate([above[None], rows[:-1]])
    left, corner = _shift(rows), _shift(up)
    yield np.zeros_like(rows)
    yield left
    yield up
    # The mean of two bytes, rounded down, without leaving bytes.
    yield (left & up) + ((left ^ up) >> np.uint8(1))
    yield _paeth(left, up, corner)


def _shift(rows: Bytes) -> Bytes:
    shifted = np.zeros_like(rows)
    shifted[:, _PIXEL_BYTES:] = rows[:, :-_PIXEL_BYTES]
    return shifted


def _paeth(left: Bytes, up: Bytes, corner: Bytes) -> Bytes:
    across, down = up.astype(np.int16) - corner, left.astype(np.int16) - corner
    to_left, to_up, to_corner = np.abs(across), np.abs(down), np.abs(across + down)
    nearest = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest)
