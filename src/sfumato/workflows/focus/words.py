"""The finder of things that a prompt names (a watch, a car, a dog), by the word maps of the model itself.

Works with any checkpoint. English, as `core.prompt.phrases`. Start reading at `WordFinder`; `list_things` says which
words are looked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfumato.canvas.pixels import PixelStore
from sfumato.core.found import Found
from sfumato.core.prompt.grammar import PromptPart, parse_prompt
from sfumato.core.prompt.phrases import split_phrases
from sfumato.core.request import RenderRequest
from sfumato.workflows.focus.kinds import KINDS, STUFF
from sfumato.workflows.focus.owner import is_person

if TYPE_CHECKING:
    from sfumato.models.latent_model import LatentModel

# More words are a list of keywords rather than things in a picture.
MOST_THINGS = 12
_PLACE = re.compile(r"(?:in|on|at|by|under|over|near|inside|against|before|in front of|above)\b", re.IGNORECASE)
_WEARING = re.compile(r"(?:with|wearing)\b", re.IGNORECASE)
_COUNT = re.compile(r"^(?:two|three|four|five|six|several|many|some)\s+", re.IGNORECASE)
_LAST_WORD = re.compile(r"([^\W\d_][\w'-]*)\W*$")


@dataclass(frozen=True, slots=True)
class ThingPhrase:
    """Hold a thing of a prompt: the word that is looked for, and the phrase that owns it."""

    word: str
    phrase: str

    def is_called(self, word: str) -> bool:
        """Tell whether a word names it, in singular or plural."""
        return word.removesuffix("s") == self.word.removesuffix("s")


def list_things(prompt: str) -> tuple[ThingPhrase, ...]:
    """Return the things that a prompt names one by one: "a man beside a red car on the street" names the car.

    People have finders of their own; places, clothes, materials and words of style are no things.

    Raises:
        RequestError: the prompt cannot be read.
    """
    text = find_text(prompt)
    found = dict[str, ThingPhrase]()
    for phrase in split_phrases(text.segments[0]) if text is not None else ():
        words = re.sub(r"^holding\s+", "", phrase.text, flags=re.IGNORECASE)
        last = _LAST_WORD.search(words)
        if phrase.style or last is None or _PLACE.match(words) or _WEARING.match(words) or is_person(words):
            continue
        word = last[1].lower()
        if word not in STUFF and word not in KINDS:
            # A crop shows one of many.
            single = _COUNT.sub("a ", words)
            found.setdefault(word, ThingPhrase(word, words if single == words else single.removesuffix("s")))
    return tuple(found.values())[:MOST_THINGS]


def find_text(prompt: str) -> PromptPart | None:
    """Return a prompt that is one text from the first step to the last; None where it changes or has parts."""
    parsed = parse_prompt(prompt)
    parts = parsed.at_step(0, 1) if parsed.is_constant else ()
    return parts[0] if len(parts) == 1 and len(parts[0].segments) == 1 else None


class WordFinder:
    """Find the things of one prompt in pictures of one model. A leaf."""

    name = "words"

    def __init__(self, model: LatentModel, request: RenderRequest, kinds: frozenset[str]) -> None:
        """Take the request whose prompt the picture shows, and the things of it that are looked for."""
        self._model, self._request, self.kinds = model, request, kinds

    def find(self, pixels: PixelStore) -> tuple[Found, ...]:
        """Return where the model attends to the words, the surest first.

        The picture is looked at as a whole, shrunk to native size: what is smaller than two cells there is not found.
        """
        text = find_text(self._request.prompt)
        if text is None or not self.kinds:
            return ()
        # A plan lists things and looks for none.
        from sfumato.render.passes.word_maps import find_word_boxes

        boxes = find_word_boxes(pixels, sorted(self.kinds), text, self._request, self._model)
        found = [Found(kind=one.word, box=one.box, confidence=_rate(one.peak), by=self.name) for one in boxes]
        return tuple(sorted(found, key=lambda one: (-one.confidence, one.kind, one.box)))


def _rate(peak: float) -> float:
    """Return a confidence for a peak of attention above its mean: an order, not a probability that was measured."""
    return 1.0 - 1.0 / peak
