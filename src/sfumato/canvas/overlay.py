"""Pixels of a canvas with some of its squares replaced, beside what was there: what changes costs room, nothing is copied.

The squares lie one below the other in a canvas of their own. Knows no file. Start reading at `OverlayPixels`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas import grid
from sfumato.canvas.pixels import PixelStore
from sfumato.core.geometry import PixelBox, PixelSize


class CropView:
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


def crop_pixels(store: PixelStore, size: PixelSize) -> PixelStore:
    """Return the upper left of a canvas, or the canvas itself where that is all of it."""
    return store if store.size == size else CropView(store, size)


Pixels = NDArray[np.uint8]


class OverlayPixels:
    """Show `own` squares where there are some, and elsewhere the canvas below, which is never written to. A leaf."""

    def __init__(self, below: PixelStore, places: Sequence[PixelBox], own: PixelStore) -> None:
        """Take the squares that `own` holds, in its order; its size is what `measure_own` says."""
        assert own.size == measure_own(places), "every square has its place"
        self.size = below.size
        self._below, self._own = below, own
        self._numbers = {(place.left, place.top): number for number, place in enumerate(places)}

    def read(self, box: PixelBox) -> Pixels:
        """Return a copy of a box."""
        parts = list(self._find(box))
        is_covered = sum(part.area for part, _ in parts) == box.area
        found = np.empty((box.height, box.width, 3), np.uint8) if is_covered else self._below.read(box)
        for part, place in parts:
            found[part.shift(-box.left, -box.top).slices_hw] = self._own.read(place)
        return found

    def write(self, box: PixelBox, values: Pixels) -> None:
        """Replace what lies in the squares; the rest of the box is let go."""
        for part, place in self._find(box):
            self._own.write(place, values[part.shift(-box.left, -box.top).slices_hw])

    def flush(self) -> None:
        """Make everything written so far survive a power cut."""
        self._own.flush()

    def close(self) -> None:
        """Let go of the squares; the canvas below belongs to somebody else."""
        self._own.close()

    def _find(self, box: PixelBox) -> Iterator[tuple[PixelBox, PixelBox]]:
        """Yield the parts of a box that lie in squares, and where they are held."""
        for square in grid.find_grid_boxes(self.size, (box,)):
            number, part = self._numbers.get((square.left, square.top)), square.find_overlap(box)
            if number is not None and part is not None:
                yield part, part.shift(-square.left, number * grid.SIDE_PX - square.top)


def measure_own(places: Sequence[PixelBox]) -> PixelSize:
    """Return the size of the canvas that holds some squares."""
    return PixelSize(grid.SIDE_PX, grid.SIDE_PX * len(places))
