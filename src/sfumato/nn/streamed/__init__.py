"""Convolutional networks run tile by tile, equal to the whole, in memory that the caller sets.

Start reading at `layers`, then `sweeps` and `run`.
"""

from sfumato.nn.streamed.layers import Attend, Conv, Extent, Fork, Join, Layer, Linear, Norm, Silu, Upsample
from sfumato.nn.streamed.run import Room, run_program
from sfumato.nn.streamed.shelves import MemoryShelf, Shelf
from sfumato.nn.streamed.sweeps import Program, Storage, make_program

__all__ = [
    "Attend",
    "Conv",
    "Extent",
    "Fork",
    "Join",
    "Layer",
    "Linear",
    "MemoryShelf",
    "Norm",
    "Program",
    "Room",
    "Shelf",
    "Silu",
    "Storage",
    "Upsample",
    "make_program",
    "run_program",
]
