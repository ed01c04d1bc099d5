"""What a caption says of its picture, as labels that a reader can be asked about.

A label is a claim only if its words stand in the caption: what the caption leaves open, a picture
may show as it likes. Knows the grammar's words; no picture. Start reading at `find_claims`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sfumato.critic.reader.questions import Word
from sfumato.world.caption import COUNT_WORDS

Claims = dict[str, Word]
Labels = Mapping[str, Word]
_Says = Callable[[str, Labels], bool]

# Words that give an answer away, by head and answer. A head that is not here has a rule below.
PHRASES: dict[str, dict[Word, tuple[str, ...]]] = {
    "shot": {
        "portrait": ("portrait", "close-up", "the face of"),
        "half": ("half body", "upper body"),
        "full": ("full body",),
        "wide": ("far away", "a wide view", "in the distance"),
        "hand": ("hand", "fist"),
        "hands": ("hands", "fists"),
        "place": ("empty",),
        "texture": ("texture",),
    },
    "style": {"photo": ("photo", "photograph"), "cartoon": ("cartoon", "drawing")},
    "place": {
        "meadow": ("meadow", "grass"),
        "beach": ("beach", "by the sea"),
        "street": ("street",),
        "room": ("room", "indoors"),
        "plain": ("plain background",),
        "brick wall": ("brick", "bricks"),
        "foliage": ("foliage", "leaves"),
        "sky": ("sky",),
        "sea": ("sea", "blue water"),
    },
    "age": {"young": ("young",), "old": ("old",)},
    "glasses": {1: ("glasses",)},
    "smile": {1: ("smiling", "smile"), 0: ("serious",)},
    "beard": {1: ("beard",)},
    "pose": {
        "standing": ("standing",),
        "walking": ("walking",),
        "sitting": ("sitting",),
        "waving": ("waving",),
        "arms up": ("arms up", "raised arms"),
        "holding": ("holding",),
    },
    "gesture": {
        "open": ("open", "five fingers"),
        "fist": ("fist", "closed"),
        "pointing": ("pointing",),
        "one": ("one finger",),
        "two": ("two fingers",),
        "three": ("three fingers",),
        "four": ("four fingers",),
    },
    "hand_side": {"left": ("left hand",), "right": ("right hand",)},
    "hand_view": {"palm": ("palm", "palm side"), "back": ("back side", "back of the hand")},
}
# Gestures whose name alone fixes the number of digits held out.
_FIXED_DIGITS = {"fist": 0, "pointing": 1}


def find_claims(caption: str, labels: Labels) -> Claims:
    """Return those labels of a scene that its caption states."""
    found: Claims = {}
    for head, word in labels.items():
        rule = _RULES.get(head)
        phrases = PHRASES.get(head, {}).get(word, ())
        if rule(caption, labels) if rule else _says_any(caption, phrases):
            found[head] = word
    return found


def says_open_hand(caption: str, labels: Labels) -> bool:
    """Tell whether this is a prompt for one open hand, whose digits are left to the model to know."""
    return labels.get("gesture") == "open" and _says_any(caption, ("open",))


def _says_any(caption: str, phrases: tuple[str, ...]) -> bool:
    return any(re.search(rf"\b{re.escape(phrase)}\b", caption) for phrase in phrases)


def _says_people(caption: str, labels: Labels) -> bool:
    count = int(labels["people"])
    if count == 0:
        return _says_any(caption, ("empty",))
    named = len(re.findall(r"\b(?:man|woman)\b", caption))
    groups = tuple(f"{COUNT_WORDS[count]} {noun}" for noun in ("men", "women", "people"))
    return named == count or (count > 1 and _says_any(caption, groups))


def _says_hair(caption: str, labels: Labels) -> bool:
    if labels["hair"] == "none":
        return _says_any(caption, ("bald head", "no hair"))
    return _says_any(caption, (f"{labels['hair']} hair",))


def _says_hair_style(caption: str, labels: Labels) -> bool:
    style = labels["hair_style"]
    if style == "bald":
        return _says_any(caption, ("bald head", "no hair"))
    return _says_any(caption, ("hair in a bun",) if style == "bun" else (f"{style} {labels['hair']} hair",))


def _says_digits(caption: str, labels: Labels) -> bool:
    count = int(labels["digits"])
    if _FIXED_DIGITS.get(str(labels.get("gesture"))) == count:
        return True
    word = COUNT_WORDS.get(count, "no")
    return _says_any(caption, (f"{word} finger", f"{word} fingers"))


def _says_pair(colour: str, kind: str) -> _Says:
    """Build the rule of a colour: it has to stand right before its garment or thing."""
    return lambda caption, labels: _says_any(caption, (f"{labels[colour]} {labels.get(kind, '')}",))


def _says_word(head: str) -> _Says:
    return lambda caption, labels: _says_any(caption, (str(labels[head]),))


def _says_bottom(caption: str, labels: Labels) -> bool:
    # A dress is already the claim about the top.
    return labels["bottom"] != "dress" and _says_any(caption, (str(labels["bottom"]),))


_RULES: dict[str, _Says] = {
    "people": _says_people,
    "kind": _says_word("kind"),
    "hair": _says_hair,
    "hair_style": _says_hair_style,
    "skin": lambda caption, labels: _says_any(caption, (f"{labels['skin']} skin",)),
    "top": _says_word("top"),
    "top_colour": _says_pair("top_colour", "top"),
    "bottom": _says_bottom,
    "bottom_colour": _says_pair("bottom_colour", "bottom"),
    "thing": _says_word("thing"),
    "thing_colour": _says_pair("thing_colour", "thing"),
    "digits": _says_digits,
}
