"""What the sweeps of a run share: the maps that exist now, the statistics found so far, and marks of how far it is.

Decides no size of tiles and computes no layer. Start reading at `Desk`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sfumato.nn.tiled.checkpoint import Mark
from sfumato.nn.tiled.layers import Norm
from sfumato.nn.tiled.map_store import MemoryShelf, Shelf
from sfumato.nn.tiled.passes import INPUT, OUTPUT
from sfumato.nn.tiled.statistics import Affine, Moments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

    from torch import Tensor

    from sfumato.nn.tiled.halo import Step
    from sfumato.nn.tiled.memory_limits import Room
    from sfumato.nn.tiled.passes import Program, Sweep
    from sfumato.nn.tiled.regions import Region
    from sfumato.nn.tiled.source_sink import Ends

_TILE = "tile"


class Desk:
    """Hold what sweeps share. `begin` is the mark to go on from, `frozen` the statistics by the number of the sweep."""

    def __init__(self, program: Program, room: Room, ends: Ends, closing: ExitStack) -> None:
        """Take up where the keeper's mark says; the shelves are closed at the latest when `closing` is."""
        self.room = room
        self.ends = ends
        self.dtype, self.device = ends.dtype, ends.device
        self.program = program
        self.spilled = program.store(room.store_bytes, ends.dtype.itemsize).spilled
        self.shelves: dict[int, Shelf] = {}
        self.begin = (room.keeper.notes.mark if room.keeper else None) or Mark()
        self.frozen = _find_frozen(self.begin, ends.device)
        closing.callback(self._close)
        if room.keeper is not None:
            # Killed while it let go of maps, a run leaves some that nobody reads.
            for one in set(range(1, len(program.maps))) - list(program.live())[self.begin.sweep]:
                room.keeper.drop_shelf(one)

    def lay_out(self, live: set[int] | frozenset[int], left: frozenset[int] = frozenset()) -> None:
        """Let go of the maps that nobody reads any more and open those that are about to be written, or were `left`."""
        for one in [one for one in self.shelves if one not in live]:
            self.shelves.pop(one).close()
            if self.room.keeper is not None:
                self.room.keeper.drop_shelf(one)
        for one in sorted(live - self.shelves.keys()):
            self.shelves[one] = self._open(one, left)

    def find_left(self, at: int, tiles: int) -> frozenset[int]:
        """Return the maps that an earlier run has to have left for a sweep of so many tiles.

        Those that go when a sweep is finished may have gone before that was noted.
        """
        if at != self.begin.sweep or not self.begin.tiles:
            return frozenset()
        now, *after = [frozenset(live) for live in list(self.program.live())[at : at + 2]]
        return now if self.begin.tiles < tiles else now & (after[0] if after else frozenset())

    def _close(self) -> None:
        """Close the shelves; a keeper's maps stay, for a run that goes on."""
        for shelf in self.shelves.values():
            shelf.close()

    def _open(self, one: int, left: frozenset[int]) -> Shelf:
        extent = self.program.maps[one]
        if self.room.keeper is not None:
            return self.room.keeper.open_shelf(one, extent, self.dtype, left)
        if one in self.spilled:
            return self.room.open_spill(extent, self.dtype)
        return MemoryShelf.make(extent, self.dtype, self.device, self.device)

    def read(self, one: int, region: Region) -> Tensor:
        """Return a region of a map or of the input."""
        return self.ends.read(region) if one == INPUT else self.shelves[one].read(region)

    def write(self, one: int, region: Region, tile: Tensor) -> None:
        """Put a tile of a map or of the output."""
        if one == OUTPUT:
            self.ends.write(region, tile.float())
        else:
            self.shelves[one].write(region, tile)

    def freeze(self, sweep: Sweep) -> Sequence[Step]:
        """Return the chain of a sweep with every normalisation as the fixed map it has become."""
        found = {id(self.program.sweeps[at].norm): fixed for at, fixed in self.frozen.items()}
        return [found[id(link)] if isinstance(link, Norm) else link for link in sweep.chain]

    def take_up(self, at: int) -> tuple[int, Moments | None, Tensor | None]:
        """Return how many tiles of a sweep are done, their moments, and the last one where it may not be written yet."""
        if at != self.begin.sweep:
            return 0, None, None
        numbers = self.begin.numbers
        moments, tile = None, None
        if "count" in numbers:
            moments = Moments(int(numbers["count"]), numbers["mean"].cpu(), numbers["squares"].cpu())
        if _TILE in numbers:
            tile = numbers[_TILE].to(self.device).view(self.dtype).permute(0, 3, 1, 2)
        return self.begin.tiles, moments, tile

    def note(self, at: int, tiles: int, moments: Moments | None) -> None:
        """Mark that so many tiles of a sweep are done and written."""
        self._note(at, tiles, moments, {})

    def note_tile(self, at: int, tiles: int, moments: Moments | None, tile: Tensor) -> Tensor:
        """Mark that so many tiles are done, the last of which is yet to be written; return it."""
        if self.room.keeper is None:
            return tile
        packed = tile.permute(0, 2, 3, 1).contiguous()
        # As bytes: not everybody who keeps numbers knows all of their types.
        self._note(at, tiles, moments, {_TILE: packed.view(torch.uint8)})
        return packed.permute(0, 3, 1, 2)

    def _note(self, at: int, tiles: int, moments: Moments | None, more: dict[str, Tensor]) -> None:
        if self.room.keeper is None:
            return
        numbers = dict(more)
        for sweep, fixed in self.frozen.items():
            numbers |= {f"scale {sweep}": fixed.scale, f"shift {sweep}": fixed.shift}
        if moments is not None:
            numbers |= {"count": torch.tensor(moments.count), "mean": moments.mean, "squares": moments.squares}
        mark = Mark(sweep=at, tiles=tiles, work_bytes=self.room.work_bytes, numbers=numbers)
        self.room.keeper.notes.note(mark)


def _find_frozen(mark: Mark, device: torch.device) -> dict[int, Affine]:
    sweeps = [int(name.partition(" ")[2]) for name in mark.numbers if name.startswith("scale ")]
    return {at: Affine(mark.numbers[f"scale {at}"].to(device), mark.numbers[f"shift {at}"].to(device)) for at in sweeps}
