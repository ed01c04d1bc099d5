"""Whether a hand that was drawn anew is no worse, as the critic of hands says: focus asks before it puts a hand back.

The parser is loaded when the first hand is read, so that a plan does not wait for it. Start reading at
`HandReader.compare`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sfumato.critic.anatomy.parser import Parser
    from sfumato.critic.anatomy.verdict import HandVerdict

HAND, OK = "hand", "ok"


@dataclass(frozen=True)
class HandReader:
    """Read hands with the parser that ships. A leaf."""

    @cached_property
    def _parser(self) -> Parser | None:
        from sfumato.critic.anatomy.parser import has_parser, load_parser

        return load_parser() if has_parser() else None

    def compare(self, before: NDArray[np.uint8], after: NDArray[np.uint8], box: PixelBox) -> str:
        """Say what the critic has against a hand in a box of two pictures, uint8 [h, w, 3]; nothing where it is no worse.

        Without a parser nobody can say, so nothing is put back.
        """
        if self._parser is None:
            return "nobody here can read hands"
        from sfumato.critic.anatomy.judge import frame_hand, judge_square

        square = frame_hand(Found(kind=HAND, box=box, confidence=1.0, by=HAND))
        verdicts = [
            judge_square(self._parser, MemoryPixels(PixelSize(one.shape[1], one.shape[0]), one), box, square).verdict
            for one in (before, after)
        ]
        return compare_hands(verdicts[0], verdicts[1])


def compare_hands(before: HandVerdict, after: HandVerdict) -> str:
    """Say what is wrong with a hand that was drawn anew; nothing where it is surely right, and no worse than before."""
    if after.word != OK:
        return f"the critic of hands does not call it right ({after.word})"
    if before.word == OK and before.digits != after.digits:
        return f"it had {before.digits} digits, now it has {after.digits}"
    return "" if after.goof <= before.goof else f"a fault is likelier than before ({after.goof:.2f})"
