"""What a request says of a change to a picture: which box alone is drawn, and how a masked part is filled before.

Knows words and boxes; no picture. Start reading at `CropBox`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sfumato.core.errors import RequestError
from sfumato.core.focus import LARGEST_COORDINATE_PX
from sfumato.core.geometry import PixelBox
from sfumato.core.validate import check_int

# What stands in a masked part before it is drawn: itself, the colours around it, noise, or plain grey.
FILLS = ("original", "surround", "noise", "grey")
MOST_BLUR_PX, MOST_PADDING_PX, MOST_BORDER_PX = 256, 4096, 16_384
_BORDERS = re.compile(r"\s*(\d{1,5})\s*,\s*(\d{1,5})\s*,\s*(\d{1,5})\s*,\s*(\d{1,5})\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class CropBox:
    """Name the box of `init`, in px, that alone is drawn, at the request's size; the result is put back into the picture."""

    left: int
    top: int
    width: int
    height: int

    def __post_init__(self) -> None:
        for name in ("left", "top"):
            check_int(f"the {name} of the box that is drawn", getattr(self, name), low=0, high=LARGEST_COORDINATE_PX)
        for name in ("width", "height"):
            check_int(f"the {name} of the box that is drawn", getattr(self, name), low=1, high=LARGEST_COORDINATE_PX)

    @property
    def box(self) -> PixelBox:
        """Return the box in px of the picture."""
        return PixelBox(self.left, self.top, self.left + self.width, self.top + self.height)


@dataclass(frozen=True, slots=True, kw_only=True)
class Borders:
    """Say how many px a picture grows on each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __post_init__(self) -> None:
        sides = (self.left, self.top, self.right, self.bottom)
        for side in sides:
            check_int("a side of `outpaint`", side, low=0, high=MOST_BORDER_PX)
        if not any(sides):
            raise RequestError("`outpaint` adds nothing", got="0,0,0,0", do="Say LEFT,TOP,RIGHT,BOTTOM in px.")

    @classmethod
    def parse(cls, text: str) -> Borders:
        """Read `LEFT,TOP,RIGHT,BOTTOM`, or one number for all sides.

        Raises:
            RequestError: the text is something else.
        """
        match = _BORDERS.fullmatch(",".join([text] * 4) if text.strip().isdecimal() else text)
        if match is None:
            do = "Write LEFT,TOP,RIGHT,BOTTOM, as 0,0,128,0."
            raise RequestError("`outpaint` is one number or four with commas between", got=text, do=do)
        left, top, right, bottom = (int(number) for number in match.groups())
        return cls(left=left, top=top, right=right, bottom=bottom)
