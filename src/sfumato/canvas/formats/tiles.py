"""How tiles are packed: their side, and lossless or JPEG; and one tile to bytes and back.

Knows no file around the tiles. Start reading at `TileEncoding`.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.validate import check_int


def read_mosaic(
    box: PixelBox, tile_px: int, read_tile: Callable[[int, int], tuple[NDArray[np.uint8], PixelBox]]
) -> NDArray[np.uint8]:
    """Return uint8 [height, width, 3] of `box`.

    `read_tile` gives for a column and a row of tiles the pixels and the box of the picture they cover.
    """
    found = np.empty((box.height, box.width, 3), np.uint8)
    for row in range(box.top // tile_px, -(-box.bottom // tile_px)):
        for column in range(box.left // tile_px, -(-box.right // tile_px)):
            tile, covered = read_tile(column, row)
            part = box.find_overlap(covered)
            assert part is not None, "only tiles that touch the box are asked for"
            inside = part.shift(-covered.left, -covered.top).slices_hw
            found[part.shift(-box.left, -box.top).slices_hw] = tile[inside]
    return found


def list_rows(size: PixelSize, tile_px: int) -> Iterator[PixelBox]:
    """Yield the box of each row of tiles, from top to bottom."""
    for top in range(0, size.height, tile_px):
        yield PixelBox(0, top, size.width, min(top + tile_px, size.height))


Tile = NDArray[np.uint8]
_SMALLEST_TILE_PX, _LARGEST_TILE_PX = 16, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TileEncoding:
    """Say how a picture is packed; what is None the format decides.

    `tile_px` is the side of a tile, in TIFF a multiple of 16. `jpeg_quality` makes tiles
    lossy. `effort` is zlib's, 0 to 9; 6 is its own default.
    """

    tile_px: int | None = None
    jpeg_quality: int | None = None
    effort: int = 6

    def __post_init__(self) -> None:
        """Raise RequestError where a number is out of range."""
        check_int("the effort of zlib", self.effort, low=0, high=9)
        if self.jpeg_quality is not None:
            check_int("the quality of JPEG", self.jpeg_quality, low=1, high=100)
        if self.tile_px is not None:
            check_int("the side of a tile", self.tile_px, low=_SMALLEST_TILE_PX, high=_LARGEST_TILE_PX)
            if self.tile_px % 2:
                raise RequestError("the side of a tile is an even number", got=self.tile_px)


def encode_png(tile: Tile, effort: int) -> bytes:
    """Return a tile as PNG."""
    stream = io.BytesIO()
    Image.fromarray(tile).save(stream, format="PNG", compress_level=effort)
    return stream.getvalue()


def encode_jpeg(tile: Tile, quality: int) -> bytes:
    """Return a tile as JPEG with full colour resolution."""
    stream = io.BytesIO()
    Image.fromarray(tile).save(stream, format="JPEG", quality=quality, subsampling=0)
    return stream.getvalue()


def decode_image(raw: bytes, *, jpeg: bool) -> Tile:
    """Return the uint8 [h, w, 3] of a small PNG or JPEG; ValueError, OSError or SyntaxError where it is damaged."""
    kind = JpegImagePlugin.JpegImageFile if jpeg else PngImagePlugin.PngImageFile
    with kind(io.BytesIO(raw)) as picture:
        if max(picture.size) > _LARGEST_TILE_PX:
            raise ValueError("a tile is too large")
        return np.asarray(picture.convert("RGB"))


def encode_deflate(tile: Tile, effort: int) -> bytes:
    """Return a tile as horizontal differences, compressed.

    Source: TIFF 6.0, section 14 (Predictor 2), and Adobe Photoshop TIFF Technical Notes (Compression 8).
    """
    differences = tile.copy()
    differences[:, 1:] -= tile[:, :-1]
    return zlib.compress(differences.tobytes(), effort)


def decode_deflate(raw: bytes, side_px: int) -> Tile:
    """Return the uint8 [side, side, 3] of a packed tile; ValueError where it is damaged."""
    count = side_px * side_px * 3
    try:
        # One byte more than is right would show that there is more; nothing is unpacked beyond it.
        flat = zlib.decompressobj().decompress(raw, count + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(flat) != count:
        raise ValueError("a tile holds another number of bytes")
    differences = np.frombuffer(flat, np.uint8).reshape(side_px, side_px, 3)
    return np.cumsum(differences, axis=1, dtype=np.uint8)
