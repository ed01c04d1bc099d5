"""Run the sweeps of a program over tiles, in a set amount of memory.

Decides the size of the tiles and nothing else; which maps stay in memory follows from `Program.store`.
Knows no file: maps that do not fit go where the caller says. Start reading at `run_program`.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from math import isqrt
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sfumato.nn.streamed.attention import KEY_BLOCK, attend_block, query_block
from sfumato.nn.streamed.layers import Conv, Extent, Norm
from sfumato.nn.streamed.local import run_chain
from sfumato.nn.streamed.regions import Band, Region, cut_bands, cut_region
from sfumato.nn.streamed.shelves import MemoryShelf, Shelf
from sfumato.nn.streamed.statistics import Affine, Moments, measure_moments
from sfumato.nn.streamed.sweeps import INPUT, OUTPUT, Program, Sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

    from sfumato.nn.streamed.ends import Ends
    from sfumato.nn.streamed.local import Step


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Room:
    """Say what a run may take above weights, input and output, in bytes.

    `work_bytes` are for one tile and everything computed from it, `store_bytes` for the maps kept
    between sweeps; those that do not fit go to `open_spill`. `tidy` is called after each sweep and may
    give free memory back to the system. `tile_pixels` sets the area of the tiles instead of leaving it
    to the memory; those of the output come in the bands that are asked for.
    """

    work_bytes: int
    store_bytes: int
    open_spill: Callable[[Extent, torch.dtype], Shelf]
    tidy: Callable[[], None] | None = None
    tile_pixels: int | None = None
    band: Band = field(default_factory=Band)


def run_program(program: Program, ends: Ends, room: Room, window: Region | None = None) -> None:
    """Run a program over one input; write its output in float32, tile by tile.

    Equal to running the layers whole up to the order of additions, for any tiles. With a window,
    only that region of the output is computed and written; every sweep but the last is still run
    over the whole.

    Raises: what `room.open_spill` and its shelves raise, and the ends.
    """
    window = window or program.output.region
    with ExitStack() as closing:
        desk = _Desk(program, room, ends, closing)
        for sweep, live in zip(program.sweeps, program.live(), strict=True):
            desk.lay_out(live)
            if sweep.keep == OUTPUT:
                tiles = cut_bands(window, _tile_pixels(desk, sweep), room.band)
            else:
                tiles = cut_region(sweep.value.region, _tile_pixels(desk, sweep))
            _run_sweep(desk, sweep, tiles)
            if room.tidy is not None:
                room.tidy()


class _Desk:
    """Hold what sweeps share: the shelves of the maps that exist now, and the statistics so far."""

    def __init__(self, program: Program, room: Room, ends: Ends, closing: ExitStack) -> None:
        self.room = room
        self.ends = ends
        self.dtype, self.device = ends.dtype, ends.device
        self.program = program
        self.spilled = program.store(room.store_bytes, ends.dtype.itemsize).spilled
        self.shelves: dict[int, Shelf] = {}
        self.frozen: dict[int, Affine] = {}
        closing.callback(self.lay_out, frozenset[int]())

    def lay_out(self, live: set[int] | frozenset[int]) -> None:
        """Close the shelves that nobody reads any more and open those that are about to be written."""
        for one in [one for one in self.shelves if one not in live]:
            self.shelves.pop(one).close()
        for one in sorted(live - self.shelves.keys()):
            self.shelves[one] = self._open(one)

    def _open(self, one: int) -> Shelf:
        extent = self.program.maps[one]
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
        return [self.frozen[id(link)] if isinstance(link, Norm) else link for link in sweep.chain]  # pyright: ignore[reportReturnType]


def _run_sweep(desk: _Desk, sweep: Sweep, tiles: Iterable[Region]) -> None:
    chain = desk.freeze(sweep)
    moments: Moments | None = None
    for region in tiles:
        compute = _compute if sweep.attend is None else _attend
        value = compute(desk, sweep, chain, region)
        if sweep.add is not None:
            value.add_(desk.read(sweep.add, region))
        if sweep.keep is not None:
            desk.write(sweep.keep, region, value)
        if sweep.shortcut is not None and sweep.side is not None:
            desk.write(sweep.side, region, F.conv2d(value, sweep.shortcut.weight, sweep.shortcut.bias))
        if sweep.norm is not None:
            seen = measure_moments(value)
            moments = seen if moments is None else moments.merge(seen)
    if sweep.norm is not None:
        assert moments is not None, "a map has at least one tile"
        desk.frozen[id(sweep.norm)] = moments.freeze(sweep.norm)


def _compute(desk: _Desk, sweep: Sweep, chain: Sequence[Step], region: Region) -> Tensor:
    return run_chain(chain, sweep.extents, partial(desk.read, sweep.source), region)


def _attend(desk: _Desk, sweep: Sweep, chain: Sequence[Step], region: Region) -> Tensor:
    assert sweep.attend is not None, "an attention sweep"

    def tokens(part: Region) -> Tensor:
        tile = _compute(desk, sweep, chain, part).float()
        return tile[0].permute(1, 2, 0).reshape(part.area, -1)

    keys: Iterator[Tensor] = (tokens(part) for part in cut_region(sweep.value.region, KEY_BLOCK))
    found = attend_block(sweep.attend, tokens(region), keys)
    tile = found.view(1, region.rows.length, region.columns.length, -1).permute(0, 3, 1, 2)
    return tile.to(desk.dtype)


def _tile_pixels(desk: _Desk, sweep: Sweep) -> int:
    """Return the area of the tiles of a sweep that `work_bytes` allows."""
    if desk.room.tile_pixels is not None:
        return desk.room.tile_pixels
    if sweep.attend is not None:
        return query_block(sweep.value.channels, desk.room.work_bytes)
    side = isqrt(int(desk.room.work_bytes / (_count_work(sweep) * desk.dtype.itemsize)))
    return max(1, side - MARGIN_PIXELS) ** 2


# Two convolutions in one sweep, on both sides.
MARGIN_PIXELS = 4


def _count_work(sweep: Sweep) -> float:
    """Count the numbers alive at once per pixel of a tile.

    A convolution holds input and result twice: the library turns both into an order of its own.
    """
    area = sweep.value.height * sweep.value.width
    sizes = [extent.count / area for extent in sweep.extents]
    steps = [
        (2 if isinstance(link, Conv) else 1) * (read + made)
        for link, read, made in zip(sweep.chain, sizes, sizes[1:], strict=False)
    ]
    sinks = sizes[-1] * (1 + (sweep.add is not None) + 2 * (sweep.norm is not None))
    return max([*steps, sinks + (2 * sweep.shortcut.weight.shape[0] if sweep.shortcut else 0)])
