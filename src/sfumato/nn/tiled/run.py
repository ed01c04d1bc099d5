"""Run the passes of a program over tiles, in a set amount of memory.

Decides the size of the tiles and nothing else; which maps stay in memory follows from `Program.store`.
Knows no file: maps that do not fit go where the caller says. Start reading at `run_program`.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from math import isqrt
from typing import TYPE_CHECKING

import torch.nn.functional as F

from sfumato.nn.tiled.attention import KEY_BLOCK, attend_block, query_block
from sfumato.nn.tiled.halo import run_chain
from sfumato.nn.tiled.layers import Conv
from sfumato.nn.tiled.passes import OUTPUT, MapPass, Program
from sfumato.nn.tiled.regions import Region, cut_bands, cut_region
from sfumato.nn.tiled.run_state import RunState
from sfumato.nn.tiled.statistics import measure_moments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from sfumato.nn.tiled.halo import Step
    from sfumato.nn.tiled.memory_limits import MemoryLimits
    from sfumato.nn.tiled.source_sink import SourceSink


def run_program(program: Program, source_sink: SourceSink, limits: MemoryLimits, window: Region | None = None) -> None:
    """Run a program over one input; write its output in float32, tile by tile.

    Equal to running the layers whole up to the order of additions, for any tiles. With a window,
    only that region of the output is computed and written; every pass but the last is still run
    over the whole.

    Raises: what `limits.open_offload` and its map stores raise, and what `source_sink` raises.
    """
    window = window or program.output.region
    with ExitStack() as closing:
        state = RunState(program, limits, source_sink, closing)
        for at, (map_pass, live) in enumerate(zip(program.passes, program.live(), strict=True)):
            if at < state.begin.pass_index:
                continue
            if map_pass.keep == OUTPUT:
                tiles = list(cut_bands(window, _tile_pixels(state, map_pass), limits.band))
            else:
                tiles = list(cut_region(map_pass.value.region, _tile_pixels(state, map_pass)))
            state.open_maps(live, state.find_left(at, len(tiles)))
            _run_pass(state, at, tiles)
            if limits.tidy is not None:
                limits.tidy()
        state.open_maps(frozenset())


def _run_pass(state: RunState, at: int, tiles: Sequence[Region]) -> None:
    map_pass = state.program.passes[at]
    chain, (done, moments, redone) = state.freeze(map_pass), state.resume_pass(at)
    if redone is not None:
        _put(state, map_pass, tiles[done - 1], redone)
    last_column = tiles[-1].columns.stop
    for count, region in enumerate(tiles[done:], start=done + 1):
        compute = _compute if map_pass.attend is None else _attend
        value = compute(state, map_pass, chain, region)
        if map_pass.add is not None:
            value.add_(state.read(map_pass.add, region))
        if map_pass.norm is not None:
            seen = measure_moments(value)
            moments = seen if moments is None else moments.merge(seen)
        if map_pass.replaces:
            # Noted before it is written: done again, it would be added to itself.
            value = state.note_tile(at, count, moments, value)
        _put(state, map_pass, region, value)
        if not map_pass.replaces and (region.columns.stop == last_column or map_pass.attend is not None):
            state.note(at, count, moments)
    if map_pass.norm is not None:
        assert moments is not None, "a map has at least one tile"
        state.frozen[at] = moments.freeze(map_pass.norm)


def _put(state: RunState, map_pass: MapPass, region: Region, value: Tensor) -> None:
    """Write a tile of a pass to where its maps are kept."""
    if map_pass.keep is not None:
        state.write(map_pass.keep, region, value)
    if map_pass.shortcut is not None and map_pass.side is not None:
        state.write(map_pass.side, region, F.conv2d(value, map_pass.shortcut.weight, map_pass.shortcut.bias))


def _compute(state: RunState, map_pass: MapPass, chain: Sequence[Step], region: Region) -> Tensor:
    return run_chain(chain, map_pass.extents, partial(state.read, map_pass.source), region)


def _attend(state: RunState, map_pass: MapPass, chain: Sequence[Step], region: Region) -> Tensor:
    assert map_pass.attend is not None, "an attention pass"

    def tokens(part: Region) -> Tensor:
        tile = _compute(state, map_pass, chain, part).float()
        return tile[0].permute(1, 2, 0).reshape(part.area, -1)

    keys: Iterator[Tensor] = (tokens(part) for part in cut_region(map_pass.value.region, KEY_BLOCK))
    found = attend_block(map_pass.attend, tokens(region), keys)
    tile = found.view(1, region.rows.length, region.columns.length, -1).permute(0, 3, 1, 2)
    return tile.to(state.dtype)


def _tile_pixels(state: RunState, map_pass: MapPass) -> int:
    """Return the area of the tiles of a pass that `work_bytes` allows."""
    if state.limits.tile_pixels is not None:
        return state.limits.tile_pixels
    if map_pass.attend is not None:
        return query_block(map_pass.value.channels, state.limits.work_bytes)
    side = isqrt(int(state.limits.work_bytes / (_count_work(map_pass) * state.dtype.itemsize)))
    return max(1, side - MARGIN_PIXELS) ** 2


# Two convolutions in one pass, on both sides.
MARGIN_PIXELS = 4


def _count_work(map_pass: MapPass) -> float:
    """Count the numbers alive at once per pixel of a tile.

    A convolution holds input and result twice: the library turns both into an order of its own.
    """
    area = map_pass.value.height * map_pass.value.width
    sizes = [extent.count / area for extent in map_pass.extents]
    steps = [
        (2 if isinstance(link, Conv) else 1) * (read + made)
        for link, read, made in zip(map_pass.chain, sizes, sizes[1:], strict=False)
    ]
    sinks = sizes[-1] * (1 + (map_pass.add is not None) + 2 * (map_pass.norm is not None))
    return max([*steps, sinks + (2 * map_pass.shortcut.weight.shape[0] if map_pass.shortcut else 0)])
