"""The `.dzi` file of a DeepZoom picture: size, tiles, our texts and the digest of the tiles.

Knows its XML; opens no tile. Other viewers pass over our two elements, which have a namespace of
their own. Source: the DZI schema of 2008. Start reading at `DeepZoomIndex`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape, unescape

from sfumato.canvas.formats.text_chunk import parse_texts, write_texts
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.validate import check_int

LONGEST_BYTES = 4 * 1024 * 1024
_SCHEMA, _OURS = "http://schemas.microsoft.com/deepzoom/2008", "urn:sfumato:picture"
_IMAGE, _SIZE = re.compile(r"<Image\b([^<>]*)>"), re.compile(r"<Size\b([^<>]*)>")
# A name begins where none is before it, and nothing is tried twice: the time is linear in the text.
_ATTRIBUTE = re.compile(r"""(?<![\w:])([\w:]++)\s*+=\s*+["']([^"']*+)["']""")
_TEXTS = re.compile(r"<sf:Texts>([^<>]*)</sf:Texts>")
_LARGEST_TILE_PX, _LARGEST_OVERLAP_PX = 4096, 64
# Rows are read whole; the longest that a request of ours has.
_LONGEST_SIDE_PX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepZoomIndex:
    """What a .dzi file says; `suffix` is that of the tiles, png or jpg."""

    size: PixelSize
    tile_px: int
    overlap_px: int
    suffix: str
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    tiles_sha256: str = ""

    def to_xml(self) -> str:
        """Write the file."""
        attributes = f'Format="{self.suffix}" Overlap="{self.overlap_px}" TileSize="{self.tile_px}"'
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<Image xmlns="{_SCHEMA}" xmlns:sf="{_OURS}" {attributes}>\n'
            f'  <Size Width="{self.size.width}" Height="{self.size.height}"/>\n'
            f'  <sf:Tiles sha256="{self.tiles_sha256}"/>\n'
            f"  <sf:Texts>{escape(write_texts(self.texts), quote=False)}</sf:Texts>\n"
            "</Image>\n"
        )


def parse_index(raw: bytes) -> DeepZoomIndex:
    """Read a .dzi file by what we need of it; nothing in it is expanded or fetched.

    Raises:
        RequestError: it is no DeepZoom description, or a number is out of range.
    """
    text = raw.decode(errors="replace")
    image, size = (_find_attributes(pattern, text) for pattern in (_IMAGE, _SIZE))
    texts = _TEXTS.search(text)
    try:
        found = DeepZoomIndex(
            size=PixelSize(int(size["Width"]), int(size["Height"])),
            tile_px=int(image["TileSize"]),
            overlap_px=int(image["Overlap"]),
            suffix={"png": "png", "jpg": "jpg", "jpeg": "jpeg"}[image["Format"].lower()],
            texts=parse_texts(unescape(texts[1])) if texts else {},
        )
    except (KeyError, ValueError) as error:
        raise RequestError("the .dzi file is no description of a picture", got=str(error)) from error
    check_int("a side of the picture", max(found.size.width, found.size.height), low=1, high=_LONGEST_SIDE_PX)
    check_int("the side of a tile", found.tile_px, low=1, high=_LARGEST_TILE_PX)
    check_int("the overlap of tiles", found.overlap_px, low=0, high=_LARGEST_OVERLAP_PX)
    return found


def _find_attributes(pattern: re.Pattern[str], text: str) -> dict[str, str]:
    found = pattern.search(text)
    return dict(_ATTRIBUTE.findall(found[1])) if found else {}
