"""Where stages lie on the canvas: the base size, the rounds on the way to the target, the windows.

Pure geometry; knows the native size of a model and nothing of steps or costs.
Start reading at `choose_base_size`, then `list_rounds` and `cover_canvas`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfumato.core.geometry import LatentBox, LatentSize, PixelSize
from sfumato.core.request_parts.seamless import OFF, wraps_across, wraps_down
from sfumato.core.resampling import FloatBox, fit_box
from sfumato.nn.windows import count_cover, cover, cover_ring

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract

# Sides of a base are multiples of this: every halving inside the denoiser is even (mini was trained on odd ones too).
BASE_GRID_PX = {"mini": 16, "sd1": 64, "sd2": 64, "sdxl": 64}
# The area of a base may be off by this share (of its logarithm) before that counts at all.
BASE_AREA_SLACK = 0.12
# A base or level with fewer cells on a side has next to nothing left at the denoiser's deepest level.
LEAST_CELLS = 8
# Cropping a tenth of a base costs less than drawing two scenes in one, or half of one.
AREA_WEIGHT = 2.0


def choose_base_size(target: PixelSize, contract: ModelContract) -> PixelSize:
    """Return a size of about native area with the target's aspect, on a grid the network likes.

    The grid makes the aspect a little off; the enlargement crops to the exact one (`fit_box`). The base
    of a strip is higher than the strip: no side has fewer than 8 cells, or half the native side.
    """
    aspect = target.width / target.height
    native = contract.native.area
    if target.area <= native:
        return target
    # A cut-down model has fewer levels; a quarter of its side is still even at the one below.
    grid = min(BASE_GRID_PX[contract.family], contract.native.width // 4)
    least = max(grid, min(LEAST_CELLS * contract.factor, contract.native.width // 2) // grid * grid)
    highest = max(least, 2 * math.sqrt(native / aspect) + grid)
    heights = range(least, math.ceil(highest / grid) * grid + 1, grid)
    sizes = [PixelSize(max(least, width), height) for height in heights for width in _near(height * aspect, grid)]
    if least**2 * aspect > native:
        # A strip at its least height: as wide as native area allows, and cropped when it grows.
        sizes += [PixelSize(width, least) for width in _near(native / least, grid)]
    return min(sizes, key=lambda size: (_misfit(size, aspect, native), size))


@dataclass(frozen=True, kw_only=True)
class Round:
    """Hold a canvas on the way to a target, and what it shows of the picture where the way began, in px of that."""

    size: PixelSize
    shown: FloatBox

    def find_taken(self, before: Round) -> FloatBox:
        """Return what this canvas shows of the one before, in px of that."""
        width, height = before.size.width, before.size.height
        if self.shown == before.shown:
            return (0.0, 0.0, float(width), float(height))
        left, right = _place_span((self.shown[0], self.shown[2]), (before.shown[0], before.shown[2]), width)
        top, bottom = _place_span((self.shown[1], self.shown[3]), (before.shown[1], before.shown[3]), height)
        return (left, top, right, bottom)


def show_whole(size: PixelSize) -> Round:
    """Return where a way begins: a canvas that shows all of itself."""
    return Round(size=size, shown=(0.0, 0.0, float(size.width), float(size.height)))


def list_rounds(
    base: PixelSize, target: PixelSize, upscale: float, factor: int, *, spare: bool = True
) -> tuple[Round, ...]:
    """Return the canvas after each round: equal enlargements of at most `upscale`, ending at the target.

    All show the same part of the base, the one with the target's aspect: a canvas on the way is whole cells, so it is
    stretched a little, and nothing is cut off twice. On the way no side has fewer than 8 cells, or the target's; a
    canvas that is so made higher or wider shows more of the base, where there is more and it may be shown (`spare`).
    """
    fitted = fit_box(base, target)
    ratio = target.width / (fitted[2] - fitted[0])
    if ratio <= 1.0:
        return ()
    rounds = max(1, math.ceil(math.log(ratio) / math.log(upscale) - 1e-9))
    scales = [ratio ** ((done + 1 - rounds) / rounds) for done in range(rounds - 1)]
    limit = show_whole(base).shown if spare else fitted
    between = [_make_round(target, scale, factor, fitted, limit) for scale in scales]
    return (*between, Round(size=target, shown=fitted))


def cover_canvas(canvas: LatentSize, window: LatentSize, overlap_frac: float) -> tuple[LatentBox, ...]:
    """Cover a canvas with windows that overlap by at least a fraction of their shorter side."""
    return cover(canvas, window, stride_cells(window, overlap_frac))


@dataclass(frozen=True, kw_only=True)
class Cover:
    """Hold how equal windows cover a canvas, in cells; they are listed only when asked for."""

    canvas: LatentSize
    window: LatentSize
    overlap_frac: float = 0.0
    seamless: str = "off"

    @property
    def size(self) -> LatentSize:
        """Return the size of every window: the one asked for, cut down to the canvas."""
        return cut_down(self.window, self.canvas)

    @property
    def overlap_cells(self) -> int:
        """Return how many cells neighbours share at least."""
        return min(self.window.width, self.window.height) - stride_cells(self.window, self.overlap_frac)

    def count(self) -> int:
        """Count the windows; a canvas may have hundreds of millions."""
        if self.seamless != OFF:
            return len(self.list_boxes())
        return count_cover(self.canvas, self.window, stride_cells(self.window, self.overlap_frac))

    def list_boxes(self) -> tuple[LatentBox, ...]:
        """Return the windows, row by row."""
        if self.seamless != OFF:
            axes = {"across": wraps_across(self.seamless), "down": wraps_down(self.seamless)}
            return cover_ring(self.canvas, self.window, stride_cells(self.window, self.overlap_frac), **axes)
        return cover_canvas(self.canvas, self.window, self.overlap_frac)


# Cells that the decoder of an autoencoder of eight pixels a cell sees to each side: 20 in that of SD, less in a tiny one.
RING_MARGIN_CELLS = 24


def grow_ring(canvas: LatentSize, seamless: str) -> LatentBox:
    """Return the box that is decoded or encoded for a canvas: more on each side that meets the opposite one."""
    wide, high = RING_MARGIN_CELLS * wraps_across(seamless), RING_MARGIN_CELLS * wraps_down(seamless)
    return LatentBox(-wide, -high, canvas.width + wide, canvas.height + high)


def cut_down(window: LatentSize, canvas: LatentSize) -> LatentSize:
    """Return a window that is nowhere larger than the canvas."""
    return LatentSize(min(window.width, canvas.width), min(window.height, canvas.height))


def stride_cells(window: LatentSize, overlap_frac: float) -> int:
    """Return how far apart windows lie at most, in cells."""
    return max(1, math.floor(min(window.width, window.height) * (1.0 - overlap_frac)))


def _near(value: float, grid: int) -> tuple[int, ...]:
    below = max(grid, math.floor(value / grid) * grid)
    return (below, below + grid)


def _misfit(size: PixelSize, aspect: float, native: int) -> float:
    shape = abs(math.log(size.width / size.height / aspect))
    area = max(0.0, abs(math.log(size.area / native)) - BASE_AREA_SLACK)
    return shape + AREA_WEIGHT * area


def _make_round(target: PixelSize, scale: float, factor: int, fitted: FloatBox, limit: FloatBox) -> Round:
    """Return the canvas of a round at a scale of the target; it shows the part `fitted`, or more up to the `limit`."""
    width, left, right = _lay_side(target.width, scale, factor, (fitted[0], fitted[2]), (limit[0], limit[2]))
    height, top, bottom = _lay_side(target.height, scale, factor, (fitted[1], fitted[3]), (limit[1], limit[3]))
    return Round(size=PixelSize(width, height), shown=(left, top, right, bottom))


def _lay_side(
    target: int, scale: float, factor: int, fitted: tuple[float, float], limit: tuple[float, float]
) -> tuple[int, float, float]:
    """Return the length of a side in px, and the span it shows, at a scale of the side of the target."""
    rounded, least = round(target * scale / factor) * factor, min(LEAST_CELLS * factor, target)
    if rounded >= least:
        return (rounded, *fitted)
    begin, end = fitted
    more = (end - begin) * (least / (target * scale) - 1.0) / 2
    return (least, max(limit[0], begin - more), min(limit[1], end + more))


def _place_span(span: tuple[float, float], shown: tuple[float, float], length: int) -> tuple[float, float]:
    """Return where a span lies on a side of some length that shows another."""
    scale = length / (shown[1] - shown[0])
    begin, end = ((at - shown[0]) * scale for at in span)
    return max(0.0, begin), min(float(length), end)
