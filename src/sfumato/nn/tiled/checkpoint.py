"""How far a run over tiles is, as a value: noted while it goes, so that a run that was stopped goes on from there.

Knows no file and no journal; whoever keeps checkpoints and maps hands in functions. Start reading at `TileCheckpoint`, then `Checkpointer`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from sfumato.nn.tiled.layers import Extent
    from sfumato.nn.tiled.map_store import MapStore


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileCheckpoint:
    """Say that the first `tiles` of the pass number `pass_index` are done, and all passes before it.

    `work_bytes` is what the tiles were cut for, 0 where their size is fixed. `numbers` are the statistics found
    so far, and the last tile where it takes the place of what it was made from.
    """

    pass_index: int = 0
    tiles: int = 0
    work_bytes: int = 0
    numbers: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Notes:
    """Hold where an earlier run left off, None for a run from the start, and what notes how far this one is.

    What was written to the output before a checkpoint is noted has to be there when a later run finds that checkpoint.
    """

    checkpoint: TileCheckpoint | None
    note: Callable[[TileCheckpoint], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpointer:
    """Hold the notes of a run, and what opens and removes its maps by number; they outlive the run.

    An opened map is as an earlier run left it, where there was one. Of those in the last argument there has to be
    one, or the map cannot be opened: the checkpoint counts on it.
    """

    notes: Notes
    open_map: Callable[[int, Extent, torch.dtype, frozenset[int]], MapStore]
    drop_map: Callable[[int], None]
