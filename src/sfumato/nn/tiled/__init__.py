"""Convolutional networks run tile by tile, equal to the whole, in memory that the caller sets.

Start reading at `layers`, then `halo` (no statistics), `passes` and `run` (with them).
"""

from sfumato.nn.tiled.checkpoint import Checkpointer, Notes, TileCheckpoint
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
from sfumato.nn.tiled.map_store import MapStore, MemoryMapStore
from sfumato.nn.tiled.memory_limits import MemoryLimits
from sfumato.nn.tiled.passes import Program, Storage, make_program
from sfumato.nn.tiled.regions import Band
from sfumato.nn.tiled.run import run_program
from sfumato.nn.tiled.source_sink import SourceSink

__all__ = [
    "Attend",
    "Band",
    "Checkpointer",
    "Conv",
    "Extent",
    "Flowing",
    "Fork",
    "Join",
    "Layer",
    "Linear",
    "Local",
    "MapStore",
    "MemoryLimits",
    "MemoryMapStore",
    "Norm",
    "Notes",
    "Pace",
    "Plain",
    "Program",
    "Silu",
    "SourceSink",
    "Storage",
    "TileCheckpoint",
    "Upsample",
    "list_extents",
    "list_reach",
    "make_program",
    "run_local",
    "run_program",
    "run_rows",
]
