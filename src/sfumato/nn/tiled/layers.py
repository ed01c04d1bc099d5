"""The layers of a network as values: what each computes and which part of its input it reads.

A network is one sequence of layers; `Fork` and `Join` bracket what a residual block adds to its
input. Knows no tile, no memory and no library the weights came from. Start reading at `Layer`,
then `Conv.reach`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from sfumato.nn.tiled.regions import Region, Span

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Extent:
    """A stack of feature maps: channels, height, width."""

    channels: int
    height: int
    width: int

    @property
    def region(self) -> Region:
        """Return all of its pixels."""
        return Region(Span(0, self.height), Span(0, self.width))

    @property
    def count(self) -> int:
        """Count its numbers."""
        return self.channels * self.height * self.width


class Pointwise:
    """What every layer says that works pixel by pixel: the output is as large as what it reads."""

    __slots__ = ()

    def grow(self, extent: Extent) -> Extent:
        """Return what comes out of it: as much as goes in."""
        return extent

    def reach(self, want: Span) -> Span:
        """Return what a span of its output reads of its input: the same."""
        return want


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """A square convolution; `before` zeros are put above and left of its input, `after` below and right."""

    weight: Tensor
    bias: Tensor | None
    stride: int = 1
    before: int = 0
    after: int = 0

    @property
    def width(self) -> int:
        """Return the side of the kernel."""
        return int(self.weight.shape[-1])

    def grow(self, extent: Extent) -> Extent:
        """Return what comes out of it."""
        height, width = ((side + self.before + self.after - self.width) // self.stride + 1 for side in _sides(extent))
        return Extent(int(self.weight.shape[0]), height, width)

    def reach(self, want: Span) -> Span:
        """Return what a span of its output reads of its input; may lie partly outside."""
        first = want.start * self.stride - self.before
        return Span(first, (want.stop - 1) * self.stride - self.before + self.width)

    def run(self, x: Tensor, have: Region, want: Region) -> Tensor:
        """Compute a region of the output from the region of the input that it reaches.

        Zeros stand in for what lies outside the whole input, and only for that.
        """
        rows, columns = self.reach(want.rows), self.reach(want.columns)
        top, bottom = have.rows.start - rows.start, rows.stop - have.rows.stop
        left, right = have.columns.start - columns.start, columns.stop - have.columns.stop
        # As many zeros on the far sides are too many at times; what no stride reaches changes nothing, and nothing is copied.
        sides = zip(_lengths(have), (top, left), _lengths(want), strict=True)
        if all((side + 2 * zeros - self.width) // self.stride + 1 == wanted for side, zeros, wanted in sides):
            return F.conv2d(x, self.weight, self.bias, self.stride, (top, left))
        return F.conv2d(F.pad(x, (left, right, top, bottom)), self.weight, self.bias, self.stride)


@dataclass(frozen=True, slots=True)
class Upsample:
    """Every pixel becomes 2 x 2 equal ones."""

    def grow(self, extent: Extent) -> Extent:
        """Return what comes out of it."""
        return replace(extent, height=2 * extent.height, width=2 * extent.width)

    def reach(self, want: Span) -> Span:
        """Return what a span of its output reads of its input."""
        return want.coarsen(2)

    def run(self, x: Tensor, have: Region, want: Region) -> Tensor:
        """Compute a region of the output from the region of the input that it reaches."""
        return F.interpolate(x, scale_factor=2.0, mode="nearest")[want.inside(have.scale(2))]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Local:
    """A part of a network that is run as it is: it enlarges by `scale` and reads `radius` pixels to each side.

    It pads its input by itself. What that does to a tile inside the map is cut off with its margin.
    `grid` is what places of tiles have to be a multiple of, where it folds pixels into channels.
    """

    compute: Callable[[Tensor], Tensor]
    radius: int
    channels: int
    scale: int = 1
    grid: int = 1

    def grow(self, extent: Extent) -> Extent:
        """Return what comes out of it."""
        return Extent(self.channels, self.scale * extent.height, self.scale * extent.width)

    def reach(self, want: Span) -> Span:
        """Return what a span of its output reads of its input; may lie partly outside."""
        return want.coarsen(self.scale).widen(self.radius).coarsen(self.grid).scale(self.grid)

    def run(self, x: Tensor, have: Region, want: Region) -> Tensor:
        """Compute a region of the output from the region of the input that it reaches."""
        return self.compute(x)[want.inside(have.scale(self.scale))]


@dataclass(frozen=True, slots=True)
class Silu(Pointwise):
    """x times the logistic function of x; writes over its input, so it never comes first in a pass."""

    def run(self, x: Tensor, have: Region, want: Region) -> Tensor:
        """Compute the output of a region."""
        assert have == want, "works pixel by pixel"
        return F.silu(x, inplace=True)


@dataclass(frozen=True, slots=True, eq=False)
class Norm(Pointwise):
    """A group normalisation: needs the mean and variance of each group over the whole input first."""

    groups: int
    eps: float
    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A matrix [out, in] and what is added."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Attend:
    """Self-attention with one head over every pixel of the input; stands right before a `Join`."""

    query: Linear
    key: Linear
    value: Linear
    out: Linear


@dataclass(frozen=True, slots=True, eq=False)
class Fork(Pointwise):
    """Put the input aside, through a 1 x 1 convolution where there is one, until `Join`."""

    shortcut: Conv | None = None


@dataclass(frozen=True, slots=True)
class Join(Pointwise):
    """Add what the last `Fork` put aside."""


Plain = Conv | Upsample | Silu | Local
Flowing = Plain | Fork | Join
Layer = Plain | Norm | Attend | Fork | Join


def _sides(extent: Extent) -> tuple[int, int]:
    return (extent.height, extent.width)


def _lengths(region: Region) -> tuple[int, int]:
    return (region.rows.length, region.columns.length)
