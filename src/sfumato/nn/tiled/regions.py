"""Parts of a feature map at any resolution, and how an area is cut into tiles.

Neither pixels of a picture nor latent cells: every level of a network has its own grid. Knows no
tensor. Start reading at `Span`; `cut_region`, `cut_strips` and `cut_grid` make
the tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import EllipsisType

# A tile this many times as wide as high is still read in long runs and costs little more margin than a square.
WIDEST = 4


@dataclass(frozen=True, slots=True)
class Span:
    """The whole numbers from `start` up to and without `stop`."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Count its numbers."""
        return self.stop - self.start

    def clip(self, side: int) -> Span:
        """Keep what lies in [0, side)."""
        return Span(max(0, self.start), min(side, self.stop))

    def scale(self, factor: int) -> Span:
        """Return it on a grid `factor` times as fine."""
        return Span(self.start * factor, self.stop * factor)

    def coarsen(self, factor: int) -> Span:
        """Return the smallest span that holds it on a grid `factor` times as coarse."""
        return Span(self.start // factor, -(-self.stop // factor))

    def widen(self, margin: int) -> Span:
        """Return it with a margin on both sides."""
        return Span(self.start - margin, self.stop + margin)

    def inside(self, other: Span) -> slice:
        """Return where it lies in an array that holds `other`."""
        assert other.start <= self.start, "a negative slice would silently count from the far side"
        assert self.stop <= other.stop, "an array holds what is asked of it"
        return slice(self.start - other.start, self.stop - other.start)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of rows and columns."""

    rows: Span
    columns: Span

    @property
    def area(self) -> int:
        """Count its pixels."""
        return self.rows.length * self.columns.length

    def clip(self, height: int, width: int) -> Region:
        """Keep what lies on a map of this size."""
        return Region(self.rows.clip(height), self.columns.clip(width))

    def scale(self, factor: int) -> Region:
        """Return it on a grid `factor` times as fine."""
        return Region(self.rows.scale(factor), self.columns.scale(factor))

    def inside(self, other: Region) -> tuple[EllipsisType, slice, slice]:
        """Return the index of it in a tensor [..., H, W] that holds `other`."""
        return (..., self.rows.inside(other.rows), self.columns.inside(other.columns))


@dataclass(frozen=True, slots=True)
class Band:
    """Bound the height of bands to `rows`, where it is bounded; borders lie on a grid of `grain` pixels."""

    rows: int | None = None
    grain: int = 1


def cut_region(whole: Region, most_pixels: int, grain: int = 1) -> Iterator[Region]:
    """Cut a region into tiles of at most so many pixels, of nearly one size, in reading order.

    Full rows where that is not too flat, else nearly square: the less border, the less is computed twice.
    The borders lie on a grid of `grain` pixels, and so has the region to; a tile has at least one cell of it.
    """
    if grain > 1:
        coarse = Region(whole.rows.coarsen(grain), whole.columns.coarsen(grain))
        assert coarse.scale(grain) == whole, "a region lies on its own grid"
        yield from (tile.scale(grain) for tile in cut_region(coarse, max(1, most_pixels // grain**2)))
        return
    width = whole.columns.length
    if width > most_pixels or width * width > WIDEST * most_pixels:
        width = -(-width // -(-width // max(1, isqrt(most_pixels))))
    for rows in _cut_span(whole.rows, max(1, most_pixels // width)):
        for columns in _cut_span(whole.columns, width):
            yield Region(rows, columns)


def cut_bands(whole: Region, most_pixels: int, band: Band) -> Iterator[Region]:
    """Cut a region into bands of its full width, and each into tiles of at most so many pixels."""
    for part in cut_grid(whole, band.rows or whole.rows.length, whole.columns.length):
        yield from cut_region(part, most_pixels, band.grain)


def cut_grid(whole: Region, height: int, width: int) -> Iterator[Region]:
    """Cut a region into tiles of a fixed size, smaller at its far sides, in reading order."""
    for top in range(whole.rows.start, whole.rows.stop, height):
        rows = Span(top, min(top + height, whole.rows.stop))
        for left in range(whole.columns.start, whole.columns.stop, width):
            yield Region(rows, Span(left, min(left + width, whole.columns.stop)))


def cut_strips(whole: Region, side: int, grain: int = 1) -> list[Region]:
    """Cut a region into tiles of `side` rows, smaller at the bottom, and of at most `side` columns of nearly one length.

    In reading order. The borders lie on a grid of `grain` pixels, and so has the region to.
    """
    columns = Span(whole.columns.start // grain, whole.columns.stop // grain)
    assert columns.scale(grain) == whole.columns, "a region lies on its own grid"
    across = [part.scale(grain) for part in _cut_span(columns, max(1, side // grain))]
    bands = cut_grid(whole, side, whole.columns.length)
    return [Region(band.rows, part) for band in bands for part in across]


def _cut_span(span: Span, most: int) -> Iterator[Span]:
    parts = -(-span.length // most)
    for part in range(parts):
        yield Span(span.start + span.length * part // parts, span.start + span.length * (part + 1) // parts)
