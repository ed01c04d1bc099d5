"""Where focus windows lie on a level, what lies below them, and how their masks fade.

Pure geometry and pixels; knows no model's networks. Start reading at `choose_windows`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sfumato.core.geometry import LatentBox, PixelBox, PixelSize
from sfumato.render.passes.focus_part import FocusTarget

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfumato.canvas.pixels import PixelStore
    from sfumato.core.resampling import FloatBox
    from sfumato.models.contract import ModelContract

# Windows of one level at most: in every step each costs as much as a window of the level, and the autoencoder twice.
MOST_WINDOWS = 32
# A window draws its part at least and at most so many times larger than the level does.
LEAST_SCALE, MOST_SCALE = 2, 4
# Around the crop that the filter enlarges, px of what lies below.
_MARGIN_PX = 4


def place_window(target: FocusTarget, canvas: PixelSize, contract: ModelContract) -> LatentBox | None:
    """Return the cells of a level that a window draws for a part, square; None where it would gain less than twice.

    The part has its context around it where that leaves the gain.
    """
    cells, factor = canvas.to_latent(contract.factor), contract.factor
    native = min(contract.native.to_latent(factor).shape_hw)
    box = target.box.clip(canvas)
    wanted = math.ceil(max(box.width, box.height) * target.context / factor)
    side = max(wanted, native // MOST_SCALE)
    if side > native // LEAST_SCALE or side > min(cells.width, cells.height):
        return None
    left = _place(box.left, box.right, side, cells.width, factor)
    top = _place(box.top, box.bottom, side, cells.height, factor)
    return LatentBox(left, top, left + side, top + side)


def _place(begin_px: int, end_px: int, side: int, length: int, factor: int) -> int:
    """Return the first cell of a span of cells round the middle of a span of px, pushed inside the canvas."""
    return max(0, min(round((begin_px + end_px) / (2 * factor) - side / 2), length - side))


def choose_windows(
    targets: Sequence[FocusTarget], canvas: PixelSize, contract: ModelContract
) -> tuple[tuple[FocusTarget, LatentBox], ...]:
    """Return the parts that windows are opened for, with their cells, in the order they were named.

    A part whose middle lies in the core of one before it is drawn there.
    """
    found = list[tuple[FocusTarget, LatentBox]]()
    for target in targets:
        cells = place_window(target, canvas, contract)
        x, y = (target.box.left + target.box.right) // 2, (target.box.top + target.box.bottom) // 2
        is_drawn = any(one.core.left <= x < one.core.right and one.core.top <= y < one.core.bottom for one, _ in found)
        if cells is not None and not is_drawn and len(found) < MOST_WINDOWS:
            found.append((target, cells))
    return tuple(found)


def cut_crop(
    below: PixelStore, taken: FloatBox, canvas: PixelSize, frame: PixelBox, fine: PixelSize
) -> NDArray[np.uint8]:
    """Return what lies below a frame of a level at the size of a window, uint8 [H, W, 3]."""
    across, down = (taken[2] - taken[0]) / canvas.width, (taken[3] - taken[1]) / canvas.height
    box = (
        taken[0] + frame.left * across,
        taken[1] + frame.top * down,
        taken[0] + frame.right * across,
        taken[1] + frame.bottom * down,
    )
    whole = PixelBox(math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3]))
    whole = whole.grow(_MARGIN_PX).clip(below.size)
    shown = Image.fromarray(below.read(whole))
    inner = (box[0] - whole.left, box[1] - whole.top, box[2] - whole.left, box[3] - whole.top)
    inner = (max(0.0, inner[0]), max(0.0, inner[1]), min(shown.width, inner[2]), min(shown.height, inner[3]))
    return np.array(shown.resize((fine.width, fine.height), Image.Resampling.LANCZOS, box=inner))


def fade_edges(share: NDArray[np.float32], frame: PixelBox, canvas: PixelSize) -> NDArray[np.float32]:
    """Let a mask [h, w] fall to 0 at the edges of its frame that are none of the canvas, over an eighth of its side."""
    reach = max(2, min(frame.width, frame.height) // 8)
    ways = []
    for length, has_before, has_after in (
        (frame.height, frame.top > 0, frame.bottom < canvas.height),
        (frame.width, frame.left > 0, frame.right < canvas.width),
    ):
        at = np.arange(length) + 0.5
        ramp = np.ones(length, np.float32)
        if has_before:
            ramp = np.minimum(ramp, at / reach)
        if has_after:
            ramp = np.minimum(ramp, (length - at) / reach)
        ways.append(np.clip(ramp, 0.0, 1.0))
    return (share * ways[0][:, None] * ways[1][None, :]).astype(np.float32)
