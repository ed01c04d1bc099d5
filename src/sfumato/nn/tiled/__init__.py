"""Convolutional networks run tile by tile, equal to the whole, in memory that the caller sets.

Start reading at `layers`, then `local` (no statistics), `sweeps` and `run` (with them).
"""

from sfumato.nn.tiled.checkpoint import Keeper, Mark, Notes
from sfumato.nn.tiled.halo import list_extents, list_reach, run_local
from sfumato.nn.tiled.layers import (
    Attend,
    Conv,
    Extent,
    Flowing,
    Fork,
    Join,
    Layer,
    Linear,
    Local,
    Norm,
    Plain,
    Silu,
    Upsample,
)
from sfumato.nn.tiled.line_buffer import Pace, run_rows
from sfumato.nn.tiled.map_store import MemoryShelf, Shelf
from sfumato.nn.tiled.memory_limits import Room
from sfumato.nn.tiled.passes import Program, Storage, make_program
from sfumato.nn.tiled.regions import Band
from sfumato.nn.tiled.run import run_program
from sfumato.nn.tiled.source_sink import Ends

__all__ = [
    "Attend",
    "Band",
    "Conv",
    "Ends",
    "Extent",
    "Flowing",
    "Fork",
    "Join",
    "Keeper",
    "Layer",
    "Linear",
    "Local",
    "Mark",
    "MemoryShelf",
    "Norm",
    "Notes",
    "Pace",
    "Plain",
    "Program",
    "Room",
    "Shelf",
    "Silu",
    "Storage",
    "Upsample",
    "list_extents",
    "list_reach",
    "make_program",
    "run_local",
    "run_program",
    "run_rows",
]
