"""Run layers without statistics down strips: every row of every map is computed once, and few rows are held.

A strip is read some rows at a time. Each layer computes what its input allows by then and keeps the last rows
that its next ones will read, so a strip of any height takes the memory of a few rows of its width. Only at the
borders of strips is anything computed twice. Decides no size. Start reading at `run_rows`, then `_BufferedStrip.push`.

Source: layers fused over rows, Alwani et al. 2016, "Fused-Layer CNN Accelerators", section III.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from sfumato.nn.tiled.checkpoint import TileCheckpoint
from sfumato.nn.tiled.halo import list_extents, list_reach
from sfumato.nn.tiled.layers import Extent, Fork, Join
from sfumato.nn.tiled.regions import Region, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from sfumato.nn.tiled.checkpoint import Notes
    from sfumato.nn.tiled.layers import Flowing, Plain
    from sfumato.nn.tiled.source_sink import SourceSink


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Say how many rows of the input are read at once, and what the rows handed out are a multiple of."""

    read_rows: int
    grain: int = 1


def run_rows(
    layers: Sequence[Flowing],
    start: Extent,
    source_sink: SourceSink,
    strips: Iterable[Region],
    pace: Pace,
    *,
    notes: Notes | None = None,
) -> None:
    """Run layers over an input of an extent and write the given strips of the output from top to bottom, in float32.

    Each strip equals that region of the whole up to the order of additions. Forks have no shortcut of their
    own. With notes it goes on after the strips that are done, and notes every finished one.
    """
    stages = _list_stages(layers)
    done = notes.checkpoint.tiles if notes is not None and notes.checkpoint is not None else 0
    for count, strip in enumerate([*strips][done:], start=done + 1):
        lane = _make_lane(stages, start, strip)
        extents = list_extents([stage.step for stage in stages], Extent(start.channels, start.height, lane.read.length))
        rows = Region(strip.rows, Span(0, extents[-1].width))
        for region, values in _BufferedStrip(stages, extents, rows).run(lane.shift(source_sink), pace):
            source_sink.write(Region(region.rows, strip.columns), values[..., lane.kept].float())
        if notes is not None:
            notes.note(TileCheckpoint(tiles=count))


@dataclass(frozen=True, slots=True)
class _Lane:
    """Say which columns of the input a strip reads, as a picture of its own, and which of what it makes are right.

    All maps of a strip reach from one side of the lane to the other: zeros beyond it spoil no more than the margin, and
    maps of a few widths, alike from call to call, take half the memory of maps that all have their own.
    """

    read: Span
    kept: slice

    def shift(self, source_sink: SourceSink) -> SourceSink:
        """Return ends whose columns count from the lane's first."""

        def read(region: Region) -> Tensor:
            columns = Span(self.read.start + region.columns.start, self.read.start + region.columns.stop)
            return source_sink.read(Region(region.rows, columns))

        return replace(source_sink, read=read)


