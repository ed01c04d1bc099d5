"""One thing that a finder saw in a picture: a face, a hand, a person, a watch.

Knows no picture and no finder. Start reading at `Found`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sfumato.core.geometry import PixelBox


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Hold one thing that a finder saw.

    `kind` is a word: face, hand, person, eye, mouth, house, or any word of a prompt. `box` lies in the picture, px.
    `confidence` is the probability, 0 to 1, that the thing is there. `by` is the name of the finder. `points` are its
    landmarks (x, y) in px of the picture, in the order that the finder documents; they may lie outside the picture.
    `side` is left or right, of the person, where a finder surely sees which hand it is. `seen` says of each point how
    surely it is visible, 0 to 1, where a finder tells.
    """

    kind: str
    box: PixelBox
    confidence: float
    by: str
    points: tuple[tuple[float, float], ...] = ()
    side: str = ""
    seen: tuple[float, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the form of `sfumato find --json`: kind, box as [x, y, width, height], confidence, by."""
        box = [self.box.left, self.box.top, self.box.width, self.box.height]
        told: dict[str, object] = {
            "kind": self.kind,
            "box": box,
            "confidence": round(self.confidence, 4),
            "by": self.by,
        }
        return {**told, "side": self.side} if self.side else told
