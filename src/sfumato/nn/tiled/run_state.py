"""What the passes of a run share: the maps that exist now, the statistics found so far, and checkpoints of how far it is.

Decides no size of tiles and computes no layer. Start reading at `RunState`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sfumato.nn.tiled.checkpoint import TileCheckpoint
from sfumato.nn.tiled.layers import Norm
from sfumato.nn.tiled.map_store import MapStore, MemoryMapStore
from sfumato.nn.tiled.passes import INPUT, OUTPUT
from sfumato.nn.tiled.statistics import Affine, Moments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

    from torch import Tensor

    from sfumato.nn.tiled.halo import Step
    from sfumato.nn.tiled.memory_limits import MemoryLimits
    from sfumato.nn.tiled.passes import MapPass, Program
    from sfumato.nn.tiled.regions import Region
    from sfumato.nn.tiled.source_sink import SourceSink

_TILE = "tile"


class RunState:
    """Hold what passes share. `begin` is the checkpoint to go on from, `frozen` the statistics by the number of the pass."""

    def __init__(self, program: Program, limits: MemoryLimits, source_sink: SourceSink, closing: ExitStack) -> None:
        """Take up where the checkpointer's checkpoint says; the map stores are closed at the latest when `closing` is."""
        self.limits = limits
        self.source_sink = source_sink
        self.dtype, self.device = source_sink.dtype, source_sink.device
        self.program = program
        self.offloaded = program.store(limits.store_bytes, source_sink.dtype.itemsize).offloaded
        self.stores: dict[int, MapStore] = {}
        self.begin = (limits.checkpointer.notes.checkpoint if limits.checkpointer else None) or TileCheckpoint()
        self.frozen = _find_frozen(self.begin, source_sink.device)
        closing.callback(self._close)
        if limits.checkpointer is not None:
            # Killed while it let go of maps, a run leaves some that nobody reads.
            for one in set(range(1, len(program.maps))) - list(program.live())[self.begin.pass_index]:
                limits.checkpointer.drop_map(one)

    def open_maps(self, live: set[int] | frozenset[int], left: frozenset[int] = frozenset()) -> None:
        """Let go of the maps that nobody reads any more and open those that are about to be written, or were `left`."""
        for one in [one for one in self.stores if one not in live]:
            self.stores.pop(one).close()
            if self.limits.checkpointer is not None:
                self.limits.checkpointer.drop_map(one)
        for one in sorted(live - self.stores.keys()):
            self.stores[one] = self._open(one, left)

    def find_left(self, at: int, tiles: int) -> frozenset[int]:
        """Return the maps that an earlier run has to have left for a pass of so many tiles.

        Those that go when a pass is finished may have gone before that was noted.
        """
        if at != self.begin.pass_index or not self.begin.tiles:
            return frozenset()
        now, *after = [frozenset(live) for live in list(self.program.live())[at : at + 2]]
        return now if self.begin.tiles < tiles else now & (after[0] if after else frozenset())

    def _close(self) -> None:
        """Close the map stores; a checkpointer's maps stay, for a run that goes on."""
        for store in self.stores.values():
            store.close()

    def _open(self, one: int, left: frozenset[int]) -> MapStore:
        extent = self.program.maps[one]
        if self.limits.checkpointer is not None:
            return self.limits.checkpointer.open_map(one, extent, self.dtype, left)
        if one in self.offloaded:
            return self.limits.open_offload(extent, self.dtype)
        return MemoryMapStore.make(extent, self.dtype, self.device, self.device)

    def read(self, one: int, region: Region) -> Tensor:
        """Return a region of a map or of the input."""
        return self.source_sink.read(region) if one == INPUT else self.stores[one].read(region)

    def write(self, one: int, region: Region, tile: Tensor) -> None:
        """Put a tile of a map or of the output."""
        if one == OUTPUT:
            self.source_sink.write(region, tile.float())
        else:
            self.stores[one].write(region, tile)

    def freeze(self, map_pass: MapPass) -> Sequence[Step]:
        """Return the chain of a pass with every normalisation as the fixed map it has become."""
        found = {id(self.program.passes[at].norm): fixed for at, fixed in self.frozen.items()}
        return [found[id(link)] if isinstance(link, Norm) else link for link in map_pass.chain]

    def resume_pass(self, at: int) -> tuple[int, Moments | None, Tensor | None]:
        """Return how many tiles of a pass are done, their moments, and the last one where it may not be written yet."""
        if at != self.begin.pass_index:
            return 0, None, None
        numbers = self.begin.numbers
        moments, tile = None, None
        if "count" in numbers:
            moments = Moments(int(numbers["count"]), numbers["mean"].cpu(), numbers["squares"].cpu())
        if _TILE in numbers:
            tile = numbers[_TILE].to(self.device).view(self.dtype).permute(0, 3, 1, 2)
        return self.begin.tiles, moments, tile

    def note(self, at: int, tiles: int, moments: Moments | None) -> None:
        """TileCheckpoint that so many tiles of a pass are done and written."""
        self._note(at, tiles, moments, {})

    def note_tile(self, at: int, tiles: int, moments: Moments | None, tile: Tensor) -> Tensor:
        """TileCheckpoint that so many tiles are done, the last of which is yet to be written; return it."""
        if self.limits.checkpointer is None:
            return tile
        packed = tile.permute(0, 2, 3, 1).contiguous()
        # As bytes: not everybody who keeps numbers knows all of their types.
        self._note(at, tiles, moments, {_TILE: packed.view(torch.uint8)})
        return packed.permute(0, 3, 1, 2)

    def _note(self, at: int, tiles: int, moments: Moments | None, more: dict[str, Tensor]) -> None:
        if self.limits.checkpointer is None:
            return
        numbers = dict(more)
        for number, fixed in self.frozen.items():
            numbers |= {f"scale {number}": fixed.scale, f"shift {number}": fixed.shift}
        if moments is not None:
            numbers |= {"count": torch.tensor(moments.count), "mean": moments.mean, "squares": moments.squares}
        checkpoint = TileCheckpoint(pass_index=at, tiles=tiles, work_bytes=self.limits.work_bytes, numbers=numbers)
        self.limits.checkpointer.notes.note(checkpoint)


def _find_frozen(checkpoint: TileCheckpoint, device: torch.device) -> dict[int, Affine]:
    passes = [int(name.partition(" ")[2]) for name in checkpoint.numbers if name.startswith("scale ")]
    return {
        at: Affine(checkpoint.numbers[f"scale {at}"].to(device), checkpoint.numbers[f"shift {at}"].to(device))
        for at in passes
    }
