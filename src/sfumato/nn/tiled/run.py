"""Run the sweeps of a program over tiles, in a set amount of memory.

Decides the size of the tiles, and attends over a whole map in blocks, without a matrix of all pairs; which maps stay
in memory follows from `Program.store`.
Knows no file: maps that do not fit go where the caller says. Start reading at `run_program`.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from math import isqrt
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sfumato.nn.tiled.halo import run_chain
from sfumato.nn.tiled.layers import Conv
from sfumato.nn.tiled.passes import OUTPUT, Program, Sweep
from sfumato.nn.tiled.regions import Region, cut_bands, cut_region
from sfumato.nn.tiled.run_state import Desk
from sfumato.nn.tiled.statistics import measure_moments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from sfumato.nn.tiled.halo import Step
    from sfumato.nn.tiled.layers import Attend
    from sfumato.nn.tiled.memory_limits import Room
    from sfumato.nn.tiled.source_sink import Ends

# Keys of one block of attention: enough for a matmul to be busy, few enough that the scores stay small.
KEY_BLOCK = 1024


def run_program(program: Program, ends: Ends, room: Room, window: Region | None = None) -> None:
    """Run a program over one input; write its output in float32, tile by tile.

    Equal to running the layers whole up to the order of additions, for any tiles. With a window,
    only that region of the output is computed and written; every sweep but the last is still run
    over the whole.

    Raises: what `room.open_spill` and its shelves raise, and the ends.
    """
    window = window or program.output.region
    with ExitStack() as closing:
        desk = Desk(program, room, ends, closing)
        for at, (sweep, live) in enumerate(zip(program.sweeps, program.live(), strict=True)):
            if at < desk.begin.sweep:
                continue
            if sweep.keep == OUTPUT:
                tiles = list(cut_bands(window, _tile_pixels(desk, sweep), room.band))
            else:
                tiles = list(cut_region(sweep.value.region, _tile_pixels(desk, sweep)))
            desk.lay_out(live, desk.find_left(at, len(tiles)))
            _run_sweep(desk, at, tiles)
            if room.tidy is not None:
                room.tidy()
        desk.lay_out(frozenset())


def _run_sweep(desk: Desk, at: int, tiles: Sequence[Region]) -> None:
    sweep = desk.program.sweeps[at]
    chain, (done, moments, redone) = desk.freeze(sweep), desk.take_up(at)
    if redone is not None:
        _put(desk, sweep, tiles[done - 1], redone)
    last_column = tiles[-1].columns.stop
    for count, region in enumerate(tiles[done:], start=done + 1):
        compute = _compute if sweep.attend is None else _attend
        value = compute(desk, sweep, chain, region)
        if sweep.add is not None:
            value.add_(desk.read(sweep.add, region))
        if sweep.norm is not None:
            seen = measure_moments(value)
            moments = seen if moments is None else moments.merge(seen)
        if sweep.replaces:
            # Noted before it is written: done again, it would be added to itself.
            value = desk.note_tile(at, count, moments, value)
        _put(desk, sweep, region, value)
        if not sweep.replaces and (region.columns.stop == last_column or sweep.attend is not None):
            desk.note(at, count, moments)
    if sweep.norm is not None:
        assert moments is not None, "a map has at least one tile"
        desk.frozen[at] = moments.freeze(sweep.norm)


def _put(desk: Desk, sweep: Sweep, region: Region, value: Tensor) -> None:
    """Write a tile of a sweep to where its maps are kept."""
    if sweep.keep is not None:
        desk.write(sweep.keep, region, value)
    if sweep.shortcut is not None and sweep.side is not None:
        desk.write(sweep.side, region, F.conv2d(value, sweep.shortcut.weight, sweep.shortcut.bias))


def _compute(desk: Desk, sweep: Sweep, chain: Sequence[Step], region: Region) -> Tensor:
    return run_chain(chain, sweep.extents, partial(desk.read, sweep.source), region)


def _attend(desk: Desk, sweep: Sweep, chain: Sequence[Step], region: Region) -> Tensor:
    assert sweep.attend is not None, "an attention sweep"

    def tokens(part: Region) -> Tensor:
        tile = _compute(desk, sweep, chain, part).float()
        return tile[0].permute(1, 2, 0).reshape(part.area, -1)

    keys: Iterator[Tensor] = (tokens(part) for part in cut_region(sweep.value.region, KEY_BLOCK))
    found = attend_block(sweep.attend, tokens(region), keys)
    tile = found.view(1, region.rows.length, region.columns.length, -1).permute(0, 3, 1, 2)
    return tile.to(desk.dtype)


def _tile_pixels(desk: Desk, sweep: Sweep) -> int:
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


def attend_block(layer: Attend, queries: Tensor, blocks: Iterable[Tensor]) -> Tensor:
    """Attend from some pixels [n, C] to all pixels, which come in blocks [m, C]; float32, returns [n, C].

    With q = Wq x + bq and k = Wk y + bk, q . k = (Wk' q) . y + q . bk: the last term is the same
    for every y, so softmax does not see it, and Wk' q is scored against y itself. The weights of a
    softmax add up to one, so the values, too, are mixed before Wv. Keys and values are never made.
    """
    asked = F.linear(queries, layer.query.weight.float(), layer.query.bias.float()) * queries.shape[-1] ** -0.5
    mixed = mix_by_score(asked @ layer.key.weight.float(), blocks)
    values = F.linear(mixed, layer.value.weight.float(), layer.value.bias.float())
    return F.linear(values, layer.out.weight.float(), layer.out.bias.float())


def mix_by_score(queries: Tensor, blocks: Iterable[Tensor]) -> Tensor:
    """Return softmax(q . y) over all y, times y, for each query [n, C]; keeps only a running sum.

    Source: Milakov and Gimelshein 2018, Online normalizer calculation for softmax, algorithm 3.
    """
    highest = queries.new_full((len(queries), 1), -torch.inf)
    total, mixed = torch.zeros_like(highest), torch.zeros_like(queries)
    for block in blocks:
        scores = queries @ block.T
        top = torch.maximum(highest, scores.amax(1, keepdim=True))
        shrink = (highest - top).exp_()
        scores.sub_(top).exp_()
        total = total.mul_(shrink).add_(scores.sum(1, keepdim=True))
        mixed = torch.addmm(mixed.mul_(shrink), scores, block)
        highest = top
    return mixed.div_(total)


def query_block(channels: int, work_bytes: int) -> int:
    """Return how many queries can be asked at once in so much memory, at least one."""
    numbers = work_bytes // torch.float32.itemsize - 3 * KEY_BLOCK * channels
    return max(1, numbers // (2 * KEY_BLOCK + 5 * channels))
