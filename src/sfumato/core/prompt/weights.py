"""Emphasis in a prompt that no longer changes: ( ) [ ] (x:1.3), escapes and BREAK.

Knows no editing, no AND and no tags; those are gone when a text gets here. One pass over the
tokens, then one over the spans for each bracket, at most `DEEPEST_NESTING` of which hold a span:
linear in the text. Start reading at `read_weights`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from sfumato.core.errors import RequestError

# Each level multiplies by 1.1: level 32 is a weight of 21, past anything an encoder can follow, and
# bracket bombs (compel issue 103 starts at 30) stop here.
DEEPEST_NESTING = 32
# Last hidden states of CLIP reach about 30; times 1000 comes to the largest float16, 65504.
LARGEST_WEIGHT = 1000.0
# A1111's unit of emphasis.
_STRONGER = 1.1
# Texts remembered after parsing: a render asks for the same few at every step of every tile.
_REMEMBERED_TEXTS = 256

# Each alternative starts with a different character and none repeats over another: no backtracking
# beyond one token. Digits are bounded, so that a number cannot overflow.
_TOKEN = re.compile(
    r"(?P<escape>\\.?)"
    r"|(?P<weight>:[ \t\n\r]{0,8}[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})[ \t\n\r]{0,8}\))"
    r"|(?P<bracket>[()\[\]])"
    r"|(?P<plain>:|[^\\()\[\]:]+)",
    re.DOTALL,
)
_BREAK = re.compile(r"\bBREAK\b")


@dataclass(frozen=True, slots=True)
class WeightedSpan:
    """Hold a stretch of text with one weight; 1.0 is plain."""

    text: str
    weight: float = 1.0


Segment = tuple[WeightedSpan, ...]


class _WeightedPiece(NamedTuple):
    text: str
    breaks: bool = False


@lru_cache(maxsize=_REMEMBERED_TEXTS)
def read_weights(text: str) -> tuple[Segment, ...]:
    """Return the segments of a text (BREAK stands between them), each with one span at least.

    Spaces at the ends of a segment are dropped; neighbours of equal weight are joined.

    Raises:
        RequestError: brackets nest too deep, or a weight is beyond `LARGEST_WEIGHT`.

    Source: the conventions of the AUTOMATIC1111 web UI's prompt parser.
    """
    reader = _WeightReader()
    for match in _TOKEN.finditer(text):
        reader.take(match)
    return tuple(_join(segment) for segment in _split(*reader.finish()))


class _WeightReader:
    """Collect pieces and their weights; brackets are remembered by the place where they opened."""

    def __init__(self) -> None:
        self._pieces: list[_WeightedPiece] = []
        self._weights: list[float] = []
        # As in A1111 the two kinds do not see each other: "(a [b) c]" is two ranges that cross.
        self._round: list[int] = []
        self._square: list[int] = []

    def take(self, match: re.Match[str]) -> None:
        """Read one token."""
        mark = match.group()
        if match.lastgroup == "bracket":
            self._take_bracket(mark)
        elif match.lastgroup == "weight" and self._round:
            self._multiply(self._round.pop(), float(mark[1:-1]))
        elif match.lastgroup == "weight":
            self._add(mark)
        elif match.lastgroup == "escape":
            # A lone backslash at the very end stands for itself.
            self._add(mark[1:] or mark)
        else:
            self._add_with_breaks(mark)

    def finish(self) -> tuple[list[_WeightedPiece], list[float]]:
        """Close what is still open at the end of the text, and return pieces and weights."""
        for start in self._round:
            self._multiply(start, _STRONGER)
        for start in self._square:
            self._multiply(start, 1 / _STRONGER)
        return self._pieces, self._weights

    def _take_bracket(self, mark: str) -> None:
        places = self._round if mark in "()" else self._square
        if mark in "([":
            places.append(len(self._pieces))
            if len(self._round) + len(self._square) > DEEPEST_NESTING:
                raise too_deep()
        elif places:
            self._multiply(places.pop(), _STRONGER if mark == ")" else 1 / _STRONGER)
        else:
            self._add(mark)

    def _add_with_breaks(self, text: str) -> None:
        for place, part in enumerate(_BREAK.split(text)):
            if place:
                self._add("", breaks=True)
            if part:
                self._add(part)

    def _add(self, text: str, *, breaks: bool = False) -> None:
        self._pieces.append(_WeightedPiece(text, breaks))
        self._weights.append(1.0)

    def _multiply(self, start: int, factor: float) -> None:
        for place in range(start, len(self._weights)):
            self._weights[place] *= factor


def too_deep() -> RequestError:
    """Make the error for brackets that nest deeper than `DEEPEST_NESTING`."""
    return RequestError(
        f"brackets in a prompt nest at most {DEEPEST_NESTING} deep",
        do="Write a number instead, as in (word:1.5), or escape brackets that are meant as text: \\( \\).",
    )


def _split(pieces: list[_WeightedPiece], weights: list[float]) -> Iterator[list[WeightedSpan]]:
    segment: list[WeightedSpan] = []
    for piece, weight in zip(pieces, weights, strict=True):
        if piece.breaks:
            yield segment
            segment = []
        elif abs(weight) > LARGEST_WEIGHT:
            raise RequestError(f"a weight in a prompt is at most {LARGEST_WEIGHT:g}", got=weight)
        else:
            segment.append(WeightedSpan(piece.text, weight))
    yield segment


def _join(spans: list[WeightedSpan]) -> Segment:
    texts: list[list[str]] = []
    weights: list[float] = []
    for span in spans:
        if not weights or weights[-1] != span.weight:
            texts.append([])
            weights.append(span.weight)
        texts[-1].append(span.text)
    joined = ["".join(parts) for parts in texts]
    if joined:
        joined[0] = joined[0].lstrip()
        joined[-1] = joined[-1].rstrip()
    kept = [WeightedSpan(text, weight) for text, weight in zip(joined, weights, strict=True) if text]
    return tuple(kept) or (WeightedSpan(""),)
