"""Windows over a canvas: where they lie, how they fade, and how their values become one.

Works in latent cells and on any tensor whose last two axes are height and width. Knows no model
and no sampler. Start reading at `cover`, then `make_weights`, then `Fusion`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from sfumato.core.errors import RequestError
from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.nn.ring import list_ring_cells, list_ring_starts

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Ramp = Literal["cosine", "linear", "flat"]


def cover(size: LatentSize, window: LatentSize, stride: int) -> tuple[LatentBox, ...]:
    """Return equal windows that cover a canvas, row by row from the top left.

    Neighbours lie at most `stride` cells apart, spread evenly, the first and the last of a row on
    the edges. A window larger than the canvas is cut down to it.

    Raises:
        RequestError: the stride is not 1..the window, so that cells would be left out.
    """
    if not 1 <= stride <= min(window.width, window.height):
        raise RequestError(f"the stride of windows of {window} lies between 1 and their side", got=stride)
    across = _spread(size.width, window.width, stride)
    down = _spread(size.height, window.height, stride)
    wide, high = min(window.width, size.width), min(window.height, size.height)
    return tuple(LatentBox(left, top, left + wide, top + high) for top in down for left in across)


def cover_ring(size: LatentSize, window: LatentSize, stride: int, *, across: bool, down: bool) -> tuple[LatentBox, ...]:
    """Return equal windows that cover a canvas whose sides meet on the axes that are named; there they may stick out.

    Raises: as `cover`.
    """
    if not 1 <= stride <= min(window.width, window.height):
        raise RequestError(f"the stride of windows of {window} lies between 1 and their side", got=stride)
    spread = (_spread, list_ring_starts)
    columns = spread[across](size.width, window.width, stride)
    rows = spread[down](size.height, window.height, stride)
    wide, high = min(window.width, size.width), min(window.height, size.height)
    return tuple(LatentBox(left, top, left + wide, top + high) for top in rows for left in columns)


def shifted_cover(size: LatentSize, window: LatentSize, stride: int, shift: tuple[int, int]) -> tuple[LatentBox, ...]:
    """Return equal windows on a lattice of `stride` moved up and left by `shift` = (down, across) cells.

    Windows that would stick out are moved in, so each has its full size and every cell has a window.

    Raises:
        RequestError: the stride is not 1..the window.
    """
    if not 1 <= stride <= min(window.width, window.height):
        raise RequestError(f"the stride of windows of {window} lies between 1 and their side", got=stride)
    across = _lattice(size.width, window.width, stride, shift[1])
    down = _lattice(size.height, window.height, stride, shift[0])
    wide, high = min(window.width, size.width), min(window.height, size.height)
    return tuple(LatentBox(left, top, left + wide, top + high) for top in down for left in across)


def count_cover(size: LatentSize, window: LatentSize, stride: int) -> int:
    """Count the windows of `cover` without listing them."""
    across, down = max(0, size.width - window.width), max(0, size.height - window.height)
    return (1 - -across // stride) * (1 - -down // stride)


def count_shifted(size: LatentSize, window: LatentSize, stride: int, shift: tuple[int, int]) -> tuple[int, int]:
    """Count the rows of windows of `shifted_cover`, and the windows in each, without listing them."""
    across = _count_lattice(max(0, size.width - window.width), stride, shift[1] % stride)
    return (_count_lattice(max(0, size.height - window.height), stride, shift[0] % stride), across)


def make_ramp(length: int, ramp_cells: int, kind: Ramp = "cosine", *, head: bool = True, tail: bool = True) -> Tensor:
    """Return weights [length] in (0, 1] that rise at the head and fall at the tail.

    Two neighbours that overlap by exactly `ramp_cells` add up to 1 in every cell, for the cosine
    (sin^2 and cos^2) as for the line. No weight is 0: a cell with one window has to keep a value.

    Raises:
        RequestError: the ramp is longer than the window.
    """
    if not 0 <= ramp_cells <= length:
        raise RequestError("a ramp is at most as long as its window", got=ramp_cells)
    import torch

    weights = torch.ones(length, dtype=torch.float32)
    if kind == "flat" or ramp_cells == 0:
        return weights
    rise = (torch.arange(ramp_cells, dtype=torch.float64) + 0.5) / ramp_cells
    if kind == "cosine":
        rise = (rise * (torch.pi / 2)).sin().square()
    if head:
        weights[:ramp_cells] *= rise.float()
    if tail:
        weights[length - ramp_cells :] *= rise.flip(0).float()
    return weights


def make_weights(
    box: LatentBox,
    size: LatentSize,
    ramp_cells: int,
    kind: Ramp = "cosine",
    *,
    across: bool = False,
    down: bool = False,
) -> Float[Tensor, "h w"]:
    """Return the weights of one window, fading over `ramp_cells` towards its neighbours.

    A side on the edge of the canvas has no neighbour and does not fade, unless the sides meet `across` or `down`.
    A ramp longer than half the window, as with strides below it, is cut to that half, so that the middle reaches full
    weight.
    """
    # A window as wide as the ring has itself for a neighbour.
    across, down = across and box.width < size.width, down and box.height < size.height
    head, tail = across or box.left > 0, across or box.right < size.width
    wide = make_ramp(box.width, min(ramp_cells, box.width // 2), kind, head=head, tail=tail)
    head, tail = down or box.top > 0, down or box.bottom < size.height
    high = make_ramp(box.height, min(ramp_cells, box.height // 2), kind, head=head, tail=tail)
    return high[:, None] * wide[None, :]


class Fusion:
    """Add up weighted windows into one canvas: sum of weight * value over sum of weight.

    Holds two canvases, whatever the number of windows. Sums are floating point: add windows in the
    order of the plan where bits have to repeat. A leaf.
    """

    def __init__(self, size: LatentSize, like: Tensor) -> None:
        """Make an empty canvas with the leading axes, type and device of `like` [..., h, w]."""
        self._size = size
        self._sum = like.new_zeros((*like.shape[:-2], size.height, size.width))
        self._weight = like.new_zeros((size.height, size.width))

    def add(self, box: LatentBox, values: Float[Tensor, "... h w"], weights: Float[Tensor, "h w"]) -> None:
        """Add one window; `values` end in the box's height and width. What sticks out goes on at the other side."""
        assert values.shape[-2:] == weights.shape == box.size.shape_hw, "window, weights and box have one size"
        local = weights.to(self._weight)
        if box.right > self._size.width or box.bottom > self._size.height:
            rows, columns = list_ring_cells(box, self._size, self._sum)
            self._sum[..., rows[:, None], columns] += values * local
            self._weight[rows[:, None], columns] += local
            return
        rows, columns = box.slices_hw
        self._sum[..., rows, columns] += values * local
        self._weight[rows, columns] += local

    @property
    def weight(self) -> Float[Tensor, "h w"]:
        """Return the sum of weights so far, 0 where no window has been."""
        return self._weight

    def finish(self) -> Float[Tensor, "... h w"]:
        """Return the fused canvas.

        Raises:
            RequestError: a cell has no window.
        """
        bare = int((self._weight <= 0).sum())
        if bare:
            raise RequestError("the windows leave cells of the canvas out", got=f"{bare} cells of {self._size}")
        return self._sum / self._weight


