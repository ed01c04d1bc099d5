"""Which words of a prompt speak of a person, and what a crop of that person is called.

Knows words, no picture: whoever reads pictures says which person is meant. English, as `core.prompt.phrases`. Start
reading at `list_owners`, then `word_crop`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.prompt.phrases import Phrase, split_phrases
from sfumato.workflows.focus.kinds import find_row

ANYBODY = "a person"
_PERSON = re.compile(
    r"\b(?:man|woman|person|boy|girl|child|kid|baby|lady|gentleman|guy|king|queen|prince|princess|knight|wizard|witch|"
    r"soldier|sailor|astronaut|doctor|nurse|dancer|singer|farmer|worker|warrior|hero|portrait|bride|groom|actor|actress|"
    r"father|mother|grandfather|grandmother|elf|fairy|monk|nun|chef|pilot|pirate|cowboy|detective|student|teacher)\b",
    re.IGNORECASE,
)
_MANY = re.compile(
    r"\b(?:two|three|four|five|many|several|some|people|men|women|group|crowd|children)\b", re.IGNORECASE
)
_GROUP = re.compile(r"\b(?:people|men|women|group|crowd|children)\b", re.IGNORECASE)
# Two words with capitals in a row name somebody.
_NAME = re.compile(r"\b[A-Z][a-z]+ [A-Z][a-z]+\b")
# What a person has or wears goes on with the person; a place does not.
_TRAIT = re.compile(
    r"\b(?:hair|beard|moustache|mustache|glasses|sunglasses|skin|eyes?|face|freckles|scar|smile|smiling|serious|head|hat|"
    r"cap|helmet|crown|hood|scarf|earrings?|necklace|tattoos?|makeup|lips|coat|shirt|sweater|dress|trousers|shorts|skirt|"
    r"jacket|suit|uniform|robe|armou?r|gown|raincoat|t-shirt|blouse|gloves?|old|young|bald|wearing|bun)\b",
    re.IGNORECASE,
)
# What somebody does, or how much of them shows, is untrue of a crop.
_ACTION = re.compile(
    r"[, ]+\b(?:standing|walking|sitting|running|dancing|waving|holding|jumping|lying|riding|entering|looking|with arms up|"
    r"with raised arms|full[- ](?:body|length)|half body|upper body|far away|in the distance)\b.*$",
    re.IGNORECASE,
)
_VIEW = re.compile(
    r"^(?:an?\s+)?(?:wide|full|distant|close)[\w -]*?\b(?:view|shot|photo|picture)\s+of\s+", re.IGNORECASE
)
_FRAMING = re.compile(r"close-?up|portrait|full[- ]|wide|half|macro|medium shot", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Owners:
    """Hold the people of a prompt, each in its own words, and the words of style that belong to every part."""

    people: tuple[str, ...]
    lead: str = ""
    tail: str = ""


def is_person(text: str) -> bool:
    """Tell whether words speak of a person, of somebody by name, or of a group."""
    return bool(_PERSON.search(text) or _NAME.search(text) or _GROUP.search(text))


def list_owners(prompt: str) -> Owners:
    """Return the people that a prompt names one by one, as its first step words them.

    "a photo of a man in a red coat waving and a woman with grey hair on a beach" names "a man in a red coat" and "a woman
    with grey hair". A group ("three people") names nobody.

    Raises:
        RequestError: the prompt cannot be read.
    """
    parts = parse_prompt(prompt).at_step(0, 1)
    spans = [span for segment in (parts[0].segments if parts else ()) for span in segment]
    phrases = split_phrases(spans)
    people, is_open = list[list[str]](), False
    for phrase in phrases:
        text = _ACTION.sub("", _VIEW.sub("", phrase.text)).strip(" ,")
        if phrase.style or not text:
            continue
        if (_PERSON.search(text) or _NAME.search(text)) and not _MANY.search(text):
            people.append([text])
            is_open = True
        elif is_open and _TRAIT.search(text):
            people[-1].append(text)
        else:
            is_open = False
    return Owners(tuple(_join_traits(words) for words in people), *_find_style(phrases))


def _join_traits(words: list[str]) -> str:
    """Return a person with traits: those that begin with a preposition bind as they are, others by "and"."""
    text = words[0]
    for word in words[1:]:
        text += f" {word}" if re.match(r"(?:with|in|wearing)\b", word, re.IGNORECASE) else f" and {word}"
    return text


def _find_style(phrases: tuple[Phrase, ...]) -> tuple[str, str]:
    """Return the words of style that stand before what is shown ("a photo of"), and those behind."""
    styles = [phrase.text for phrase in phrases if phrase.style and not _FRAMING.search(phrase.text)]
    lead = styles[0] if styles and styles[0].lower().endswith(" of") else ""
    return lead, ", ".join(styles[1:] if lead else styles)


def choose_owner(owners: Owners, seen: Mapping[str, object]) -> str | None:
    """Return the words of the person that fits best what was read of a face, None where that is open.

    `seen` holds what a reader is sure of: hair "red", kind "woman". One person alone needs no reading.
    """
    if len(owners.people) == 1:
        return owners.people[0]
    words = [str(word) for head, word in seen.items() if head in ("kind", "hair", "age", "hair_style", "top_colour")]
    scores = [sum(bool(re.search(rf"\b{word}\b", text)) for word in words) for text in owners.people]
    best = max(scores, default=0)
    if best == 0 or scores.count(best) != 1:
        return None
    return owners.people[scores.index(best)]


def describe_person(seen: Mapping[str, object]) -> str:
    """Return a person in the words that a reader is sure of: "an old woman with grey hair"."""
    kind, age = str(seen.get("kind", "person")), str(seen.get("age", ""))
    adjective = f"{age} " if age in ("young", "old") else ""
    text = f"{'an' if adjective.startswith('o') else 'a'} {adjective}{kind}"
    style, hair = str(seen.get("hair_style", "")), str(seen.get("hair", ""))
    traits = list[str]()
    if style == "bald":
        traits.append("a bald head")
    elif hair and hair != "none":
        long = f"{style} " if style in ("long", "short") else ""
        traits.append(f"{long}{hair} hair" + (" in a bun" if style == "bun" else ""))
    traits += [name for name in ("glasses", "beard") if seen.get(name) == 1]
    traits = [f"a {trait}" if trait == "beard" else trait for trait in traits]
    return f"{text} with {' and '.join(traits)}" if traits else text


def word_crop(kind: str, owner: str, owners: Owners, *, drawn: bool) -> str:
    """Return the prompt of a crop: what it shows, close, of whom, in the style of the picture.

    `drawn` words it as the captions of mini's world do.
    """
    row = find_row(kind)
    text = (row.drawn_part if drawn else row.part).format(owner=owner)
    return ", ".join(word for word in (f"{owners.lead} {text}".strip(), owners.tail) if word)
