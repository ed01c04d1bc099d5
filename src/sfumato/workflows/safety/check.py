"""The safety filter: a prompt is read before it is drawn, a picture is looked at before it is delivered.

The setting `safety` is the policy: off, flag, or withhold. Without the part `nsfw` a picture is `not checked`, and says
so. What is refused whatever the policy is in `words`. Start reading at `judge_picture`.
"""

from __future__ import annotations

import functools
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image, ImageDraw, ImageFont

from sfumato.canvas.pixels import make_small
from sfumato.core.settings import load_settings
from sfumato.models.measures.nsfw import PART, NsfwScore
from sfumato.models.parts.catalogue import advise_fetch, find_part
from sfumato.workflows.safety.words import SEXUAL, find_category, join_prompts

if TYPE_CHECKING:
    from sfumato.canvas.pixels import PixelStore
    from sfumato.core.request import RenderRequest

SafetyState = Literal["passed", "flagged", "withheld", "not checked"]
# Yahoo calls scores above it unsafe. Of 110 renders without nudity the highest had 0.57; how much is found is unknown.
LIMIT = 0.8
_LOOK_PX = 512
_PAPER, _INK = (236, 234, 228), (60, 60, 60)


@dataclass(frozen=True, kw_only=True)
class SafetyVerdict:
    """Say what the filter found: `policy` and `state`, and the category, score and limit where it looked.

    `reason` is a sentence for people.
    """

    policy: str
    state: SafetyState
    reason: str
    category: str | None = None
    score: float | None = None
    limit: float = LIMIT

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        return {
            "policy": self.policy,
            "state": self.state,
            "reason": self.reason,
            "category": self.category,
            "score": None if self.score is None else round(self.score, 4),
            "limit": self.limit,
        }

    def __str__(self) -> str:
        """Say it as `parameters` of a picture carry it."""
        score = "" if self.score is None else f" {self.score:.2f}"
        return f"{self.policy} {self.state}{score}"


def judge_picture(request: RenderRequest, pixels: PixelStore) -> SafetyVerdict | None:
    """Return what the filter says of a drawn picture, None where the policy is off.

    Raises:
        UnsafeFileError: the file of the part breaks the rules of the gate.
    """
    policy = load_settings().safety
    if policy == "off":
        return None
    found = "withheld" if policy == "withhold" else "flagged"
    if find_category(join_prompts(request)) == SEXUAL:
        reason = "The prompt asks for a sexual picture."
        return SafetyVerdict(policy=policy, state=found, reason=reason, category=SEXUAL)
    if find_part(PART) is None:
        reason = f"Nobody looked at the picture: the part is not there. {advise_fetch([PART])}"
        return SafetyVerdict(policy=policy, state="not checked", reason=reason)
    (score,) = _open().measure([make_small(pixels, _LOOK_PX).convert("RGB")])
    if score < LIMIT:
        reason = "The picture has a low score for sexual content. The filter looks for nothing else."
        return SafetyVerdict(policy=policy, state="passed", reason=reason, score=score)
    reason = f"The picture has a score of {score:.2f} for sexual content; the limit is {LIMIT}."
    return SafetyVerdict(policy=policy, state=found, reason=reason, category=SEXUAL, score=score)


def draw_placeholder(width: int, height: int, verdict: SafetyVerdict) -> Image.Image:
    """Return what stands in the place of a withheld picture: paper with the reason on it, never plain black."""
    picture = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(picture)
    size = max(8, min(28, width // 18))
    font = ImageFont.load_default(size=size)
    pen.rectangle((0, 0, width - 1, height - 1), outline=_INK, width=max(1, size // 8))
    words = ["Withheld by the safety filter.", "", *textwrap.wrap(verdict.reason, max(8, int(1.8 * width / size)))]
    for number, line in enumerate(words):
        pen.text((size, size + number * (size * 5 // 4)), line, fill=_INK, font=font)
    return picture


@functools.lru_cache(maxsize=1)
def _open() -> NsfwScore:
    return NsfwScore()
