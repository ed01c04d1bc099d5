"""Where the feature maps between two passes are kept.

`MapStore` is all that a pass knows of it; this module holds the one in memory. Knows no file. Start
reading at `MapStore`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.nn.tiled.layers import Extent
    from sfumato.nn.tiled.regions import Region


class MapStore(Protocol):
    """Keeps one feature map and gives back any region of it, bit by bit as it was put there."""

    def read(self, region: Region) -> Tensor:
        """Return a region as [1, C, h, w] on the device that computes; not to be written to."""
        ...

    def write(self, region: Region, tile: Tensor) -> None:
        """Put a tile [1, C, h, w] at a region."""
        ...

    def close(self) -> None:
        """Give the memory back."""


class MemoryMapStore:
    """Keep a feature map as one tensor [1, C, H, W]; may lie on another device than computes."""

    def __init__(self, whole: Tensor, device: torch.device, held: Region) -> None:
        """Take a tensor that holds the region `held` of a map; tiles are computed on `device`."""
        self.whole = whole
        self.device = device
        self.held = held

    @classmethod
    def make(cls, extent: Extent, dtype: torch.dtype, device: torch.device, place: torch.device) -> MemoryMapStore:
        """Make room for a map in the memory of `place`, for tiles computed on `device`."""
        shape = (1, extent.channels, extent.height, extent.width)
        # Pixel by pixel in memory: a tile of full rows is one run of bytes.
        whole = torch.empty(shape, dtype=dtype, device=place, memory_format=torch.channels_last)
        return MemoryMapStore(whole, device, extent.region)

    def read(self, region: Region) -> Tensor:
        """Return a region; a view where the map lies on the device that computes."""
        return self.whole[region.inside(self.held)].to(self.device)

    def write(self, region: Region, tile: Tensor) -> None:
        """Put a tile at a region."""
        self.whole[region.inside(self.held)] = tile

    def close(self) -> None:
        """Give the memory back."""
        self.whole = self.whole.new_empty(0)