def fuse(
    size: LatentSize, windows: Iterable[tuple[LatentBox, Float[Tensor, "... h w"], Float[Tensor, "h w"]]]
) -> Float[Tensor, "... H W"]:
    """Fuse windows of (box, values, weights), taken one at a time, into one canvas.

    Raises:
        RequestError: there is no window, or a cell has none.

    Source: Bar-Tal et al. 2023, "MultiDiffusion", eq. 5, with weights.
    """
    fusion: Fusion | None = None
    for box, values, weights in windows:
        fusion = fusion or Fusion(size, values)
        fusion.add(box, values, weights)
    if fusion is None:
        raise RequestError("there is no window to fuse")
    return fusion.finish()


def _spread(length: int, window: int, stride: int) -> list[int]:
    """Return the starts of windows on one axis, evenly spread and rounded."""
    room = max(0, length - window)
    gaps = -(-room // stride)
    return [(2 * place * room + gaps) // (2 * gaps) for place in range(gaps)] + [room] if gaps else [0]


def _count_lattice(room: int, stride: int, shift: int) -> int:
    """Count the starts of `_lattice`: one at each end, and those of the lattice strictly between."""
    return 1 - -(room + shift) // stride if room else 1


def _lattice(length: int, window: int, stride: int, shift: int) -> list[int]:
    """Return the starts of windows on one axis, the lattice cut off at both ends."""
    room = max(0, length - window)
    free = range(-(shift % stride), room + stride, stride)
    return sorted({min(max(start, 0), room) for start in free})
