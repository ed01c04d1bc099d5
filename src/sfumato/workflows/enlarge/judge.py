"""Whether an enlarged picture still shows the picture: both compared at the size of the picture.

Knows pixels of whole factors; no network and no file. PSNR is told and not judged. A perceptual distance joins as one
more measure of `EnlargedCheck` when its part is there. Start reading at `judge_enlarged`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sfumato.core.geometry import PixelBox, PixelSize

if TYPE_CHECKING:
    from sfumato.core.resampling import Pixels, ReadPixels

# Side of the squares of the picture whose mean colour is compared: wide colours and shapes, no detail.
CELL_PX = 8
# Steps of 255 by which the mean colour of such a square may differ, for all but the worst of a thousand squares.
MOST_STEPS = 12.0
_WORST_FRAC = 0.001
_STRIP_CELLS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EnlargedCheck:
    """Hold the comparison: steps of 255 between mean colours of squares, and PSNR in dB at the size of the picture."""

    low_band_steps: float
    psnr_db: float

    @property
    def passed(self) -> bool:
        """Tell whether wide colours stayed within the limit."""
        return self.low_band_steps <= MOST_STEPS

    def __str__(self) -> str:
        """Write one line for people."""
        verdict = "passed" if self.passed else "failed"
        return (
            f"{verdict}: wide colours differ by {self.low_band_steps:.1f} of 255 (limit {MOST_STEPS:g}); "
            f"PSNR {self.psnr_db:.1f} dB at the picture's own size, not judged"
        )

    def to_json(self) -> dict[str, object]:
        """Return the facts as JSON values."""
        return {
            "verdict": "passed" if self.passed else "failed",
            "low_band_steps": round(self.low_band_steps, 2),
            "psnr_db": round(self.psnr_db, 2),
        }


def judge_enlarged(source: Pixels, read: ReadPixels, factor: int) -> EnlargedCheck:
    """Compare a picture, uint8 [height, width, 3], with its enlargement by a whole factor, of which `read` gives any box."""
    height, width = source.shape[:2]
    differences = list[NDArray[np.float64]]()
    squares = 0.0
    for top in range(0, height, CELL_PX * _STRIP_CELLS):
        bottom = min(height, top + CELL_PX * _STRIP_CELLS)
        grown = read(PixelBox(0, top * factor, width * factor, bottom * factor))
        shape = (bottom - top, factor, width, factor, 3)
        reduced = grown.reshape(shape).astype(np.float32).mean(axis=(1, 3))
        change = reduced.astype(np.float64) - source[top:bottom]
        squares += float((change**2).sum())
        differences.append(_mean_cells(change))
    cells = np.abs(np.concatenate(differences)).ravel()
    mean = squares / source.size
    psnr = math.inf if mean == 0.0 else 10.0 * math.log10(255.0**2 / mean)
    return EnlargedCheck(low_band_steps=float(np.quantile(cells, 1.0 - _WORST_FRAC)), psnr_db=min(psnr, 99.0))


def _mean_cells(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of squares; those at the right and lower side are smaller."""
    rows = np.arange(0, values.shape[0], CELL_PX)
    columns = np.arange(0, values.shape[1], CELL_PX)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    sizes = PixelSize(values.shape[1], values.shape[0])
    high = np.diff([*rows.tolist(), sizes.height])[:, None, None]
    wide = np.diff([*columns.tolist(), sizes.width])[None, :, None]
    return sums / (high * wide)
