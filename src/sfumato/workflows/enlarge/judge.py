"""Whether an enlarged picture still shows the picture: both compared at the size of the picture.

Knows pixels of whole factors; no network and no file. PSNR is told and not judged. A perceptual distance joins as one
more measure of `EnlargedCheck` when its part is there. Start reading at `judge_enlarged`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sfumato.core.geometry import PixelBox
from sfumato.workflows.enlarge.low_band import LowBand, mean_cells, reduce_box

if TYPE_CHECKING:
    from sfumato.core.resampling import Pixels, ReadPixels

# Side of the squares of the picture whose mean colour is compared: wide colours and shapes, no detail.
CELL_PX = 8
# Steps of 255 by which the mean colour of such a square may differ, for all but the worst of a thousand squares: in the
# result, and in what the network gave before its wide colours were put back. Twelve pictures (docs/log/2026-11.md)
# reach 3 and 17.
MOST_STEPS, MOST_MOVED_STEPS = 6.0, 32.0
_WORST_FRAC = 0.001
_STRIP_CELLS = 8
# PSNR of pictures that do not differ.
_HIGHEST_DB = 99.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnlargedCheck:
    """Hold the comparison at the size of the picture: steps of 255 between mean colours of squares, and PSNR in dB.

    `moved_steps` is how far the network moved them, `low_band_steps` what is left of it in the result.
    """

    low_band_steps: float
    moved_steps: float
    psnr_db: float

    @property
    def passed(self) -> bool:
        """Tell whether wide colours stayed within the limits."""
        return self.low_band_steps <= MOST_STEPS and self.moved_steps <= MOST_MOVED_STEPS

    def __str__(self) -> str:
        """Write one line for people."""
        verdict = "passed" if self.passed else "failed, look at it beside `method` lanczos"
        return (
            f"{verdict}: wide colours differ by {self.low_band_steps:.1f} of 255 (limit {MOST_STEPS:g}), "
            f"in the network by {self.moved_steps:.1f} (limit {MOST_MOVED_STEPS:g}); "
            f"PSNR {self.psnr_db:.1f} dB at the picture's own size, not judged"
        )

    def to_json(self) -> dict[str, object]:
        """Return the facts as JSON values."""
        return {
            "verdict": "passed" if self.passed else "failed",
            "low_band_steps": round(self.low_band_steps, 2),
            "moved_steps": round(self.moved_steps, 2),
            "psnr_db": round(self.psnr_db, 2),
        }


def judge_enlarged(source: Pixels, read: ReadPixels, factor: int, low_band: LowBand) -> EnlargedCheck:
    """Compare a picture, uint8 [height, width, 3], with its enlargement by a whole factor.

    `read` gives any box of what the network made; the result is that with `low_band` added.
    """
    height, width = source.shape[:2]
    moved, left, squares = [], [], 0.0
    for top in range(0, height, CELL_PX * _STRIP_CELLS):
        box = PixelBox(0, top, width, min(height, top + CELL_PX * _STRIP_CELLS))
        part = source[top : box.bottom].astype(np.float32)
        moved.append(mean_cells(reduce_box(read, box, factor) - part, CELL_PX))
        change = reduce_box(lambda place: low_band.correct(read, place), box, factor) - part
        left.append(mean_cells(change, CELL_PX))
        squares += float((change.astype(np.float64) ** 2).sum())
    steps, before = (float(np.quantile(np.abs(np.concatenate(found)), 1.0 - _WORST_FRAC)) for found in (left, moved))
    mean = squares / source.size
    psnr = _HIGHEST_DB if mean == 0.0 else min(_HIGHEST_DB, 10.0 * math.log10(255.0**2 / mean))
    return EnlargedCheck(low_band_steps=steps, moved_steps=before, psnr_db=psnr)
