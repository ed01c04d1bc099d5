"""A picture on disk as a canvas that is only read.

Knows the regions of a file. Start reading at `RegionPixels`.
"""

from __future__ import annotations

from typing import Never

from sfumato.canvas.formats.read import Regions
from sfumato.canvas.pixels import Pixels
from sfumato.core.geometry import PixelBox, PixelSize


class RegionPixels:
    """Show the largest level of a picture on disk as a `PixelStore`."""

    def __init__(self, regions: Regions) -> None:
        """Take an open picture."""
        self._regions = regions

    @property
    def size(self) -> PixelSize:
        """Return width and height in px."""
        return self._regions.sizes[0]

    def read(self, box: PixelBox) -> Pixels:
        """Return a copy of a box."""
        return self._regions.read(box)

    def write(self, box: PixelBox, values: Pixels) -> Never:
        """Refuse: the picture belongs to somebody else."""
        raise AssertionError(f"a picture that is only read was written to at {box}, {values.shape}")

    def flush(self) -> None:
        """Do nothing: nothing was written."""

    def close(self) -> None:
        """Do nothing: the file is opened for every read."""
