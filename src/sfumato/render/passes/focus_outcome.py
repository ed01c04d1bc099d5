"""What becomes of a part that is drawn anew, and who is asked about it: a judge, and who attaches words.

Values only. Start reading at `FocusOutcome`; `FocusWhileSampling` is what a render gets that draws parts while it samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sfumato.canvas.pixels import PixelStore
from sfumato.core.focus import FocusSettings
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.resampling import FloatBox
from sfumato.core.serialize import Json
from sfumato.render.passes.deep_level import DeepPart
from sfumato.render.passes.focus_part import DrawnPart, FocusTarget

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Verdict = Literal["kept", "dropped", "left"]
JudgePart: TypeAlias = Callable[[PixelStore, DrawnPart], str]
AttachWords: TypeAlias = Callable[[str], AbstractContextManager[object]]
PlaceWindows: TypeAlias = Callable[[PixelStore, FloatBox, PixelSize], Sequence[FocusTarget]]


@dataclass(frozen=True, eq=False, kw_only=True)
class FocusWhileSampling:
    """Hold what a level needs to draw parts while it is sampled.

    `place` gets the picture that the level grows from, the part of it that the level takes (left, top, right, bottom in
    px), and the size of the level; it names parts in px of the level. `judge` and `attach` are as in `FocusPass`. All of
    them have to decide by pixels alone, so a resumed render decides alike.
    """

    settings: FocusSettings
    place: PlaceWindows
    judge: JudgePart
    attach: AttachWords = nullcontext


@dataclass(frozen=True, eq=False, kw_only=True)
class FocusOutcome:
    """Say what became of one part: its verdict, how often it was drawn, at what strength at last, and why it was dropped.

    `before` and `after` show the crop `frame`, uint8 [h, w, 3]; None where nothing was put back. `deep` holds what was put
    back as it was drawn, where focus keeps that detail. `changed` is the share of its fine detail that is new. `stage`
    names the level that drew it while it was sampled; empty afterwards.
    """

    kind: str
    box: PixelBox
    verdict: Verdict
    tries: int = 0
    strength: float = 0.0
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0
    frame: PixelBox | None = None
    before: NDArray[np.uint8] | None = None
    after: NDArray[np.uint8] | None = None
    deep: DeepPart | None = None
    changed: float = 0.0
    stage: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return the form of `--json`: kind, box as [x, y, width, height], verdict, tries, and more."""
        told: dict[str, Json] = {
            "kind": self.kind,
            "box": [self.box.left, self.box.top, self.box.width, self.box.height],
            "verdict": self.verdict,
            "tries": self.tries,
            "strength": round(self.strength, 4),
            "reasons": list(self.reasons),
            "seconds": round(self.seconds, 3),
        }
        if self.stage:
            told["stage"] = self.stage
        if self.deep is not None:
            told["finer"] = round(self.deep.measure_gain(), 2)
        return told
