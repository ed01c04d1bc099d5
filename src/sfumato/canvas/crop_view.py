"""The upper left of a canvas as a canvas of its own; nothing is copied.

Knows no file. Start reading at `CutPixels`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.pixels import PixelStore
from sfumato.core.geometry import PixelBox, PixelSize


class CutPixels:
    """Show a canvas without what lies right of or below a size. A leaf."""

    def __init__(self, below: PixelStore, size: PixelSize) -> None:
        """Take the size, which lies on the canvas."""
        assert below.size.box.contains(size.box), "nothing is shown that is not there"
        self.size = size
        self._below = below

    def read(self, box: PixelBox) -> NDArray[np.uint8]:
        """Return a copy of a box."""
        return self._below.read(box)

    def write(self, box: PixelBox, values: NDArray[np.uint8]) -> None:
        """Replace a box."""
        self._below.write(box, values)

    def flush(self) -> None:
        """Make everything written so far survive a power cut."""
        self._below.flush()

    def close(self) -> None:
        """Let go of the canvas."""
        self._below.close()


def cut_pixels(store: PixelStore, size: PixelSize) -> PixelStore:
    """Return the upper left of a canvas, or the canvas itself where that is all of it."""
    return store if store.size == size else CutPixels(store, size)
