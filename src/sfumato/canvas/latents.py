"""The latents of a canvas, float32 [channels, height, width], in memory or in a file, behind one interface.

Knows boxes of cells and numbers, no torch and no sampler. Start reading at `LatentStore`, then
`make_latents`; the file is in `mapped_latents`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.mapped_latents import MappedLatents, create_file
from sfumato.core.errors import StorageError
from sfumato.core.geometry import LatentBox, LatentSize

Values = NDArray[np.float32]
_FLOAT_BYTES = 4


class LatentStore(Protocol):
    """A canvas of latents, zero at first. Boxes lie on the canvas; values are float32 [channels, height, width]."""

    @property
    def size(self) -> LatentSize:
        """Return width and height in cells."""
        ...

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        ...

    def read(self, box: LatentBox) -> Values:
        """Return a copy of a box."""
        ...

    def write(self, box: LatentBox, values: Values) -> None:
        """Replace a box."""
        ...

    def add(self, box: LatentBox, values: Values) -> None:
        """Add to a box, cell by cell."""
        ...

    def flush(self, *, durable: bool = True) -> None:
        """Make everything written so far what a reopened store gives back; `durable` survives a power cut too."""
        ...

    def close(self) -> None:
        """Flush and let go of the memory or the file."""
        ...


class MemoryLatents:
    """Keep a canvas in memory; nothing of it outlives the process."""

    def __init__(self, size: LatentSize, channels: int) -> None:
        """Start with zeros."""
        self.size, self.channels = size, channels
        self._values: Values = np.zeros((channels, *size.shape_hw), np.float32)

    def read(self, box: LatentBox) -> Values:
        """Return a copy of a box."""
        return self._find(box).copy()

    def write(self, box: LatentBox, values: Values) -> None:
        """Replace a box."""
        self._find(box)[...] = values

    def add(self, box: LatentBox, values: Values) -> None:
        """Add to a box, cell by cell."""
        self._find(box)[...] += values

    def flush(self, *, durable: bool = True) -> None:
        """Do nothing: there is nowhere to flush to."""

    def close(self) -> None:
        """Let go of the memory."""
        self._values = np.empty((0, 0, 0), np.float32)

    def _find(self, box: LatentBox) -> Values:
        assert self.size.box.contains(box), "a box of the engine lies on its canvas"
        return self._values[(slice(None), *box.slices_hw)]


def count_latent_bytes(size: LatentSize, channels: int) -> int:
    """Return what the numbers of a canvas take."""
    return size.area * channels * _FLOAT_BYTES


def make_latents(size: LatentSize, channels: int, *, path: Path, most_memory_bytes: int) -> LatentStore:
    """Make a canvas of zeros: in memory up to a limit, beyond it in a file at `path`.

    With a limit of 0 it is always a file, which a crash does not take away.

    Raises:
        StorageError: the disk has no room for it; nothing is left behind.
    """
    if count_latent_bytes(size, channels) <= most_memory_bytes:
        return MemoryLatents(size, channels)
    create_file(path, size, channels)
    return MappedLatents(path)


def open_latents(path: Path) -> LatentStore:
    """Open the file of a canvas again, with the values of its last flush.

    Raises:
        StorageError: there is no such file, or it is damaged.
    """
    store = MappedLatents(path)
    try:
        store.check_bands()
    except StorageError:
        store.close()
        raise
    return store
