"""Read parts of large pictures: boxes of our own TIFF, DeepZoom and PNG files, level by level.

Opens only what is needed, as far as a format allows. Knows no format itself. Start reading at
`open_region`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sfumato.core.canvas.deepzoom_regions import DeepZoomRegions
from sfumato.core.canvas.png_regions import PngRegions
from sfumato.core.canvas.tiff_regions import TiffRegions
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox, PixelSize


class Regions(Protocol):
    """A picture on disk: the sizes of its levels, largest first, and any box of any level."""

    @property
    def sizes(self) -> tuple[PixelSize, ...]:
        """Return the size of every level."""
        ...

    def read(self, box: PixelBox, level: int = 0) -> NDArray[np.uint8]:
        """Return uint8 [height, width, 3] of a box that lies on the level."""
        ...


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
