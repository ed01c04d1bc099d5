"""What is taken out of a prompt before its words are read: `<lora:...>` tags and unfit characters.

Knows no files: a tag is a name and numbers. Start reading at `take_tags`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sfumato.core.errors import RequestError

# The same bound that a LoRA in a request has; published ones are used between -2 and 2.
LARGEST_LORA_WEIGHT = 10.0
# Names are file names without a folder; file systems stop at 255 bytes, and the numbers need some more.
_TAG = re.compile(r"(?<!\\)<(lora|lyco|hypernet):([^<>]{0,300})>", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})")
# The second and the third place of a tag, in A1111's order: one number is for both networks, of two
# the first is the text encoder's.
_PLACES = ("te", "unet")

# Tab and line ends are spaces; the rest of C0 and C1 writes over logs and terminals. The nine marks
# turn the direction of what follows, so that stored text reads differently from what it says.
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class LoraTag:
    """Hold a LoRA asked for in a prompt: its name, its weight, and that of the text encoder if it differs."""

    name: str
    weight: float = 1.0
    te_weight: float | None = None


def check_characters(text: str) -> None:
    """Check that a prompt has no control characters and no marks that reorder text.

    Raises:
        RequestError: it has; the message names the first one and its place.
    """
    unfit = _UNFIT.search(text)
    if unfit:
        raise RequestError(
            "a prompt has a character that is not text",
            got=f"U+{ord(unfit.group()):04X} at character {unfit.start()}",
            do="Remove it; tabs and line ends are fine.",
        )


def take_tags(text: str) -> tuple[str, tuple[LoraTag, ...]]:
    """Return the text without its tags, and the tags in order; a backslash in front keeps one as text.

    Raises:
        RequestError: a tag has no name, a part that is no number, or is of a kind we cannot use.
    """
    tags = tuple(_read_tag(*match.groups()) for match in _TAG.finditer(text))
    return _TAG.sub("", text), tags


def _read_tag(kind: str, inside: str) -> LoraTag:
    written = f"<{kind}:{inside}>"
    if kind.lower() == "hypernet":
        raise RequestError("hypernetworks are not supported", got=written, do="Remove the tag, or use a LoRA.")
    name, *rest = (part.strip() for part in inside.split(":"))
    if not name or "/" in name or "\\" in name or name.startswith("."):
        raise RequestError("a LoRA tag starts with a file's name, without folder", got=written)
    weights = _read_weights(rest, written)
    weight = weights.get("unet", weights.get("te", 1.0))
    te_weight = weights.get("te")
    return LoraTag(name, weight, None if te_weight == weight else te_weight)


def _read_weights(parts: list[str], written: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    positions = iter(_PLACES)
    for part in parts:
        word, equals, number = part.rpartition("=")
        place = word.strip().lower() if equals else next(positions, "")
        if place not in _PLACES or place in weights or not _NUMBER.fullmatch(number.strip()):
            do = "Write <lora:name:weight>, <lora:name:te_weight:unet_weight> or <lora:name:te=0.5:unet=1>."
            raise RequestError("a LoRA tag cannot be read", got=written, do=do)
        weights[place] = float(number)
        if abs(weights[place]) > LARGEST_LORA_WEIGHT:
            raise RequestError(f"a LoRA weight is at most {LARGEST_LORA_WEIGHT:g}", got=written)
    return weights
