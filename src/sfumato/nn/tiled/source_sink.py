"""Where the input of a network comes from and where its output goes, region by region.

Neither has to be in memory whole. Knows tensors and regions, no network. Start reading at `SourceSink`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from sfumato.nn.tiled.regions import Region

    Read = Callable[[Region], Tensor]
    Write = Callable[[Region, Tensor], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceSink:
    """Hold both ends of a run; tiles are [1, C, h, w].

    `read` gives any region of the input, any number of times, in the number type and on the device
    that compute; what it gives is not written to. `write` takes tiles of the output, float32, in reading
    order: rows of tiles from top to bottom, each from left to right.
    """

    read: Read
    write: Write
    dtype: torch.dtype
    device: torch.device
