"""A picture enlarged by a network of the ESRGAN family into a store of pixels, in panels and rows, to be gone on with at any row.

A panel is as wide as memory allows; around it lie as many columns as the network reads, so that what is kept of it
equals the whole. A run that starts below the top reads as many rows above for the same reason. Knows no file.
Start reading at `GrowthPlan`, then `grow`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from sfumato.core.errors import ModelError
from sfumato.core.geometry import PixelBox, PixelSize

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.core.resampling import Pixels, ReadPixels

# Memory that the rows of a panel may take in all layers.
PANEL_BYTES = 1 << 31
# Pixels that go in at once: the widest map of a dense block (192 channels) then fits a few MiB of cache.
PUSH_PX = 8192
LEAST_ROWS, MOST_ROWS = 4, 64


class RowShape(Protocol):
    """What is known of a network that runs by rows."""

    @property
    def scale(self) -> int:
        """Return the enlargement."""
        ...

    @property
    def radius_px(self) -> int:
        """Return how many px of its input the network reads to each side of a pixel."""
        ...


class RowNetwork(Protocol):
    """A network that runs down a picture, rows by rows."""

    @property
    def shape(self) -> RowShape:
        """Return its enlargement and its reach."""
        ...

    def run(self, rows: Iterable[Tensor]) -> Iterator[Tensor]:
        """Take a picture as float32 [1, 3, n, width] in 0 to 1, top to bottom; yield its enlargement in the same way."""
        ...

    def count_bytes(self, width: int, rows: int) -> int:
        """Return the memory of a run over a picture of this width that gets so many rows at once."""
        ...


@dataclass(frozen=True, slots=True)
class GrowthPlan:
    """Say how a picture of size `source` is cut: into panels of `panel_px` columns, read `rows` rows at a time."""

    source: PixelSize
    scale: int
    radius_px: int
    panel_px: int
    rows: int

    @property
    def size(self) -> PixelSize:
        """Return the enlarged size."""
        return PixelSize(self.source.width * self.scale, self.source.height * self.scale)

    @property
    def panels(self) -> int:
        """Return how many panels there are."""
        return -(-self.source.width // self.panel_px)

    def place_panel(self, panel: int) -> tuple[int, int]:
        """Return the first column of a panel in the source, and the one behind its last."""
        return panel * self.panel_px, min(self.source.width, (panel + 1) * self.panel_px)


@dataclass(frozen=True, slots=True)
class GrownPiece:
    """Hold a finished piece of the enlarged picture, where it lies, and what is done with it."""

    box: PixelBox
    pixels: Pixels
    panel: int
    rows_done: int


def plan_growth(network: RowNetwork, source: PixelSize, *, panel_bytes: int = PANEL_BYTES) -> GrowthPlan:
    """Cut a picture so that a run takes about `panel_bytes` at most; the whole width where that fits."""
    radius = network.shape.radius_px
    widest = max(1, panel_bytes // network.count_bytes(1, MOST_ROWS))
    # A panel is at least as wide as what lies around it: narrower ones would do nothing but read beside themselves.
    panel = source.width if source.width <= widest else max(widest - 2 * radius, 2 * radius)
    rows = max(LEAST_ROWS, min(MOST_ROWS, PUSH_PX // min(source.width, panel + 2 * radius)))
    return GrowthPlan(source=source, scale=network.shape.scale, radius_px=radius, panel_px=panel, rows=rows)


def grow(
    network: RowNetwork, read: ReadPixels, plan: GrowthPlan, *, panel: int = 0, rows_done: int = 0
) -> Iterator[GrownPiece]:
    """Yield the enlarged picture from a panel and a row of it on, panel by panel, each from top to bottom.

    `read` gives any box of the source as uint8 [height, width, 3]. `rows_done` counts rows of the enlarged picture.

    Raises:
        ModelError: the network gave numbers that are no picture.
    """
    for at in range(panel, plan.panels):
        yield from _grow_panel(network, read, plan, at, rows_done if at == panel else 0)


def _grow_panel(
    network: RowNetwork, read: ReadPixels, plan: GrowthPlan, panel: int, rows_done: int
) -> Iterator[GrownPiece]:
    scale, source = plan.scale, plan.source
    if rows_done >= plan.size.height:
        return
    left, right = plan.place_panel(panel)
    first, last = max(0, left - plan.radius_px), min(source.width, right + plan.radius_px)
    # On the grid of rows that a run from the top has, so that every call gets the same shapes.
    start = max(0, rows_done // scale - plan.radius_px) // plan.rows * plan.rows
    tops = range(start, source.height, plan.rows)
    parts = (_to_tensor(read(PixelBox(first, top, last, min(source.height, top + plan.rows)))) for top in tops)
    top = start * scale
    for values in network.run(parts):
        bottom = top + values.shape[2]
        if bottom > rows_done:
            skipped = max(0, rows_done - top)
            inside = values[:, :, skipped:, (left - first) * scale : (right - first) * scale]
            box = PixelBox(left * scale, top + skipped, right * scale, bottom)
            yield GrownPiece(box=box, pixels=to_pixels(inside), panel=panel, rows_done=bottom)
        top = bottom


def _to_tensor(pixels: Pixels) -> Tensor:
    return torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255.0


def to_pixels(values: Tensor) -> Pixels:
    """Turn float [1, 3, height, width] in 0 to 1 into uint8 [height, width, 3].

    Raises:
        ModelError: there are numbers that are no picture.
    """
    if not bool(torch.isfinite(values).all()):
        raise ModelError("the upscaler gave numbers that are no picture", do="Use another `upscaler`.")
    return (values[0].clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