def _make_lane(stages: Sequence[_StreamLayer], start: Extent, strip: Region) -> _Lane:
    steps = [stage.step for stage in stages]
    extents = list_extents(steps, start)
    into, out = start.width, extents[-1].width
    assert into % out == 0 or out % into == 0, "a network changes its size by a whole factor"
    grain = max(1, into // out)
    read = list_reach(steps, extents, strip)[0].columns.coarsen(grain).scale(grain).clip(into)
    first = strip.columns.start - read.start * out // into
    return _Lane(read, slice(first, first + strip.columns.length))


@dataclass(frozen=True, slots=True)
class _StreamLayer:
    """Hold a layer, and the number of the map that is added to what it gives, where one is."""

    step: Plain
    add: int | None = None


def _list_stages(layers: Sequence[Flowing]) -> list[_StreamLayer]:
    """Return the layers that compute, each with what is added to it; map 0 is the input."""
    stages: list[_StreamLayer] = []
    aside: list[int] = []
    for layer in layers:
        if isinstance(layer, Fork):
            assert layer.shortcut is None, "tiny autoencoders add the input as it is"
            aside.append(len(stages))
        elif isinstance(layer, Join):
            stages[-1] = _StreamLayer(stages[-1].step, aside.pop())
        else:
            stages.append(_StreamLayer(layer))
    return stages


class _BufferedMap:
    """Hold the last rows of a map, `span` wide; `top` is the first row that is held, `done` the last and one."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.top = self.done = region.rows.start
        self._held: Tensor | None = None
        self._first = 0

    def push(self, rows: Tensor) -> None:
        """Take the rows that follow."""
        if self._held is None:
            self._held, self._first = rows, self.done
        else:
            self._held = torch.cat([self._held, rows], dim=2)
        self.done += rows.shape[2]

    def cut(self, rows: Span) -> Tensor:
        """Return some of the rows that are held."""
        assert self._held is not None, "rows are computed before they are read"
        assert self._first <= rows.start, "rows are let go of only when nobody reads them again"
        assert rows.stop <= self.done, "rows are computed before they are read"
        return self._held[:, :, rows.start - self._first : rows.stop - self._first]

    def trim(self, top: int) -> None:
        """Let go of the rows above `top`."""
        top = min(top, self.done)
        if self._held is not None and top > self._first:
            # A copy: a slice would keep all of it alive.
            gone = top - self._first
            self._held = self._held[:, :, gone:].clone() if gone < self._held.shape[2] else None
            self._first = top
        self.top = max(self.top, top)


class _BufferedStrip:
    """Walk one strip of the output: how far each map is, and the rows of it that are still needed."""

    def __init__(self, stages: Sequence[_StreamLayer], extents: Sequence[Extent], strip: Region) -> None:
        self._stages, self._extents = stages, extents
        steps = [stage.step for stage in stages]
        self._maps = [_BufferedMap(region) for region in list_reach(steps, extents, strip)]
        self._readers: dict[int, list[int]] = {}
        for at, stage in enumerate(stages):
            for source in {at, at if stage.add is None else stage.add}:
                self._readers.setdefault(source, []).append(at)

    def run(self, source_sink: SourceSink, pace: Pace) -> Iterator[tuple[Region, Tensor]]:
        """Read the input from top to bottom; yield the rows of the output as they are done.

        At the end of the input all layers could run to their ends at once; each goes on at its pace instead.
        """
        first, last = self._maps[0], self._maps[-1]
        while last.done < last.region.rows.stop:
            rows = Span(first.done, min(first.done + pace.read_rows, first.region.rows.stop))
            if rows.length > 0:
                first.push(source_sink.read(Region(rows, first.region.columns)))
            for at in range(len(self._stages)):
                self._push(at, pace)
            rows = Span(last.top, last.done)
            if rows.length > 0:
                yield Region(rows, last.region.columns), last.cut(rows)
            last.trim(last.done)

    def _push(self, at: int, pace: Pace) -> None:
        """Compute what a stage can compute by now, and let go of what nobody reads again."""
        stage, source, target = self._stages[at], self._maps[at], self._maps[at + 1]
        grain = pace.grain if at + 1 == len(self._stages) else 1
        most = max(grain, -(-pace.read_rows * self._extents[at + 1].height // self._extents[0].height))
        ready = min(target.done + most, self._find_ready(at))
        if ready < target.region.rows.stop:
            ready = max(target.done, ready // grain * grain)
        want = Span(target.done, ready)
        if want.length > 0:
            have = self._reach(at, want)
            region = Region(want, target.region.columns)
            values = stage.step.run(source.cut(have), Region(have, source.region.columns), region)
            if stage.add is not None:
                values = values + self._maps[stage.add].cut(want)[self._inside(stage.add, at + 1)]
            target.push(values)
        for number in {at, at if stage.add is None else stage.add}:
            self._maps[number].trim(self._find_needed(number))

    def _inside(self, source: int, target: int) -> tuple[slice, slice, slice, slice]:
        """Return the index of the columns of a map in those of a map that is added to it."""
        columns = self._maps[target].region.columns.inside(self._maps[source].region.columns)
        return (slice(None), slice(None), slice(None), columns)

    def _find_ready(self, at: int) -> int:
        """Return the row up to which a stage can compute with the rows that its input has."""
        target, done = self._maps[at + 1], self._maps[at].done
        rows = range(target.done, target.region.rows.stop)
        return target.done + bisect_right(rows, done, key=lambda row: self._reach(at, Span(row, row + 1)).stop)

    def _find_needed(self, number: int) -> int:
        """Return the first row of a map that somebody has yet to read."""
        tops = [self._maps[number].done]
        for at in self._readers[number]:
            target = self._maps[at + 1]
            if target.done < target.region.rows.stop:
                row = Span(target.done, target.done + 1)
                tops += [row.start] if number == self._stages[at].add else []
                tops += [self._reach(at, row).start] if number == at else []
        return min(tops)

    def _reach(self, at: int, rows: Span) -> Span:
        """Return the rows of its input that a stage reads for some of its output."""
        return self._stages[at].step.reach(rows).clip(self._extents[at].height)
