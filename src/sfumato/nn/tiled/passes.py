"""A sequence of layers becomes passes over all tiles, each of which ends where a whole map is needed.

A normalisation needs the statistics of its whole input and an attention all of its pixels, so the
layers before it run over every tile first. Every convolution runs once, except the few whose output is
larger than what it would save. Pure arithmetic over extents. Start reading at `make_program`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from sfumato.nn.tiled.layers import Attend, Conv, Extent, Fork, Join, Layer, Norm, Plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INPUT, OUTPUT = 0, -1

Link = Plain | Norm
Kind = TypeVar("Kind", Attend, Fork, Join, Norm)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapPass:
    """One pass over all tiles of a value: `chain` applied to `source`, plus `add` where there is one.

    The value is kept as map `keep`, passed through `shortcut` into map `side`, and measured for
    `norm`, each where there is one. `extents` are those of the source and after each link.
    """

    source: int
    chain: tuple[Link, ...]
    extents: tuple[Extent, ...]
    attend: Attend | None = None
    add: int | None = None
    keep: int | None = None
    shortcut: Conv | None = None
    side: int | None = None
    norm: Norm | None = None

    @property
    def value(self) -> Extent:
        """Return the extent of what it computes."""
        return self.extents[-1]

    @property
    def replaces(self) -> bool:
        """Tell whether it writes over the map that it adds."""
        return self.keep is not None and self.keep == self.add

    @property
    def maps(self) -> set[int]:
        """Return the maps it reads or writes."""
        return {one for one in (self.source, self.add, self.keep, self.side) if one is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """The passes of a network for one size, and the extent of every map they keep."""

    passes: tuple[MapPass, ...]
    maps: tuple[Extent, ...]

    @property
    def output(self) -> Extent:
        """Return the extent of the result."""
        return self.passes[-1].value

    def live(self) -> Iterator[set[int]]:
        """Yield for each pass the kept maps that exist while it runs, without input and output."""
        spans = {
            one: [at for at, map_pass in enumerate(self.passes) if one in map_pass.maps]
            for one in range(len(self.maps))
        }
        for at in range(len(self.passes)):
            yield {one for one, used in spans.items() if one != INPUT and used[0] <= at <= used[-1]}

    def peak_count(self) -> int:
        """Count the numbers of all kept maps where they are most."""
        return max(sum(self.maps[one].count for one in live) for live in self.live())

    def store(self, room_bytes: int, itemsize: int) -> Storage:
        """Choose which maps stay in memory: each that still fits when it is made.

        Depends on sizes alone, so that a plan knows it before anything runs.
        """
        offloaded: set[int] = set()
        seen: set[int] = set()
        inside = outside = 0
        for live in self.live():
            for one in sorted(live - seen):
                held = sum(self.maps[other].count for other in (live & seen) - offloaded) + self.maps[one].count
                if held * itemsize > room_bytes:
                    offloaded.add(one)
                seen.add(one)
            inside = max(inside, sum(self.maps[one].count for one in live - offloaded) * itemsize)
            outside = max(outside, sum(self.maps[one].count for one in live & offloaded) * itemsize)
        return Storage(frozenset(offloaded), inside, outside)


@dataclass(frozen=True, slots=True)
class Storage:
    """Which kept maps do not stay in memory, and the most bytes of both kinds at one time."""

    offloaded: frozenset[int]
    memory_bytes: int
    spill_bytes: int


def make_program(layers: Sequence[Layer], start: Extent) -> Program:
    """Return the passes of a network over an input of this extent.

    Where a block's input branches through a convolution, its main path can be kept or computed
    again from the map before; it is kept only where that does not raise the peak.
    """
    lean = _Walk(start, frozenset()).walk(layers)
    kept: frozenset[int] = frozenset()
    for cut in range(len(lean.passes)):
        tried = _Walk(start, kept | {cut}).walk(layers)
        if len(tried.maps) > len(lean.maps) + len(kept) and tried.peak_count() <= lean.peak_count():
            kept |= {cut}
    return _Walk(start, kept).walk(layers)


class _Walk:
    """Walk over the layers with the map and the chain that lead to the current value."""

    def __init__(self, start: Extent, kept: frozenset[int]) -> None:
        self.maps = [start]
        self.passes: list[MapPass] = []
        self.kept = kept
        self.source = INPUT
        self.chain: list[Link] = []
        self.side: int | None = None

    def walk(self, layers: Sequence[Layer]) -> Program:
        rest = list(layers)
        while rest:
            if isinstance(rest[0], Fork | Join | Norm | Attend):
                self._cut(rest)
            else:
                self.chain.append(rest.pop(0))  # pyright: ignore[reportArgumentType]
        self.passes.append(replace(self._make(), keep=OUTPUT))
        return Program(tuple(self.passes), tuple(self.maps))

    def _make(self) -> MapPass:
        extents = [self.maps[self.source]]
        for link in self.chain:
            extents.append(link.grow(extents[-1]))
        return MapPass(source=self.source, chain=tuple(self.chain), extents=tuple(extents))

    def _cut(self, rest: list[Layer]) -> None:
        """Take the layers that look at the current value off the list and make one pass of them."""
        attend = _take(rest, Attend)
        join = _take(rest, Join)
        fork = _take(rest, Fork)
        norm = _take(rest, Norm)
        assert attend is None or join is not None, "an attention stands right before a join"
        assert join is None or self.chain or attend, "a block adds something of its own"
        map_pass = replace(self._make(), attend=attend, norm=norm, add=self.side if join else None)
        if self._has_to_keep(map_pass, fork):
            # Only a pass that reads no neighbours of a map may write over it.
            again = join is not None and attend is None and self.side != self.source
            map_pass = replace(map_pass, keep=self.side if again else self._new(map_pass.value))
        if fork is not None and fork.shortcut is not None:
            map_pass = replace(map_pass, shortcut=fork.shortcut, side=self._new(fork.shortcut.grow(map_pass.value)))
        if map_pass.keep is not None or map_pass.side is not None or norm is not None:
            self.passes.append(map_pass)
        if map_pass.keep is not None:
            self.source, self.chain = map_pass.keep, []
        if fork is not None:
            self.side = self.source if map_pass.side is None else map_pass.side
        if norm is not None:
            self.chain.append(norm)

    def _has_to_keep(self, map_pass: MapPass, fork: Fork | None) -> bool:
        if map_pass.attend is not None or map_pass.add is not None:
            return True
        if not any(isinstance(link, Conv) for link in self.chain):
            return False
        return fork is None or fork.shortcut is None or len(self.passes) in self.kept

    def _new(self, extent: Extent) -> int:
        self.maps.append(extent)
        return len(self.maps) - 1


def _take(rest: list[Layer], kind: type[Kind]) -> Kind | None:
    if rest and isinstance(rest[0], kind):
        first = rest.pop(0)
        assert isinstance(first, kind)
        return first
    return None
