"""What a request says of anatomy: whether hands are checked or repaired, which, and what becomes of those that stay wrong.

Knows words and boxes; no picture, no critic and no model. Start reading at `AnatomySettings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sfumato.core.errors import RequestError
from sfumato.core.focus import LARGEST_COORDINATE_PX, MOST_BOXES
from sfumato.core.geometry import PixelBox
from sfumato.core.validate import check_float, check_int

OFF, CHECK, REPAIR = "off", "check", "repair"
FLAG, WITHHOLD = "flag", "withhold"
CAUSES_TOLD = ("extra", "missing", "fused", "split", "third-limb", "wrong-side")
"""What a user may say is wrong with a hand: the critic looks for the first four itself."""
MOST_ROUNDS, MOST_CANDIDATES = 3, 8
_BOX = re.compile(r"\s*(\d{1,7})\s*,\s*(\d{1,7})\s*,\s*(\d{1,7})\s*,\s*(\d{1,7})\s*(?::\s*([a-z-]+)\s*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandBox:
    """Name one hand of the finished picture by its box, in px, and what is wrong with it; no cause leaves that to the critic."""

    left: int
    top: int
    width: int
    height: int
    cause: str = ""

    def __post_init__(self) -> None:
        for name in ("left", "top"):
            check_int(f"the {name} of a hand's box", getattr(self, name), low=0, high=LARGEST_COORDINATE_PX)
        for name in ("width", "height"):
            check_int(f"the {name} of a hand's box", getattr(self, name), low=1, high=LARGEST_COORDINATE_PX)
        if self.cause and self.cause not in CAUSES_TOLD:
            raise RequestError("a hand is wrong in another way", got=self.cause, do=f"Say {', '.join(CAUSES_TOLD)}.")

    @property
    def box(self) -> PixelBox:
        """Return the box in px of the picture."""
        return PixelBox(self.left, self.top, self.left + self.width, self.top + self.height)

    @classmethod
    def parse(cls, text: str) -> HandBox:
        """Read `X,Y,W,H` or `X,Y,W,H:CAUSE`.

        Raises:
            RequestError: the text is something else.
        """
        match = _BOX.fullmatch(text)
        if match is None:
            do = "Write `box` X,Y,W,H or X,Y,W,H:CAUSE, in pixels: 120,80,64,64:extra."
            raise RequestError("the box of a hand is four whole numbers with commas between", got=text, do=do)
        left, top, width, height = (int(number) for number in match.groups()[:4])
        return cls(left=left, top=top, width=width, height=height, cause=match[5] or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnatomySettings:
    """Say what is done about hands after the render.

    With `mode` check they are only judged: no pixel changes. With repair, one that is wrong is drawn anew: a round for
    each of `strengths`, `candidates` in each, and with `new_seed` one more round from another seed. `boxes` are hands
    that the user points at; without them finders look. `unrepaired` says what becomes of a picture in which a hand
    stays wrong: flag delivers it and says so, withhold writes no file.
    """

    mode: str = CHECK
    boxes: tuple[HandBox, ...] = ()
    strengths: tuple[float, ...] = (0.35, 0.55, 0.75)
    candidates: int = 4
    new_seed: bool = True
    unrepaired: str = FLAG

    def __post_init__(self) -> None:
        if self.mode not in (CHECK, REPAIR):
            raise RequestError("`anatomy` is off, check or repair", got=self.mode)
        if self.unrepaired not in (FLAG, WITHHOLD):
            raise RequestError("`unrepaired` is flag or withhold", got=self.unrepaired)
        check_int("the number of hand boxes", len(self.boxes), low=0, high=MOST_BOXES)
        check_int("the rounds of a repair", len(self.strengths), low=1, high=MOST_ROUNDS)
        for strength in self.strengths:
            check_float("the strength of a repair", strength, low=0.01, high=1.0)
        check_int("the candidates of a repair", self.candidates, low=1, high=MOST_CANDIDATES)

    @property
    def rounds(self) -> int:
        """Return how many rounds a hand takes at most."""
        return len(self.strengths) + self.new_seed

    def __str__(self) -> str:
        """Say what is done, and with how many boxes."""
        boxes = f", {len(self.boxes)} box{'es' if len(self.boxes) > 1 else ''}" if self.boxes else ""
        return f"{self.mode}{boxes}" + (", withheld if a hand stays wrong" if self.unrepaired == WITHHOLD else "")
