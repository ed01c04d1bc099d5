"""What a run over tiles may take, and who keeps its maps.

Start reading at `MemoryLimits`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfumato.nn.tiled.regions import Band

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from sfumato.nn.tiled.checkpoint import Checkpointer
    from sfumato.nn.tiled.layers import Extent
    from sfumato.nn.tiled.map_store import MapStore


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemoryLimits:
    """Say what a run may take above weights, input and output, in bytes.

    `work_bytes` are for one tile and everything computed from it, `store_bytes` for the maps kept
    between passes; those that do not fit go to `open_offload`. `tidy` is called after each pass and may
    give free memory back to the system. `tile_pixels` sets the area of the tiles instead of leaving it
    to the memory; those of the output come in the bands that are asked for. With a `checkpointer` every map is
    its, and a run goes on from its checkpoint, for which it has to have the same limits.
    """

    work_bytes: int
    store_bytes: int
    open_offload: Callable[[Extent, torch.dtype], MapStore]
    tidy: Callable[[], None] | None = None
    tile_pixels: int | None = None
    band: Band = field(default_factory=Band)
    checkpointer: Checkpointer | None = None
