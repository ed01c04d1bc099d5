"""Run layers without statistics tile by tile: the exact halo of every layer, nothing kept between tiles.

The one place that turns the wish for a tile into what has to be read for it. Decides no size of
tiles. Start reading at `run_local`, then `run_chain`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sfumato.nn.tiled.checkpoint import TileCheckpoint
from sfumato.nn.tiled.regions import Region

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from sfumato.nn.tiled.checkpoint import Notes
    from sfumato.nn.tiled.layers import Extent, Plain
    from sfumato.nn.tiled.regions import Span
    from sfumato.nn.tiled.source_sink import Read, SourceSink


class Step(Protocol):
    """A layer that knows what each part of its output reads of its input."""

    def reach(self, want: Span) -> Span:
        """Return what a span of its output reads of its input; may lie partly outside."""
        ...

    def run(self, x: Tensor, have: Region, want: Region) -> Tensor:
        """Compute a region of the output from the region of the input that it reaches."""
        ...


def run_local(
    layers: Sequence[Plain], start: Extent, source_sink: SourceSink, tiles: Iterable[Region], notes: Notes | None = None
) -> None:
    """Run layers over an input of an extent and write the given tiles of the output, in float32.

    Each tile equals that region of the whole up to the order of additions, wherever its borders are.
    What a tile reads beyond itself shrinks from layer to layer, so the margin costs little at the full size.
    With notes it goes on after the tiles that are done, and notes every finished row of tiles.
    """
    extents, tiles = list_extents(layers, start), list(tiles)
    last_column = max(tile.columns.stop for tile in tiles)
    done = notes.checkpoint.tiles if notes is not None and notes.checkpoint is not None else 0
    for count, tile in enumerate(tiles[done:], start=done + 1):
        source_sink.write(tile, run_chain(layers, extents, source_sink.read, tile).float())
        if notes is not None and tile.columns.stop == last_column:
            notes.note(TileCheckpoint(tiles=count))


def list_extents(layers: Sequence[Plain], start: Extent) -> list[Extent]:
    """Return the extent of the input and of what comes out of each layer."""
    extents = [start]
    for layer in layers:
        extents.append(layer.grow(extents[-1]))
    return extents


def list_reach(steps: Sequence[Step], extents: Sequence[Extent], region: Region) -> list[Region]:
    """Return what a region of the output reads of the input and of each map on the way, itself last."""
    wants = [region]
    for step, extent in zip(reversed(steps), reversed(extents[:-1]), strict=True):
        first = wants[0]
        wants.insert(0, Region(step.reach(first.rows), step.reach(first.columns)).clip(extent.height, extent.width))
    return wants


def run_chain(steps: Sequence[Step], extents: Sequence[Extent], read: Read, region: Region) -> Tensor:
    """Compute one tile: find what each step reads, from the last to the first, then run them."""
    wants = list_reach(steps, extents, region)
    value = read(wants[0])
    for step, have, want in zip(steps, wants, wants[1:], strict=False):
        value = step.run(value, have, want)
    return value
