"""What the words of a prompt ask for, by lists: sexual pictures, and sexual pictures of children.

Lists are honest and weak: other words, other languages and misspellings pass. Knows no picture. Start reading at
`check_prompt`.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import TYPE_CHECKING

from sfumato.core.errors import RequestError

if TYPE_CHECKING:
    from sfumato.core.request import RenderRequest

MINORS, SEXUAL = "sexual pictures of children", "sexual"
CATEGORIES = (SEXUAL, MINORS)
_SEXUAL = (
    "nsfw|nude|nudes|nudity|naked|topless|bottomless|undressed|porn|porno|pornographic|pornography|hentai|erotic|erotica|"
    "sex|sexual|sexy|sexually|genitals?|penis|vagina|vulva|nipples?|orgasm|masturbat\\w*|fellatio|cunnilingus|bdsm|fetish"
)
_MINOR = (
    "child|children|childlike|kids?|kindergart\\w*|toddlers?|infants?|bab(?:y|ies)|preteens?|pre-teens?|teens?|teenagers?|"
    "underage|minors?|schoolgirls?|schoolboys?|little (?:girl|boy)s?|young (?:girl|boy)s?|lolis?|lolita|shotas?|"
    "(?:1[0-7]|[1-9])[ -]?(?:years?[ -]old|yo|y/o)"
)
_NEGATED = re.compile(r"\((?:[^()]*):-[\d.]+\)")


class SafetyError(RequestError):
    """The prompt asks for what is not drawn here."""


def check_prompt(request: RenderRequest) -> None:
    """Refuse a prompt that asks for sexual pictures of children; there is no setting that allows them.

    Raises:
        SafetyError: it does.
    """
    if find_category(join_prompts(request)) == MINORS:
        raise SafetyError("this prompt is not drawn", got=MINORS, do="Nothing switches this off.")


def join_prompts(request: RenderRequest) -> str:
    """Return all that a request asks for in words: the prompt, and those of its focus boxes and regions."""
    boxes = request.focus.boxes if request.focus else ()
    parts = (*request.concepts, *request.regions)
    return " ".join([request.prompt, *(box.prompt for box in boxes), *(one.words for one in parts)])


def find_category(prompt: str) -> str | None:
    """Return what a prompt asks for of `CATEGORIES`, None where nothing is found. Cost: linear in the text."""
    text = _NEGATED.sub(" ", _plain(prompt))
    sexual, minor = _patterns()
    if sexual.search(text) is None:
        return None
    return MINORS if minor.search(text) is not None else SEXUAL


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    sexual, minor = (re.compile(rf"(?<!\w)(?:{words})(?!\w)") for words in (_SEXUAL, _MINOR))
    return sexual, minor


def _plain(text: str) -> str:
    """Return a text in lower case, without accents and invisible marks, so that a hidden sign changes no word."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(letter for letter in folded if unicodedata.category(letter) not in ("Mn", "Cf", "Cc"))
