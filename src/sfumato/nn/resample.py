"""Resampling in parts: any rows of an enlarged canvas, and a canvas shrunk while it passes by in bands.

Everything is a product with small matrices, one for each axis, so a part comes out as it would in the
whole and the whole is never held. Knows no canvas and no model. Start reading at `Axis`, then `Shrinking`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float
    from torch import Tensor

    Kernel = Callable[[Tensor], Tensor]

# Keys' cubic with this slope keeps ramps and parabolas. Source: Keys 1981.
_SLOPE = -0.5
_CUBIC_REACH, _LINEAR_REACH = 2, 1


@dataclass(frozen=True)
class Axis:
    """Lay `target` cells evenly over the part `begin` to `end` (cells, fractions allowed) of `source` cells."""

    source: int
    target: int
    begin: float
    end: float

    @classmethod
    def over_all(cls, source: int, target: int) -> Axis:
        """Lay `target` cells over all of `source` cells."""
        return cls(source, target, 0.0, float(source))

    def cubic(self, first: int, last: int) -> tuple[slice, Float[Tensor, "t s"]]:
        """Return which source cells the target cells `first` to `last` need, and their weights."""
        return self._weigh(first, last, _CUBIC_REACH, _cubic)

    def linear(self, first: int, last: int) -> tuple[slice, Float[Tensor, "t s"]]:
        """Return the same for straight lines between the source cells; never beyond their range."""
        return self._weigh(first, last, _LINEAR_REACH, lambda distance: (1.0 - distance).clamp_min(0.0))

    def _weigh(self, first: int, last: int, reach: int, kernel: Kernel) -> tuple[slice, Tensor]:
        pace = (self.end - self.begin) / self.target
        centres = self.begin + (torch.arange(first, last, dtype=torch.float64) + 0.5) * pace - 0.5
        taps = torch.floor(centres)[:, None] + torch.arange(1 - reach, reach + 1)
        weights = kernel((centres[:, None] - taps).abs())
        weights = weights / weights.sum(dim=1, keepdim=True)
        # Beyond the edge the outermost cell repeats.
        places = taps.long().clamp(0, self.source - 1)
        low, high = int(places.min()), int(places.max()) + 1
        matrix = torch.zeros(len(centres), high - low, dtype=torch.float64)
        matrix.scatter_add_(1, places - low, weights)
        return slice(low, high), matrix.float()


def _cubic(distance: Tensor) -> Tensor:
    near = ((_SLOPE + 2) * distance - (_SLOPE + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * _SLOPE - 4 * _SLOPE
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))


def enlarge_part(
    small: Float[Tensor, "... h w"], size_hw: tuple[int, int], rows: slice, columns: slice
) -> Float[Tensor, "... rows columns"]:
    """Return some rows and columns of a map enlarged to a size, as the whole enlargement has them."""
    height, width = small.shape[-2:]
    above, down = Axis.over_all(height, size_hw[0]).cubic(rows.start, rows.stop)
    beside, across = Axis.over_all(width, size_hw[1]).cubic(columns.start, columns.stop)
    return down.to(small) @ small[..., above, beside] @ across.to(small).T


class Shrinking:
    """Add up the means of areas while a canvas [C, H, W] passes by in parts. A leaf."""

    def __init__(self, canvas_hw: tuple[int, int], small_hw: tuple[int, int], like: Tensor) -> None:
        """Start with nothing; channels, type and device are those of `like` [C, ...]."""
        self._canvas_hw, self._small_hw = canvas_hw, small_hw
        self._sum = like.new_zeros((like.shape[0], *small_hw))

    def add(self, rows: slice, values: Float[Tensor, "c rows columns"], columns: slice | None = None) -> None:
        """Add some rows, or some columns of them; each cell of the canvas once."""
        height, width = self._canvas_hw
        above, down = _area(height, self._small_hw[0], rows)
        beside, across = _area(width, self._small_hw[1], columns or slice(0, width))
        self._sum[:, above, beside] += down.to(values) @ (values @ across.to(values).T)

    def finish(self) -> Float[Tensor, "c h w"]:
        """Return the canvas shrunk."""
        return self._sum


def find_touched(canvas: int, small: int, span: slice) -> slice:
    """Return the small cells that have a share of some cells of a canvas."""
    return slice(span.start * small // canvas, -(-span.stop * small // canvas))


def _area(canvas: int, small: int, span: slice) -> tuple[slice, Float[Tensor, "touched span"]]:
    """Return which small cells lie over some cells of a canvas, and the shares that they have of them."""
    touched = find_touched(canvas, small, span)
    edges = torch.arange(touched.start, touched.stop + 1, dtype=torch.float64) * canvas / small
    cells = torch.arange(span.start, span.stop, dtype=torch.float64)
    over = torch.minimum(edges[1:, None], cells + 1) - torch.maximum(edges[:-1, None], cells)
    return touched, (over.clamp_min(0.0) * small / canvas).float()
