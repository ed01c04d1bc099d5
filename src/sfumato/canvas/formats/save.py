"""Pick the writer of a picture by its suffix: `.png`, `.tif`, `.tiff`, `.dzi`.

The one door to pictures written in bands. Start reading at `open_writer`; `save_canvas` takes a
picture that is in memory already, in any format. What a format cannot hold says `check_place`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.formats.deepzoom_write import DeepZoomSink, check_folder_is_ours, find_tiles_folder
from sfumato.canvas.formats.images import save_picture
from sfumato.canvas.formats.png_write import PngSink
from sfumato.canvas.formats.tiff_write import TiffSink
from sfumato.canvas.formats.tiles import TileEncoding
from sfumato.canvas.formats.write_bands import BandSink, BandWriter
from sfumato.canvas.pixels import PixelStore, cut_bands, list_bands
from sfumato.core.errors import RequestError
from sfumato.core.files import check_path, remove_leftovers
from sfumato.core.geometry import PixelSize

BAND_SUFFIXES = (".png", ".tif", ".tiff", ".dzi")
# Every format that a picture can be written in.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".dzi")
# Formats that hold smaller copies of the picture besides the picture.
PYRAMID_SUFFIXES = (".tif", ".tiff", ".dzi")
# The longest side that the encoders of formats without bands take: libjpeg's limit, and 14 bits of WebP.
_LONGEST_SIDE_PX = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
# Bytes that a pixel of such a picture takes until it is saved, at 2048 and 4096 px a side: the picture itself 4; on top of it
# the encoder of JPEG 0.2 to 0.8, that of lossless WebP 29 for a smooth picture and 38 for noise (docs/large_pictures.md).
_WHOLE_BYTES = {".jpg": 5, ".jpeg": 5, ".webp": 43}
# Rows of a picture in memory handed on at once.
_BAND_ROWS = 256
_PAPER = (255, 255, 255, 255)


def open_writer(
    path: Path | str, size: PixelSize, texts: Mapping[str, str], encoding: TileEncoding | None = None
) -> BandWriter:
    """Open a picture to be written in bands; its texts are those that `read_texts` gives back.

    Raises:
        RequestError: another suffix, an option without effect, or something else is in the place of tiles.
        StorageError: the disk refuses.
    """
    path, encoding = Path(path), encoding or TileEncoding()
    check_place(path, size)
    return BandWriter(path, size, _choose_sink(path, size, texts, encoding))


def save_bands(path: Path | str, size: PixelSize, bands: Iterable[NDArray[np.uint8]], texts: Mapping[str, str]) -> None:
    """Write a picture from its bands, top to bottom; it appears at `path` whole or not at all.

    Raises:
        RequestError: another suffix, or bands that are not the picture.
        StorageError: the disk refuses.
    """
    with open_writer(path, size, texts) as writer:
        for band in bands:
            writer.write_band(band)


def save_canvas(path: Path | str, picture: Image.Image, texts: Mapping[str, str]) -> None:
    """Write a picture that is in memory, in any format there is. Transparent parts of a pyramid are white.

    Raises:
        RequestError: the suffix is unknown.
        StorageError: the disk refuses.
    """
    path = Path(path)
    if path.suffix.lower() not in PYRAMID_SUFFIXES:
        save_picture(path, picture, texts)
        return
    pixels = np.asarray(_flatten(picture))
    bands = (pixels[top : top + _BAND_ROWS] for top in range(0, len(pixels), _BAND_ROWS))
    save_bands(path, PixelSize(*picture.size), bands, texts)


def save_shown(path: Path | str, shown: Image.Image | PixelStore, texts: Mapping[str, str]) -> None:
    """Write a picture, or pixels that may be larger than memory; formats without bands take it whole.

    Raises: as `save_canvas`.
    """
    if isinstance(shown, Image.Image):
        save_canvas(path, shown, texts)
    elif Path(path).suffix.lower() in BAND_SUFFIXES:
        save_bands(path, shown.size, list_bands(shown), texts)
    else:
        save_picture(path, _hold(shown), texts)


def check_place(path: Path, size: PixelSize) -> None:
    """Check, before anything is rendered, that a picture can be written, and that nothing of somebody else has to go for it.

    What processes left there that were killed while they wrote the picture is removed.

    Raises:
        RequestError: the system takes no such name, a folder has that name, a side is longer than the format has, or
            the folder of tiles of a `.dzi` would replace something that is no tile.
    """
    check_path(path, what="the picture")
    remove_leftovers(path)
    if path.is_dir():
        raise RequestError("a folder has the name of the picture", got=str(path), do="Give another `out`.")
    suffix = path.suffix.lower()
    most = _LONGEST_SIDE_PX.get(suffix)
    if most is not None and max(size.width, size.height) > most:
        what = f"a {suffix} picture has at most {most} px a side"
        raise RequestError(what, got=f"{path.name}, {size}", do="Save it as .png, .tif or .dzi.")
    if suffix == ".dzi":
        tiles = find_tiles_folder(path)
        check_path(tiles, what="the folder of tiles")
        remove_leftovers(tiles)
        check_folder_is_ours(path)


def count_whole_bytes(path: Path) -> int:
    """Return the bytes of memory that a pixel takes while a picture is saved; 0 where it is written in bands."""
    return _WHOLE_BYTES.get(path.suffix.lower(), 0)


def _choose_sink(path: Path, size: PixelSize, texts: Mapping[str, str], encoding: TileEncoding) -> BandSink:
    suffix = path.suffix.lower()
    if suffix == ".png":
        if encoding.jpeg_quality is not None or encoding.tile_px is not None:
            raise RequestError("a PNG has no tiles and is never lossy", got=encoding, do="Use .tif or .dzi.")
        return PngSink(path, size, texts, encoding.effort)
    if suffix in (".tif", ".tiff"):
        return TiffSink(path, size, texts, encoding)
    if suffix == ".dzi":
        return DeepZoomSink(path, size, texts, encoding)
    raise RequestError(f"bands are written to {', '.join(BAND_SUFFIXES)}", got=path.name)


def _hold(shown: PixelStore) -> Image.Image:
    """Return pixels as one picture; read whole they would lie in memory twice."""
    picture = Image.new("RGB", (shown.size.width, shown.size.height))
    for box in cut_bands(shown.size):
        picture.paste(Image.fromarray(shown.read(box)), (box.left, box.top))
    return picture


def _flatten(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", picture.size, _PAPER), picture).convert("RGB")
