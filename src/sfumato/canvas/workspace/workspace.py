"""Where a large picture is made: canvases by name, small parts, and a journal of how far it is.

`MemoryWorkspace` forgets all with the process, `disk_space.DiskWorkspace` is a folder. Knows no step or level: an entry is words
and arrays. Start reading at `Workspace`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.latents import LatentStore, MemoryLatents
from sfumato.canvas.pixels import MemoryPixels, PixelStore
from sfumato.core.geometry import LatentSize, PixelSize
from sfumato.core.serialize import Json

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class Entry:
    """Hold what was noted: words (JSON values) and arrays."""

    words: dict[str, Json]
    arrays: dict[str, NDArray[np.generic]] = field(default_factory=dict[str, NDArray[np.generic]])


class Workspace(Protocol):
    """Canvases by name, small parts by name, and a journal with one entry."""

    @property
    def folder(self) -> Path | None:
        """Return where it lies, None where it ends with the process."""
        ...

    def open_latents(self, name: str, size: LatentSize, channels: int) -> LatentStore:
        """Return the canvas of a name: as it was, or zeros."""
        ...

    def open_pixels(self, name: str, size: PixelSize) -> PixelStore:
        """Return the pixels of a name: as they were, or black."""
        ...

    def drop(self, name: str) -> None:
        """Forget a canvas; nothing happens where there is none."""
        ...

    def save_part(self, name: str, arrays: Arrays) -> None:
        """Keep small arrays under a name."""
        ...

    def load_part(self, name: str) -> dict[str, NDArray[np.generic]] | None:
        """Return them, or None where nothing was kept."""
        ...

    def note(self, entry: Entry, *, durable: bool = False) -> None:
        """Replace the entry of the journal; canvases were flushed before, durably where this is to be."""
        ...

    def find_entry(self) -> Entry | None:
        """Return the entry, or None where nothing was noted."""
        ...

    def close(self) -> None:
        """Let go of every canvas."""
        ...


@dataclass(eq=False)
class MemoryWorkspace:
    """Keep everything in memory. A leaf."""

    folder: None = field(init=False, default=None)
    _stores: dict[str, LatentStore | PixelStore] = field(default_factory=dict[str, "LatentStore | PixelStore"])
    _parts: dict[str, dict[str, NDArray[np.generic]]] = field(default_factory=dict[str, dict[str, NDArray[np.generic]]])

    def open_latents(self, name: str, size: LatentSize, channels: int) -> LatentStore:
        """Return a canvas by name."""
        store = self._stores.setdefault(name, MemoryLatents(size, channels))
        assert isinstance(store, MemoryLatents), "a name belongs to one kind of canvas"
        return store

    def open_pixels(self, name: str, size: PixelSize) -> PixelStore:
        """Return pixels by name."""
        store = self._stores.setdefault(name, MemoryPixels(size))
        assert isinstance(store, MemoryPixels), "a name belongs to one kind of canvas"
        return store

    def drop(self, name: str) -> None:
        """Forget a canvas."""
        self._stores.pop(name, None)

    def save_part(self, name: str, arrays: Arrays) -> None:
        """Keep small arrays."""
        self._parts[name] = dict(arrays)

    def load_part(self, name: str) -> dict[str, NDArray[np.generic]] | None:
        """Return what was kept."""
        return self._parts.get(name)

    def note(self, entry: Entry, *, durable: bool = False) -> None:
        """Do nothing: memory does not outlive the process."""
        del entry, durable

    def find_entry(self) -> Entry | None:
        """Return None: nothing is noted."""
        return None

    def close(self) -> None:
        """Let go of everything."""
        self._stores.clear()
