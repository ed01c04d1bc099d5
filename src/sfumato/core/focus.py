"""What a request says of focus: which kinds of things are drawn anew after the render, and which boxes.

Knows words and boxes; no picture, no finder and no model. Start reading at `FocusSettings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox
from sfumato.core.validate import check_float, check_int, check_text

# The word that takes every kind whose look is predictable.
AUTO = "auto"
MOST_WORDS, LONGEST_WORD = 32, 64
# Each box is drawn up to three times at native size, so more of them is a mistake rather than a wish.
MOST_BOXES = 256
LONGEST_BOX_PROMPT = 2000
# PNG allows larger sides; nothing here addresses them (see `core.request`).
LARGEST_COORDINATE_PX = 1_000_000
MOST_TRIES, MOST_DEPTH = 4, 3
# When parts are drawn: after the render, while its levels are sampled, or both.
AFTER, WHILE, BOTH = "after", "while", "both"
TIMES = (AFTER, WHILE, BOTH)
# A deeper level has so many px for one of the picture, along each side.
DETAILS = (1, 2, 4, 8)
_BOX = re.compile(r"\s*(\d{1,7})\s*,\s*(\d{1,7})\s*,\s*(\d{1,7})\s*,\s*(\d{1,7})\s*(?::(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class FocusBox:
    """Name one box of the finished picture, in px, and what to draw there; no prompt takes that of the picture."""

    left: int
    top: int
    width: int
    height: int
    prompt: str = ""

    def __post_init__(self) -> None:
        for name in ("left", "top"):
            check_int(f"the {name} of a focus box", getattr(self, name), low=0, high=LARGEST_COORDINATE_PX)
        for name in ("width", "height"):
            check_int(f"the {name} of a focus box", getattr(self, name), low=1, high=LARGEST_COORDINATE_PX)
        check_text("the prompt of a focus box", self.prompt, most=LONGEST_BOX_PROMPT)

    @property
    def box(self) -> PixelBox:
        """Return the box in px of the picture."""
        return PixelBox(self.left, self.top, self.left + self.width, self.top + self.height)

    @classmethod
    def parse(cls, text: str) -> FocusBox:
        """Read `X,Y,W,H` or `X,Y,W,H:PROMPT`.

        Raises:
            RequestError: the text is something else.
        """
        match = _BOX.fullmatch(text)
        if match is None:
            do = "Write `focus_box` X,Y,W,H or X,Y,W,H:PROMPT, in pixels: 120,80,64,64:the face of a woman."
            raise RequestError("a focus box is four whole numbers with commas between", got=text, do=do)
        left, top, width, height = (int(number) for number in match.groups()[:4])
        return cls(left=left, top=top, width=width, height=height, prompt=(match[5] or "").strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class FocusSettings:
    """Say what is drawn anew at the model's native size after the render, and put back if it fits.

    `words` are kinds that finders know (face, hand, person), or `auto` alone: every kind whose look is predictable.
    `boxes` are worked on whatever they show. `strength` is the share of the schedule that the first try draws, and
    `context` the side of the part that is drawn, in sides of the box. `lock` (0 to 1) holds the low band to the
    picture. A box that fails is tried `tries` times, each weaker. `depth` counts how deep a part may
    lie in parts that were drawn anew: 1 leaves the face in a person alone. `detail` 4 writes the picture four times as large, so that parts
    keep what was drawn of them; only pictures with levels (.dzi, .tif) hold that. `when` says whether parts are drawn after
    the render, while its levels are sampled, or both.
    """

    words: tuple[str, ...] = (AUTO,)
    boxes: tuple[FocusBox, ...] = ()
    strength: float = 0.5
    context: float = 2.2
    lock: float = 0.4
    tries: int = 3
    depth: int = MOST_DEPTH
    detail: int = 1
    when: str = AFTER

    def __post_init__(self) -> None:
        check_int("the number of focus words", len(self.words), low=0, high=MOST_WORDS)
        for word in self.words:
            check_text("a focus word", word, most=LONGEST_WORD, empty=False)
        check_int("the number of focus boxes", len(self.boxes), low=0, high=MOST_BOXES)
        if not self.words and not self.boxes:
            raise RequestError("focus names neither words nor boxes", do="Say `focus` auto, or give a `focus_box`.")
        if AUTO in self.words and len(self.words) > 1:
            raise RequestError("`focus` auto stands alone", got=", ".join(self.words), do="Say auto, or name kinds.")
        check_float("the strength of focus", self.strength, low=0.01, high=1.0)
        check_float("the context of focus", self.context, low=1.5, high=2.5)
        check_float("the lock of focus", self.lock, low=0.0, high=1.0)
        check_int("the tries of focus", self.tries, low=1, high=MOST_TRIES)
        check_int("the depth of focus", self.depth, low=1, high=MOST_DEPTH)
        if self.when not in TIMES:
            raise RequestError("focus works at another time", got=self.when, do=f"Say {', '.join(TIMES)}.")
        if self.detail > 1 and self.when == WHILE:
            do = "Say `focus_when` after or both, or leave `focus_detail` out."
            raise RequestError("parts that are drawn while sampling have no deeper level", do=do)
        if self.detail not in DETAILS:
            raise RequestError(
                "the detail of focus is a whole factor", got=self.detail, do="Say `focus_detail` 2, 4 or 8."
            )

    @property
    def is_after(self) -> bool:
        """Tell whether parts of the finished picture are drawn anew."""
        return self.when in (AFTER, BOTH)

    @property
    def is_while(self) -> bool:
        """Tell whether parts are drawn while the levels of a render are sampled."""
        return self.when in (WHILE, BOTH)

    def __str__(self) -> str:
        """Say what is worked on: its words, and how many boxes the user named."""
        boxes = [f"{len(self.boxes)} box{'es' if len(self.boxes) > 1 else ''}"] if self.boxes else []
        return ", ".join([*self.words, *boxes])
