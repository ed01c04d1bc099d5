"""Where the windows of a step lie: a lattice that moves from step to step, so that no seam stays in place.

Pure geometry. Start reading at `list_windows`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.nn.windows import count_shifted, shifted_cover

if TYPE_CHECKING:
    from sfumato.core.geometry import LatentBox, LatentSize

# Inverse powers of the plastic number: the sequence that fills a square most evenly.
# Source: Roberts 2018, "The Unreasonable Effectiveness of Quasirandom Sequences".
R2 = (0.7548776662466927, 0.5698402909980532)


def list_windows(
    canvas: LatentSize, window: LatentSize, stride: int, step: int, *, moving: bool = True
) -> tuple[LatentBox, ...]:
    """Return the windows of a step, row by row; every cell of the canvas has one. Where not `moving`, all steps have those of the first."""
    return shifted_cover(canvas, window, stride, _shift(stride, step if moving else 0))


def count_windows(
    canvas: LatentSize, window: LatentSize, stride: int, step: int, *, moving: bool = True
) -> tuple[int, int]:
    """Count the rows of windows of a step, and the windows in each, without listing them."""
    return count_shifted(canvas, window, stride, _shift(stride, step if moving else 0))


def _shift(stride: int, step: int) -> tuple[int, int]:
    """Return how far the lattice of a step lies down and across, in cells."""
    down, across = (int((0.5 + pace * step) % 1.0 * stride) for pace in R2)
    return (down, across)
