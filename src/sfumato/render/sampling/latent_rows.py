"""Canvases of latents side by side in one store: tensors in, tensors out, rows at a time.

Knows stores and a device; no step and no model. Start reading at `Planes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sfumato.core.geometry import LatentBox

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sfumato.canvas.latents import LatentStore


@dataclass(frozen=True, eq=False)
class Planes:
    """Read and write rows of a store of several canvases of `channels` each, one after the other. A leaf."""

    store: LatentStore
    channels: int
    device: torch.device

    def read(self, rows: slice, first: int = 0, count: int = 1) -> Tensor:
        """Return rows of `count` canvases from canvas `first` on, [count * channels, rows, w]."""
        import torch

        values = self.store.read(self._box(rows))[first * self.channels : (first + count) * self.channels]
        return torch.from_numpy(values).to(self.device)

    def write(self, rows: slice, values: Tensor) -> None:
        """Replace rows of all canvases, [canvases * channels, rows, w]; missing canvases at the end become zeros."""
        self.put(self._box(rows), values)

    def put(self, box: LatentBox, values: Tensor) -> None:
        """Replace a box of all canvases, as `write` does rows."""
        import torch

        raw = values.detach().to("cpu", torch.float32).numpy()
        missing = self.store.channels - len(raw)
        if missing:
            raw = np.concatenate([raw, np.zeros((missing, *raw.shape[1:]), np.float32)])
        self.store.write(box, raw)

    def _box(self, rows: slice) -> LatentBox:
        return LatentBox(0, rows.start, self.store.size.width, rows.stop)


def grow_rows(rows: slice, margin: int, height: int) -> tuple[slice, slice]:
    """Return rows with a margin, cut off at the canvas, and where the rows are in them."""
    wide = slice(max(0, rows.start - margin), min(height, rows.stop + margin))
    return wide, slice(rows.start - wide.start, rows.stop - wide.start)


def cut_rows(height: int, band: int) -> list[slice]:
    """Return the rows of a canvas in bands, the last one shorter."""
    return [slice(top, min(top + band, height)) for top in range(0, height, band)]
