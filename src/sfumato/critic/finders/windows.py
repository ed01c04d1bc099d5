"""Show a level of a picture to a network, window by window in batches, and take its candidates back into the picture.

Knows windows and candidates, not what they are of. Start reading at
`look_at_windows`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.critic.finders.candidates import Candidates
from sfumato.critic.finders.crops import TurnedSquare, cut_squares
from sfumato.critic.finders.levels import PictureLevels, list_windows

Propose = Callable[[torch.Tensor], Iterator[Candidates]]
"""Takes windows, uint8 [n, side, side, 3], and yields the candidates of each in px of its window."""
# Windows shown at once; more are no faster on a processor and take more memory.
BATCH = 4
# A box that ends this near to the edge of a window may go on beyond it, px of the network's input.
CUT_PX = 1.0


def look_at_windows(
    levels: PictureLevels, level: int, window_px: int, overlap_px: int, input_px: int, propose: Propose
) -> Iterator[Candidates]:
    """Yield the candidates of each window of a level, in px of the picture.

    Candidates that a window cuts are left to the next window, or to the next level, that shows them whole.
    """
    size = levels.size(level)
    # A picture smaller than a window is shown as large as the network takes it.
    side = min(max(size.width, size.height), window_px)
    windows = list(list_windows(size, side, min(overlap_px, side // 2)))
    for start in range(0, len(windows), BATCH):
        few = windows[start : start + BATCH]
        shown = torch.from_numpy(np.stack([_show(levels, level, window, input_px) for window in few]))
        for window, candidates in zip(few, propose(shown), strict=True):
            whole = candidates.pick(~_is_cut(candidates, window, size, input_px))
            # Level 2^level; a window of `side` px of it was shown as `input_px`.
            scale = window.width / input_px * (1 << level)
            yield whole.move(scale, window.left * (1 << level), window.top * (1 << level))


def look_at_squares(
    levels: PictureLevels, squares: Sequence[TurnedSquare], input_px: int, propose: Propose
) -> Iterator[Candidates]:
    """Yield the candidates of squares that may be turned and reach beyond the picture, in px of the picture.

    A box keeps its size and stands upright about its own middle.
    """
    shown = torch.from_numpy(cut_squares(levels, squares, input_px))
    for square, candidates in zip(squares, propose(shown), strict=True):
        middles = (candidates.boxes[:, :2] + candidates.boxes[:, 2:]) / 2 / input_px
        halves = (candidates.boxes[:, 2:] - candidates.boxes[:, :2]) / 2 * (square.side / input_px)
        placed = square.to_picture(middles)
        points = square.to_picture(candidates.points.reshape(-1, 2) / input_px)
        boxes = np.concatenate((placed - halves, placed + halves), axis=1).astype(np.float32)
        yield Candidates(boxes, points.reshape(candidates.points.shape).astype(np.float32), candidates.scores)


def _show(levels: PictureLevels, level: int, window: PixelBox, input_px: int) -> NDArray[Any]:
    picture = levels.read(level, window)
    if picture.shape[0] == input_px:
        return picture
    return np.asarray(Image.fromarray(picture).resize((input_px, input_px), Image.Resampling.BILINEAR))


def _is_cut(candidates: Candidates, window: PixelBox, size: PixelSize, input_px: int) -> NDArray[Any]:
    """Return which candidates touch an edge of their window that is none of the picture, [n]."""
    low, high = candidates.boxes[:, :2], candidates.boxes[:, 2:]
    inner_low = np.array((window.left > 0, window.top > 0))
    inner_high = np.array((window.right < size.width, window.bottom < size.height))
    return np.logical_or(
        ((low < CUT_PX) & inner_low).any(axis=1), ((high > input_px - CUT_PX) & inner_high).any(axis=1)
    )
