"""What a run over tiles may take, and who keeps its maps.

Start reading at `Room`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfumato.nn.tiled.regions import Band

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from sfumato.nn.tiled.checkpoint import Keeper
    from sfumato.nn.tiled.layers import Extent
    from sfumato.nn.tiled.map_store import Shelf


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Room:
    """Say what a run may take above weights, input and output, in bytes.

    `work_bytes` are for one tile and everything computed from it, `store_bytes` for the maps kept
    between sweeps; those that do not fit go to `open_spill`. `tidy` is called after each sweep and may
    give free memory back to the system. `tile_pixels` sets the area of the tiles instead of leaving it
    to the memory; those of the output come in the bands that are asked for. With a `keeper` every map is
    its, and a run goes on from its mark, for which it has to have the same room.
    """

    work_bytes: int
    store_bytes: int
    open_spill: Callable[[Extent, torch.dtype], Shelf]
    tidy: Callable[[], None] | None = None
    tile_pixels: int | None = None
    band: Band = field(default_factory=Band)
    keeper: Keeper | None = None
