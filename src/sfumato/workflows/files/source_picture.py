"""The picture that is to grow: described for a request, and opened for the engine, whole or in bands.

Pictures up to the largest that is taken from outside are decoded at once; our own .tif files, and 8-bit
colour PNG beyond that, are read in bands. Everything else about `sfumato upscale` is `generate`.
Start reading at `make_picture_source`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sfumato.canvas.formats.images import count_decode_bytes, file_sha256, load_picture, read_size
from sfumato.canvas.formats.png_read import PngRegions
from sfumato.canvas.formats.read import open_regions
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import PictureSource
from sfumato.core.settings import load_settings
from sfumato.render.cohesive.input_picture import SourcePicture
from sfumato.render.sampling.latent_rows import cut_rows
from sfumato.render.sampling.pixels import BAND_ROWS, flatten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sfumato.canvas.formats.read import Regions

_TIFF_SUFFIXES = (".tif", ".tiff")


def make_picture_source(path: Path) -> PictureSource:
    """Describe a picture that is to grow: where it is, what it is, and its size upright.

    Raises:
        RequestError: no such file, another format, or a damaged file.
        UnsafeFileError: it has more pixels than pictures from outside may have, or a text chunk is a bomb.
    """
    digest = file_sha256(path, what="the picture to grow")
    regions = _find_regions(path)
    size = read_size(path) if regions is None else regions.sizes[0]
    # A stored request is repeated in another folder too.
    return PictureSource(path=str(path.resolve()), sha256=digest, size=size)


def count_source_bytes(path: Path) -> int:
    """Return the memory that a picture to grow takes while it is decoded; 0 where it is read in bands.

    Raises: as `make_picture_source`.
    """
    return count_decode_bytes(path) if _find_regions(path) is None else 0


def open_picture(path: Path) -> SourcePicture:
    """Open a picture for reading in bands; one that is decoded whole is decoded once now, to see that it can be.

    Raises: as `make_picture_source`.
    """
    regions = _find_regions(path)
    if regions is not None:
        return SourcePicture(regions.sizes[0], regions.walk)
    return SourcePicture(PixelSize(*load_picture(path).size), partial(_walk_whole, path))


def _find_regions(path: Path) -> Regions | None:
    """Return a reader in bands of a picture, None where it is decoded whole."""
    if path.suffix.lower() == ".dzi":
        got, do = str(path), "Give the .tif or .png of the same picture."
        raise RequestError("the digest of a .dzi says nothing of its tiles, so no request can name it", got=got, do=do)
    return open_regions(path) if path.suffix.lower() in _TIFF_SUFFIXES else _find_large_png(path)


def _find_large_png(path: Path) -> Regions | None:
    """Return a reader of a PNG that is too large to be decoded at once, None where it is not or cannot be read so."""
    if path.suffix.lower() != ".png":
        return None
    try:
        regions = PngRegions(path)
    except RequestError:
        # Another kind of PNG, or none at all; who decodes it whole says what is wrong.
        return None
    return regions if regions.sizes[0].area > load_settings().max_picture_pixels else None


def _walk_whole(path: Path) -> Iterator[NDArray[np.uint8]]:
    picture = flatten(load_picture(path))
    for rows in cut_rows(picture.height, BAND_ROWS):
        yield np.asarray(picture.crop((0, rows.start, picture.width, rows.stop)))
