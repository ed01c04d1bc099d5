"""Where the input of a network comes from and where its output goes, region by region.

Neither has to be in memory whole. Knows tensors and regions, no network. Start reading at `Ends`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sfumato.nn.streamed.regions import Region

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Read = Callable[[Region], Tensor]
    Write = Callable[[Region, Tensor], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ends:
    """Hold both ends of a run; tiles are [1, C, h, w].

    `read` gives any region of the input, any number of times, in the number type and on the device
    that compute; what it gives is not written to. `write` takes tiles of the output, float32, in reading
    order: rows of tiles from top to bottom, each from left to right.
    """

    read: Read
    write: Write
    dtype: torch.dtype
    device: torch.device


class Bands:
    """Join tiles that come in reading order to bands of the full width of an area. A leaf."""

    def __init__(self, columns_of: Region, hand_out: Write) -> None:
        """Take tiles of the area `columns_of`; hand each band out as soon as its last tile is there."""
        self._area = columns_of
        self._hand_out = hand_out
        self._band: Tensor | None = None

    def write(self, region: Region, tile: Tensor) -> None:
        """Take a tile [1, C, h, w] of the area; its rows are those of the band."""
        if region.columns == self._area.columns:
            self._hand_out(region, tile)
            return
        whole = Region(region.rows, self._area.columns)
        if self._band is None:
            self._band = tile.new_empty((*tile.shape[:2], whole.rows.length, whole.columns.length))
        self._band[region.inside(whole)] = tile
        if region.columns.stop == self._area.columns.stop:
            band, self._band = self._band, None
            self._hand_out(whole, band)
