"""The change map: from which step on each place of a canvas is drawn anew; until then it is the level below with noise.

A wall or a sky has nothing to gain from many steps and much to lose; a face has. Knows a small map and
boxes; no network. Start reading at `ChangeMap`.

Source: a strength for every pixel, Levin and Fried 2023, "Differential Diffusion", section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfumato.nn.resample import Axis

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from sfumato.core.geometry import LatentBox, LatentSize

# Between two cells of the same step, interpolation may come out a little above it.
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class ChangeMap:
    """Hold for each cell of a small map the step from which it may change, and how much it may (0 to 1). A leaf.

    `part` is the share of the map that the canvas shows: left, top, right, bottom from 0 to 1. Windows that
    end less than `margin_cells` from a cell that may change are drawn too, since others look across the border.
    """

    first_steps: Float[Tensor, "h w"]
    share: Float[Tensor, "h w"]
    part: tuple[float, float, float, float]
    canvas: LatentSize
    margin_cells: int = 0

    def open_rows(self, rows: slice, step: int) -> Float[Tensor, "rows w"]:
        """Return 1 for the cells of some rows that are free at a step, 0 for the others."""
        return (self._cut(self.first_steps, rows, slice(0, self.canvas.width)) <= step + _ROUNDING).float()

    def share_rows(self, rows: slice) -> Float[Tensor, "rows w"]:
        """Return how much the cells of some rows may change, 0 to 1."""
        return self._cut(self.share, rows, slice(0, self.canvas.width))

    def is_open(self, box: LatentBox, step: int) -> bool:
        """Tell whether a window has a free cell, or one beside it."""
        box = box.grow(self.margin_cells).clip(self.canvas)
        first_steps = self._cut(self.first_steps, slice(box.top, box.bottom), slice(box.left, box.right))
        return bool((first_steps <= step + _ROUNDING).any())

    def _cut(self, values: Tensor, rows: slice, columns: slice) -> Tensor:
        height, width = values.shape
        left, top, right, bottom = self.part
        above, down = Axis(height, self.canvas.height, top * height, bottom * height).linear(rows.start, rows.stop)
        beside, across = Axis(width, self.canvas.width, left * width, right * width).linear(columns.start, columns.stop)
        return down.to(values) @ values[above, beside] @ across.to(values).T
