"""What the critic looks at: a picture in memory, or pixels that lie in a file and are read part by part.

Knows boxes of pixels, no format. Start reading at `PictureReader`.
"""

from __future__ import annotations

from typing import Protocol

from PIL import Image

from sfumato.canvas.pixels import PixelStore
from sfumato.core.geometry import PixelBox


class PictureReader(Protocol):
    """A picture of any size, of which parts are looked at; one of Pillow is one."""

    @property
    def width(self) -> int:
        """Return the width in px."""
        ...

    @property
    def height(self) -> int:
        """Return the height in px."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height in px."""
        ...

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """Return a copy of a part: left, top, right, bottom in px, all of it inside."""
        ...


class StoredPicture:
    """Look at the pixels of a store; only the part that is asked for is in memory. A leaf."""

    def __init__(self, pixels: PixelStore) -> None:
        self._pixels = pixels

    @property
    def width(self) -> int:
        """Return the width in px."""
        return self._pixels.size.width

    @property
    def height(self) -> int:
        """Return the height in px."""
        return self._pixels.size.height

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height in px."""
        return (self.width, self.height)

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """Return a copy of a part: left, top, right, bottom in px."""
        return Image.fromarray(self._pixels.read(PixelBox(*box)))
