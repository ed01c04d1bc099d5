"""Whether an enlarged picture still shows the picture: both compared at the size of the picture.

Knows pixels of whole factors; no network that enlarges, and no file. Three things decide: wide colours, the
perceptual distance where the truth is known (`rehearse`), and the place that changed most. PSNR is told and not
judged. Start reading at `judge_enlarged`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.models.measures.perceptual import LEAST_PX
from sfumato.workflows.enlarge.back_projection import BackProjection, mean_cells, reduce_box
from sfumato.workflows.enlarge.rehearse import stack_pictures

if TYPE_CHECKING:
    from sfumato.core.resampling import Pixels, ReadPixels
    from sfumato.models.measures.perceptual import PerceptualDistance
    from sfumato.workflows.enlarge.rehearse import Rehearsal

# Side of the squares of the picture whose mean colour is compared: wide colours and shapes, no detail.
CELL_PX = 8
# Steps of 255 by which the mean colour of such a square may differ, for all but the worst of a thousand squares: in the
# result, and in what the network gave before its wide colours were put back. Twelve pictures (docs/log/2026-11.md)
# reach 3 and 17.
MOST_STEPS, MOST_MOVED_STEPS = 6.0, 32.0
# Perceptual distance of shapes at one place between the picture and what the network gave, before it was put back.
# On 25 pictures of 64 px the three networks reach 0.064; a strange patch of 12 px was above the limit in 18 of 25.
MOST_CHANGE = 0.07
_WORST_FRAC = 0.001
_STRIP_CELLS = 8
# Tiles whose shapes are compared, and what is looked at around each. A place of the map is 8 px.
_TILE_PX, _AROUND_PX, _PLACE_PX = 192, 32, 8
# PSNR of pictures that do not differ.
_HIGHEST_DB = 99.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LargestChange:
    """Hold the place where a network changed shapes most: how much, and where in the picture, px."""

    change: float
    box: PixelBox


@dataclass(frozen=True, slots=True, kw_only=True)
class EnlargedCheck:
    """Hold the comparison at the size of the picture: steps of 255 between mean colours of squares, and PSNR in dB.

    `moved_steps` is how far the network moved them, `low_band_steps` what is left of it in the result. `rehearsal` and
    `largest` are None where the part `perceptual` was not fetched, or the picture is too small.
    """

    low_band_steps: float
    moved_steps: float
    psnr_db: float
    rehearsal: Rehearsal | None = None
    largest: LargestChange | None = None

    @property
    def faults(self) -> tuple[str, ...]:
        """Return what fails, in words; nothing where the check is passed."""
        found: list[str] = []
        if self.low_band_steps > MOST_STEPS or self.moved_steps > MOST_MOVED_STEPS:
            found.append("wide colours differ")
        if self.rehearsal is not None and not self.rehearsal.passed:
            found.append("halved and doubled, it looks less like the picture than Lanczos does")
        if self.largest is not None and self.largest.change > MOST_CHANGE:
            found.append(f"something is new or lost at {self.largest.box.left},{self.largest.box.top}")
        return tuple(found)

    @property
    def passed(self) -> bool:
        """Tell whether nothing fails."""
        return not self.faults

    def __str__(self) -> str:
        """Write one line for people."""
        faults = self.faults
        verdict = f"failed: {'; '.join(faults)}; look at it beside `method` lanczos" if faults else "passed"
        looks = ""
        if self.rehearsal is not None:
            looks = f"; perceptual distance {self.rehearsal.network:.4f}, Lanczos {self.rehearsal.lanczos:.4f}"
        if self.largest is not None:
            looks += f"; largest change {self.largest.change:.3f} (limit {MOST_CHANGE:g})"
        return (
            f"{verdict}; wide colours differ by {self.low_band_steps:.1f} of 255 (limit {MOST_STEPS:g}), "
            f"in the network by {self.moved_steps:.1f} (limit {MOST_MOVED_STEPS:g}){looks}; "
            f"PSNR {self.psnr_db:.1f} dB at the picture's own size, not judged"
        )

    def to_json(self) -> dict[str, object]:
        """Return the facts as JSON values."""
        largest = self.largest
        return {
            "verdict": "passed" if self.passed else "failed",
            "faults": list(self.faults),
            "low_band_steps": round(self.low_band_steps, 2),
            "moved_steps": round(self.moved_steps, 2),
            "psnr_db": round(self.psnr_db, 2),
            "perceptual": self.rehearsal.to_json() if self.rehearsal else None,
            "largest_change": {"change": round(largest.change, 4), "at": [largest.box.left, largest.box.top]}
            if largest
            else None,
        }


def judge_enlarged(
    source: Pixels,
    read: ReadPixels,
    factor: int,
    projection: BackProjection,
    *,
    rehearsal: Rehearsal | None = None,
    distance: PerceptualDistance | None = None,
) -> EnlargedCheck:
    """Compare a picture, uint8 [height, width, 3], with its enlargement by a whole factor.

    `read` gives any box of what the network made; the result is that with `projection` added. The result itself, reduced,
    is almost the picture, so what the network did is judged too. Without a `distance` the place that changed most is not
    looked for.
    """
    height, width = source.shape[:2]
    moved, left, squares = [], [], 0.0
    for top in range(0, height, CELL_PX * _STRIP_CELLS):
        box = PixelBox(0, top, width, min(height, top + CELL_PX * _STRIP_CELLS))
        part = source[top : box.bottom].astype(np.float32)
        moved.append(mean_cells(reduce_box(read, box, factor) - part, CELL_PX))
        change = reduce_box(lambda place: projection.correct(read, place), box, factor) - part
        left.append(mean_cells(change, CELL_PX))
        squares += float((change.astype(np.float64) ** 2).sum())
    steps, before = (float(np.quantile(np.abs(np.concatenate(found)), 1.0 - _WORST_FRAC)) for found in (left, moved))
    mean = squares / source.size
    psnr = _HIGHEST_DB if mean == 0.0 else min(_HIGHEST_DB, 10.0 * math.log10(255.0**2 / mean))
    largest = None if distance is None else find_largest_change(source, read, factor, distance)
    return EnlargedCheck(low_band_steps=steps, moved_steps=before, psnr_db=psnr, rehearsal=rehearsal, largest=largest)


def find_largest_change(
    source: Pixels, read: ReadPixels, factor: int, distance: PerceptualDistance
) -> LargestChange | None:
    """Return the place where a network changed shapes most, at the picture's size; None where a side is below 16 px.

    Costs about 20 seconds of a core for a million pixels, a twentieth of what `x4plus` costs.
    """
    height, width = source.shape[:2]
    if min(height, width) < LEAST_PX:
        return None
    best = LargestChange(change=0.0, box=PixelBox(0, 0, _PLACE_PX, _PLACE_PX))
    for inner in _list_tiles(height, width):
        outer = inner.grow(_AROUND_PX).clip(PixelSize(width, height))
        reduced = reduce_box(read, outer, factor).round().clip(0.0, 255.0)
        pair = [source[outer.slices_hw], reduced.astype(np.uint8)]
        places = distance.map_deep(stack_pictures(pair[:1]), stack_pictures(pair[1:]))[0].numpy()
        # Places of the tile alone: those around it lack what lies beyond.
        top, left = (inner.top - outer.top) // _PLACE_PX, (inner.left - outer.left) // _PLACE_PX
        part = places[top : top - (-inner.height // _PLACE_PX), left : left - (-inner.width // _PLACE_PX)]
        down, across = divmod(int(part.argmax()), part.shape[1])
        if float(part.max()) > best.change:
            x, y = inner.left + across * _PLACE_PX, inner.top + down * _PLACE_PX
            best = LargestChange(change=float(part.max()), box=PixelBox(x, y, x + _PLACE_PX, y + _PLACE_PX))
    return best


def _list_tiles(height: int, width: int) -> Iterator[PixelBox]:
    for top in range(0, height, _TILE_PX):
        for left in range(0, width, _TILE_PX):
            yield PixelBox(left, top, min(width, left + _TILE_PX), min(height, top + _TILE_PX))
