"""From the fused predictions of a step to the clean canvas of a level, some rows at a time.

The lock to the level below, the gain of what is fine, and what nobody may change yet. Knows rows of planes; no window, no sampler and
no journal. Start reading at `Update.clean_rows`.

Sources: low band kept, high band free, Kim et al. 2025, DiffuseHigh, and Vontobel et al. 2025, HiWave.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sfumato.nn.bands import take_low
from sfumato.nn.resample import Shrinking
from sfumato.render.cohesive.stages import MARGIN_CELLS, choose_band_cells
from sfumato.render.sampling.latent_rows import cut_rows, grow_rows

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.core.geometry import LatentSize
    from sfumato.core.request import CohesiveMethod
    from sfumato.render.cohesive.change_map import ChangeMap
    from sfumato.render.focus_windows.windows import Fused
    from sfumato.render.sampling.latent_rows import Planes


@dataclass(frozen=True, eq=False, kw_only=True)
class Update:
    """Turn the fused predictions of a step into its clean canvas. A leaf.

    `anchor` is the enlarged level below, `method` says how much of its low band is held, and how much stronger
    the fine band gets. `change_map` says what is free of the anchor at `step`, where the lock is softer and the
    fine band stronger; None leaves all cells alike.
    """

    canvas: LatentSize
    predictions: Planes | Fused
    anchor: Planes
    method: CohesiveMethod
    step: int
    change_map: ChangeMap | None = None

    def clean_rows(self, rows: slice) -> Tensor:
        """Return x0 of some rows [C, rows, w].

        The low band is locked as much as asked where a cell is free, wholly where it is not.
        """
        wide, inner = grow_rows(rows, MARGIN_CELLS, self.canvas.height)
        clean, anchor = self.predictions.read(wide)[None], self.anchor.read(wide)[None]
        low, share = take_low(clean), 1.0 if self.change_map is None else self.change_map.share_rows(wide)
        fine = (self.method.detail - 1.0) * share * (clean - low)
        held = (1.0 - (1.0 - self.method.lock) * share) * (take_low(anchor) - low)
        return self._hold(clean + fine + held, anchor, wide)[0, :, inner]

    def shrink(self, small_hw: tuple[int, int]) -> Tensor:
        """Return the predictions at a small size, [C, h, w], with the anchor where it is held."""
        whole: Shrinking | None = None
        for rows in cut_bands(self.canvas):
            shown = self._hold(self.predictions.read(rows)[None], self.anchor.read(rows)[None], rows)[0]
            whole = whole or Shrinking(self.canvas.shape_hw, small_hw, shown)
            whole.add(rows, shown)
        assert whole is not None, "a canvas has rows"
        return whole.finish()

    def _hold(self, clean: Tensor, anchor: Tensor, rows: slice) -> Tensor:
        """Return the anchor where a cell is not free yet."""
        return (
            clean if self.change_map is None else torch.lerp(anchor, clean, self.change_map.open_rows(rows, self.step))
        )


def scale_gain(detail: float, enlargement: float) -> float:
    """Return the gain of the fine band in a level that enlarges so many times; `detail` is that of a whole octave.

    A level that adds less goes over what the level below has strengthened already.
    """
    return 1.0 + min(1.0, max(0.0, math.log2(enlargement))) * (detail - 1.0)


def find_margin(overlap_cells: int) -> int:
    """Return how far from a free cell windows must be drawn too, so that its low band is made of predictions alone.

    Cells that neighbours share lie in both: what is free there opens both anyway.
    """
    return max(0, MARGIN_CELLS - overlap_cells)


def cut_bands(canvas: LatentSize) -> list[slice]:
    """Return the rows of a canvas in the bands that are worked on at once."""
    return cut_rows(canvas.height, choose_band_cells(canvas.width))
