"""Read parts of large pictures: boxes of our own TIFF, DeepZoom and PNG files, level by level.

Opens only what is needed, as far as a format allows. Knows no format itself. Start reading at
`open_region`; `read_reduced` gives a small picture of a large one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Never, Protocol

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.formats.deepzoom_read import DeepZoomRegions
from sfumato.canvas.formats.png_read import PngRegions
from sfumato.canvas.formats.pyramid import Pyramid, Strip, list_halved_sizes
from sfumato.canvas.formats.tiff_read import TiffRegions
from sfumato.canvas.pixels import Pixels
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox, PixelSize

_STRIP_ROWS = 64


class Regions(Protocol):
    """A picture on disk: the sizes of its levels, largest first, and any box of any level."""

    @property
    def sizes(self) -> tuple[PixelSize, ...]:
        """Return the size of every level."""
        ...

    def read(self, box: PixelBox, level: int = 0) -> NDArray[np.uint8]:
        """Return uint8 [height, width, 3] of a box that lies on the level."""
        ...

    def walk(self, level: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield the rows of a level from top to bottom in bands of any height, uint8 [n, width, 3]."""
        ...


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


def open_regions(path: Path | str) -> Regions:
    """Open a picture for reading by boxes.

    Raises:
        RequestError: no such file, another format, or a damaged file.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff"):
        return TiffRegions(path)
    if suffix == ".dzi":
        return DeepZoomRegions(path)
    if suffix == ".png":
        return PngRegions(path)
    raise RequestError("parts are read from .tif, .dzi and .png", got=path.name)


def open_region(path: Path | str, box: PixelBox, *, level: int = 0) -> NDArray[np.uint8]:
    """Read one box of a picture as uint8 [height, width, 3].

    Raises:
        RequestError: the box or level is not in the picture, or the file is damaged or of another format.
    """
    regions = open_regions(path)
    if not 0 <= level < len(regions.sizes):
        raise RequestError(f"the picture has levels 0 to {len(regions.sizes) - 1}", got=level)
    size = regions.sizes[level]
    if not size.box.contains(box):
        raise RequestError(f"the box lies outside the picture of {size}", got=box)
    return regions.read(box, level)


def read_reduced(path: Path | str, *, most_px: int) -> NDArray[np.uint8]:
    """Return a picture halved until both sides are at most `most_px`, as uint8 [height, width, 3].

    Levels that are in the file are used; what is missing is made band by band.

    Raises:
        RequestError: no such file, another format, or a damaged file.
    """
    regions = open_regions(path)
    whole = list_halved_sizes(regions.sizes[0], until_px=most_px)
    start = min(len(whole), len(regions.sizes)) - 1
    sizes = whole[start:]
    found = np.empty((*sizes[-1].shape_hw, 3), np.uint8)

    def keep(strip: Strip) -> None:
        if strip.level == len(sizes) - 1:
            top = strip.index * _STRIP_ROWS
            found[top : top + len(strip.rows)] = strip.rows

    pyramid = Pyramid(sizes, _STRIP_ROWS, 0, keep)
    for rows in regions.walk(start):
        pyramid.write(rows)
    return found
