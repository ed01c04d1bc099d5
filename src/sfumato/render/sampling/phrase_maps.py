"""Which phrases of a prompt lie where in the base picture, and so what each window is told.

The same full prompt in every window is what puts the whole scene into each of them. Knows maps and
boxes; no network. Start reading at `make_phrase_maps`, then `PhraseMaps.choose`.

Source: a word kept where its attention covers enough of a patch, Lin et al. 2024, AccDiffusion, section 3.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sfumato.core.prompt.phrases import Phrase, split_phrases

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float
    from torch import Tensor

    from sfumato.core.geometry import LatentBox, LatentSize
    from sfumato.core.prompt.grammar import WeightedSpan

# A phrase is told to a window when its mask covers so much of it; less is the rim of something beside it.
LEAST_COVERAGE = 0.15
# Words that stand nowhere in a picture; their attention follows whatever stands beside them.
_ARTICLES = ("a", "an", "the", "some", "of", "and", "is", "are")
_EMPTY_WORDS = frozenset(
    (*_ARTICLES, "in", "on", "at", "by", "under", "over", "near", "inside", "with", "holding", "wearing")
)
_PLACE = re.compile(r"(?:in|on|at|by|under|over|near|inside)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+", re.UNICODE)


@dataclass(frozen=True, eq=False)
class PhraseMaps:
    """Hold the phrases of a prompt and, for each, how sure it is to be in each cell of the base, 0 or 1.

    `masks` is [phrases, h, w] over the base; `part` the share of the base that the canvas shows:
    left, top, right, bottom from 0 to 1.
    """

    phrases: tuple[Phrase, ...]
    masks: Float[Tensor, "p h w"]
    part: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    def choose(self, box: LatentBox, canvas: LatentSize) -> tuple[Phrase, ...]:
        """Return the phrases a window is told, in the prompt's order: style words, and what lies in it."""
        covered = self._measure_coverage(box, canvas)
        least = min(
            LEAST_COVERAGE, max((c for c, p in zip(covered, self.phrases, strict=True) if not p.style), default=0.0)
        )
        return tuple(p for c, p in zip(covered, self.phrases, strict=True) if p.style or c >= least)

    def find_objects(self) -> Float[Tensor, "h w"] | None:
        """Return 1 where a thing of the prompt is and 0 where only its place is; None where it names no thing."""
        things = [n for n, p in enumerate(self.phrases) if not p.style and not _PLACE.match(p.text)]
        return self.masks[things].amax(dim=0) if things else None

    def _measure_coverage(self, box: LatentBox, canvas: LatentSize) -> list[float]:
        left, top, right, bottom = self.part
        height, width = self.masks.shape[-2:]
        columns = [(left + (right - left) * at / canvas.width) * width for at in (box.left, box.right)]
        rows = [(top + (bottom - top) * at / canvas.height) * height for at in (box.top, box.bottom)]
        cut = self.masks[:, _span(rows, height), _span(columns, width)]
        return cut.mean(dim=(1, 2)).tolist()


def make_phrase_maps(
    spans: tuple[WeightedSpan, ...],
    read: Callable[[str], Float[Tensor, "h w"]],
    part: tuple[float, float, float, float],
) -> PhraseMaps:
    """Cut a prompt into phrases and say where each is; `read` returns the attention to a word."""
    phrases = split_phrases(spans)
    return PhraseMaps(phrases, torch.stack([_make_mask(phrase, read) for phrase in phrases]), part)


def _make_mask(phrase: Phrase, read: Callable[[str], Tensor]) -> Tensor:
    """Return 1 where a phrase's attention is above its own mean; a phrase never attended to is everywhere."""
    words = [word for word in _WORD.findall(phrase.text) if word.lower() not in _EMPTY_WORDS]
    maps = [read(word) for word in words or [phrase.text]]
    heard = [attention / attention.max() for attention in maps if float(attention.max()) > 0.0]
    if phrase.style or not heard:
        return torch.ones_like(maps[0])
    joined = torch.stack(heard).mean(dim=0)
    return (joined >= joined.mean()).float()


def _span(ends: list[float], length: int) -> slice:
    """Return the cells that a window touches, at least one."""
    first = min(int(ends[0]), length - 1)
    return slice(first, max(first + 1, min(length, round(ends[1] + 0.49))))
