"""Convolutional networks run tile by tile, equal to the whole, in memory that the caller sets.

Start reading at `layers`, then `local` (no statistics), `sweeps` and `run` (with them).
"""

from sfumato.nn.streamed.ends import Ends
from sfumato.nn.streamed.layers import (
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
from sfumato.nn.streamed.local import list_extents, list_reach, run_local
from sfumato.nn.streamed.marks import Keeper, Mark, Notes
from sfumato.nn.streamed.regions import Band
from sfumato.nn.streamed.room import Room
from sfumato.nn.streamed.rows import Pace, run_rows
from sfumato.nn.streamed.run import run_program
from sfumato.nn.streamed.shelves import MemoryShelf, Shelf
from sfumato.nn.streamed.sweeps import Program, Storage, make_program

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
