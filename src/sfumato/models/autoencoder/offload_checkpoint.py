"""Copies of the maps of a run in files, made from time to time, for devices that compute far from any file.

On a graphics card a decode takes seconds, and writing every map of it takes minutes. So the maps stay where they are, and
all that are alive are copied when that is a small share of the time since the last copy. Knows maps and a clock; no
network. Start reading at `CheckpointCopies.note`.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfumato.core.errors import StorageError
from sfumato.models.autoencoder.offload import CheckpointMaps, drop_maps
from sfumato.nn.tiled import Checkpointer, Notes
from sfumato.nn.tiled.regions import cut_grid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from sfumato.nn.tiled import Extent, MapStore, TileCheckpoint

    Lay = Callable[[int, Extent, torch.dtype], MapStore]

# What is done twice after a stop takes at most so many times as long as a copy; so do copies a tenth of the time at most.
PATIENCE = 10.0
# Bytes a second that a copy moves, until one was made: what a disk of today writes.
GUESSED_RATE = 2.0**29
# Bytes of a map that are moved at once.
_PIECE_BYTES = 2**25


@dataclass(frozen=True, slots=True, eq=False)
class _CopiedMap:
    shelf: MapStore
    extent: Extent
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        return self.extent.count * self.dtype.itemsize


@dataclass(eq=False)
class CheckpointCopies:
    """Hand out the maps of a run and copy them to a folder before a mark is noted, now and then. A leaf.

    `lay` makes a map where it is to lie; `spare_bytes` of the disk are for what follows.
    """

    folder: Path
    notes: Notes
    lay: Lay
    device: torch.device = field(kw_only=True)
    spare_bytes: int = field(kw_only=True)
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    _maps: dict[int, _CopiedMap] = field(init=False, default_factory=dict[int, "_CopiedMap"])
    _rate: float = field(init=False, default=GUESSED_RATE)
    _last: TileCheckpoint | None = field(init=False, default=None)
    _since: float = field(init=False)

    def __post_init__(self) -> None:
        # Killed while it copied, a run leaves copies that no mark speaks of.
        mark = self.notes.checkpoint
        drop_maps(self.folder, but=None if mark is None else _name_tag(mark))
        self._since = self.clock()

    @property
    def keeper(self) -> Checkpointer:
        """Return what a run hands its maps and marks to."""
        return Checkpointer(
            notes=Notes(checkpoint=self.notes.checkpoint, note=self.note), open_map=self._open, drop_map=self._drop
        )

    def note(self, mark: TileCheckpoint) -> None:
        """Note a mark, with a copy of every map that is alive, if that is worth it by now."""
        self._last = mark
        needed = sum(one.bytes for one in self._maps.values())
        begun = self.clock()
        if begun - self._since < PATIENCE * needed / self._rate:
            return
        files = CheckpointMaps(self.folder, self.device, _name_tag(mark))
        if files.has_room(needed + self.spare_bytes) and self._copy(files):
            self.notes.note(mark)
            drop_maps(self.folder, but=files.tag)
            self._rate = needed / max(self.clock() - begun, 1e-3)
        self._since = self.clock()

    def finish(self) -> None:
        """Note the last mark, after which nothing is left to do, and remove the copies."""
        if self._last is not None:
            self.notes.note(self._last)
        drop_maps(self.folder)

    def _copy(self, files: CheckpointMaps) -> bool:
        """Copy every map; tell whether the disk took them. The last copy stays either way."""
        try:
            for number, one in self._maps.items():
                with closing(files.open(number, one.extent, one.dtype)) as copy:
                    _move(one, one.shelf, copy)
        except StorageError:
            for number in self._maps:
                files.drop(number)
            return False
        return True

    def _open(self, number: int, extent: Extent, dtype: torch.dtype, left: frozenset[int]) -> MapStore:
        """Lay a map out, with what the copy holds that the run goes on from."""
        mark = self.notes.checkpoint
        files = None if mark is None else CheckpointMaps(self.folder, self.device, _name_tag(mark))
        with ExitStack() as opened:
            copy = None
            if files is not None and (number in left or files.has(number)):
                copy = opened.enter_context(closing(files.open(number, extent, dtype, left)))
            one = _CopiedMap(self.lay(number, extent, dtype), extent, dtype)
            self._maps[number] = one
            if copy is not None:
                _move(one, copy, one.shelf)
        return one.shelf

    def _drop(self, number: int) -> None:
        self._maps.pop(number, None)


def _move(one: _CopiedMap, source: MapStore, target: MapStore) -> None:
    rows = max(1, _PIECE_BYTES * one.extent.height // one.bytes)
    for piece in cut_grid(one.extent.region, rows, one.extent.width):
        target.write(piece, source.read(piece))


def _name_tag(mark: TileCheckpoint) -> str:
    return f".{mark.pass_index}.{mark.tiles}"
