"""From the fused predictions of a step to the next state of a level, some rows at a time.

Guidance in bands, the pull of the global look, the lock to the level below, then the sampler. Knows rows
of planes; no window and no journal. Start reading at `Update.clean_rows`.

Sources: low band kept, high band free, Kim et al. 2025, DiffuseHigh, and Vontobel et al. 2025, HiWave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sfumato.nn.bands import REACH_CELLS, take_low
from sfumato.nn.guidance import guide_bands
from sfumato.nn.resample import Shrinking, enlarge_rows
from sfumato.render.planes import cut_rows, grow_rows

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.core.geometry import LatentSize
    from sfumato.core.request import CohesiveMethod, RenderRequest
    from sfumato.render.freedom import Freedom
    from sfumato.render.planes import Planes

# Rows worked on at once, in cells.
BAND_CELLS = 64
# Half a side of the square over which the lost energy is averaged: a few windows' rims, not a whole window.
_SMOOTH_CELLS = 2
# Guidance, smoothing and the lock each look a little further.
MARGIN_CELLS = 3 * REACH_CELLS + _SMOOTH_CELLS
# Averaging two unlike predictions halves their variance; more than that is no loss but a disagreement.
MOST_GAIN = 1.4
# No lower energy than rounding makes.
_LEAST_ENERGY = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class Update:
    """Turn predictions into the clean canvas of a step. A leaf.

    `predictions` holds what is told, what is not, and the energy; `anchor` the enlarged level below.
    `calming` multiplies the guided prediction (1 without guidance rescale). `freedom` says what is
    free of the anchor at `step`, and where the lock is softer; None leaves all cells alike.
    """

    request: RenderRequest
    method: CohesiveMethod
    canvas: LatentSize
    predictions: Planes
    anchor: Planes
    step: int
    freedom: Freedom | None = None
    pull: Tensor | None = None
    calming: float = 1.0

    def clean_rows(self, rows: slice) -> Tensor:
        """Return x0 of some rows [C, rows, w], pulled, locked and held."""
        wide, inner = grow_rows(rows, MARGIN_CELLS, self.canvas.height)
        clean, anchor = self._guide(wide), self.anchor.read(wide)[None]
        if self.pull is not None:
            clean = clean + self.method.guide * enlarge_rows(self.pull, self.canvas.shape_hw, wide)[None]
        if self.method.lock > 0.0:
            clean = clean + self._weigh_lock(wide) * take_low(anchor - clean)
        if self.freedom is not None:
            clean = torch.lerp(anchor, clean, self.freedom.open_rows(wide, self.step))
        return clean[0, :, inner]

    def shrink(self, small_hw: tuple[int, int]) -> Tensor:
        """Return the guided canvas at a small size, [C, h, w], held to the anchor where it is."""
        whole: Shrinking | None = None
        for rows in cut_rows(self.canvas.height, BAND_CELLS):
            wide, inner = grow_rows(rows, MARGIN_CELLS, self.canvas.height)
            guided = self._guide(wide)
            if self.freedom is not None:
                guided = torch.lerp(self.anchor.read(wide)[None], guided, self.freedom.open_rows(wide, self.step))
            whole = whole or Shrinking(self.canvas.shape_hw, small_hw, guided[0])
            whole.add(rows, guided[0, :, inner])
        assert whole is not None, "a canvas has rows"
        return whole.finish()

    def measure_calming(self) -> float:
        """Return what sets the spread of the guided canvas back towards that of the prompted one.

        Source: Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed", eq. 15 and 16.
        """
        rescale = self.request.guidance_rescale
        if rescale == 0.0:
            return 1.0
        moments = torch.zeros(2, 2, dtype=torch.float64)
        for rows in cut_rows(self.canvas.height, BAND_CELLS):
            wide, inner = grow_rows(rows, MARGIN_CELLS, self.canvas.height)
            both = (self._guide(wide)[0, :, inner], self.predictions.read(rows))
            for place, values in enumerate(both):
                moments[place] += torch.stack([values.double().sum(), values.double().square().sum()]).cpu()
        means = moments / (self.canvas.area * self.anchor.channels)
        guided, told = ((means[:, 1] - means[:, 0].square()).clamp_min(_LEAST_ENERGY).sqrt()).tolist()
        return rescale * told / guided + 1.0 - rescale

    def _weigh_lock(self, rows: slice) -> Tensor | float:
        """Return how much of the low band is held: as much as asked where a cell is free, all where it is not."""
        lock = self.method.lock
        return lock if self.freedom is None else 1.0 - (1.0 - lock) * self.freedom.share_rows(rows)

    def _guide(self, rows: slice) -> Tensor:
        """Return the guided prediction [1, C, rows, w], its high band as strong as in single windows."""
        count = self.anchor.channels
        held = self.predictions.read(rows, count=3)
        told, plain, energy = held[None, :count], held[None, count : 2 * count], held[None, 2 * count : 2 * count + 1]
        guided = guide_bands(told, plain, self.request.guidance, self.method.low_guidance) * self.calming
        if not self.method.restore:
            return guided
        # What single windows had and the fused canvas has not, with the guidance that the energy was taken at.
        fused = plain + self.request.guidance * (told - plain)
        left = (fused - take_low(fused)).square().mean(dim=1, keepdim=True)
        gain = (_smooth(energy) / _smooth(left).clamp_min(_LEAST_ENERGY)).sqrt().clamp(1.0, MOST_GAIN)
        low = take_low(guided)
        return low + gain * (guided - low)


def _smooth(energy: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(energy, (_SMOOTH_CELLS,) * 4, mode="replicate"), 2 * _SMOOTH_CELLS + 1, stride=1)
