"""Cut a prompt into phrases that can each be somewhere in a picture: things, their parts, places, style words.

A window of a large picture is told only what lies in it. Knows words, no tokens and no picture; English
connectives, because the text encoders of Stable Diffusion were trained on English. Start reading at
`split_phrases`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sfumato.core.prompt.grammar import WeightedSpan

# Words that open a picture ("a photo of ...") or stand alone behind it say how, not what.
_STYLE = (
    r"photo(?:graph)?|photography|picture|image|painting|drawing|sketch|cartoon(?: style)?|illustration|render(?:ing)?|"
    r"3d render|anime|comic|poster|watercolou?r|oil painting|pencil drawing|digital art|concept art|macro|close-up|portrait"
)
_LEAD = re.compile(rf"^\s*(?:(?:an?|the)\s+)?(?:[\w-]+\s+)?(?:{_STYLE})\s+of\b", re.IGNORECASE)
_ALONE = re.compile(
    rf"^\s*(?:an?\s+)?(?:{_STYLE}|.*\b(?:style|quality|detailed|lighting|light|background|focus|resolution|masterpiece|8k|4k|hd)\b.*)\s*$",
    re.IGNORECASE,
)
# Relations say where things are to each other; inside one window that is no longer true.
_RELATIONS = (
    r"(?:on|to) the (?:left|right)(?: of| side of)?|(?:left|right) of|in front of|next to|on top of|beside|behind|"
    r"between|above|below|beneath"
)
_CUT = re.compile(
    rf"[,;.]|(?: (?:and|{_RELATIONS}))+ | (?=(?:in|on|at|by|under|over|near|inside|with|holding|wearing) )",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Phrase:
    """Some words of a prompt and their weight; `style` words belong to every part of the picture."""

    text: str
    weight: float = 1.0
    style: bool = False


def split_phrases(spans: Sequence[WeightedSpan]) -> tuple[Phrase, ...]:
    """Cut the weighted spans of a prompt into phrases, in their order.

    "a photo of a red house in a meadow, cartoon" becomes "a photo of" (style), "a red house", "in a meadow",
    "cartoon" (style). A relation ("left of") separates and is dropped. Cost: linear in the text.
    """
    found: list[Phrase] = []
    for number, span in enumerate(spans):
        # One space for many keeps the cutting linear.
        text = " ".join(span.text.split()) if number == 0 else " " + " ".join(span.text.split())
        lead = _LEAD.match(text) if number == 0 else None
        if lead is not None:
            found.append(Phrase(lead.group().strip(), span.weight, style=True))
            text = text[lead.end() :]
        pieces = (piece.strip() for piece in _CUT.split(text))
        found += [Phrase(piece, span.weight, style=bool(_ALONE.match(piece))) for piece in pieces if piece]
    return tuple(found)


def join_phrases(phrases: Sequence[Phrase], *, detail: str = "") -> tuple[WeightedSpan, ...]:
    """Write phrases as the spans of a prompt again: a leading "a photo of" binds to what follows, commas elsewhere.

    `detail` ("a detail of") goes before the first phrase that is not a style word.
    """
    first = next((number for number, phrase in enumerate(phrases) if not phrase.style), None)
    spans: list[WeightedSpan] = []
    bound = True
    for number, phrase in enumerate(phrases):
        text = f"{detail} {phrase.text}" if detail and number == first else phrase.text
        spans.append(WeightedSpan((" " if spans else "") + text if bound else f", {text}", phrase.weight))
        bound = phrase.text.lower().endswith(" of")
    return tuple(spans)
