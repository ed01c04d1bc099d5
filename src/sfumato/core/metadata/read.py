"""Read the `parameters` text that AUTOMATIC1111 and tools like it store in pictures.

The text is a prompt, an optional part that opens with `Negative prompt:`, and `key: value` pairs that
open with `Steps:`. Everything is accepted, as it comes from outside; what is not understood is listed.
Written from the observed texts of several tools. Knows no picture format. Start reading at `read_parameters`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.serialize import Json

T = TypeVar("T")

_NEGATIVE = "Negative prompt:"
# Only this far is looked for the colon of a key: the time stays linear in the text.
_LONGEST_KEY = 60
_KEY = re.compile(rf"\s*+([^\W\d_][\w \-/+().&#]{{0,{_LONGEST_KEY}}}?):(?:\s|$)")
# A last line with fewer pairs is a line of the prompt that happens to hold a colon.
_FEWEST_PAIRS = 3
_BREAK = re.compile(r"[,\n]")
_HIRES = "Hires "
_READER = json.JSONDecoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignParameters:
    """Hold what a `parameters` text says; None or empty where it does not.

    `guidance` is the CFG scale, `strength` the denoising strength. Names of samplers, schedules and models are
    as the other tool writes them. `hires` holds the keys of its second pass without their prefix, `others`
    every key that is not understood.
    """

    prompt: str = ""
    negative: str = ""
    steps: int | None = None
    sampler: str | None = None
    schedule: str | None = None
    guidance: float | None = None
    seed: int | None = None
    size: PixelSize | None = None
    model: str | None = None
    model_hash: str | None = None
    vae: str | None = None
    clip_skip: int | None = None
    strength: float | None = None
    version: str | None = None
    lora_hashes: Mapping[str, str] = field(default_factory=dict[str, str])
    hires: Mapping[str, str] = field(default_factory=dict[str, str])
    others: Mapping[str, str] = field(default_factory=dict[str, str])

    def to_json(self) -> dict[str, Json]:
        """Return the parameters as JSON values."""
        named: dict[str, Json] = {name: getattr(self, name) for name in ("prompt", "negative", *_FIELDS.values())}
        named["size"] = None if self.size is None else str(self.size)
        for name in ("lora_hashes", "hires", "others"):
            named[name] = dict(getattr(self, name))
        return named


@dataclass(frozen=True, slots=True, kw_only=True)
class Infotext:
    """A `parameters` text taken apart into its three parts."""

    prompt: str
    negative: str
    pairs: Mapping[str, str]


def read_parameters(text: str) -> ForeignParameters:
    """Read a `parameters` text; a value that does not fit its key stays among `others`."""
    parts = parse_infotext(text)
    known: dict[str, Any] = {}
    hires: dict[str, str] = {}
    others: dict[str, str] = {}
    for key, value in parts.pairs.items():
        name = _FIELDS.get(key)
        found = None if name is None else _READ.get(name, _read_text)(value)
        if name is not None and found is not None:
            known[name] = found
        elif key == "Lora hashes":
            known["lora_hashes"] = parse_pairs(value)
        elif key.startswith(_HIRES):
            hires[key.removeprefix(_HIRES)] = value
        else:
            others[key] = value
    return ForeignParameters(prompt=parts.prompt, negative=parts.negative, hires=hires, others=others, **known)


def parse_infotext(text: str) -> Infotext:
    """Take a `parameters` text of any tool apart."""
    lines = text.replace("\r\n", "\n").strip().split("\n")
    start, pairs = _find_pairs(lines)
    words = lines[:start]
    opens = next((index for index, line in enumerate(words) if line.startswith(_NEGATIVE)), len(words))
    negative = "\n".join(words[opens:]).removeprefix(_NEGATIVE).strip()
    return Infotext(prompt="\n".join(words[:opens]).strip(), negative=negative, pairs=pairs)


def parse_pairs(text: str) -> dict[str, str]:
    """Read `key: value, key: value`; values are bare, JSON in brackets, or JSON strings in quotes.

    A bare value may hold commas: it ends where a comma stands before another key. The first of equal keys holds.
    """
    found: dict[str, str] = {}
    place = 0
    while (key := _KEY.match(text, place)) is not None:
        value, place = _read_value(text, key.end())
        found.setdefault(key[1].strip(), value)
    return found


def _find_pairs(lines: list[str]) -> tuple[int, dict[str, str]]:
    """Return the first line of the pairs, or how many lines there are, and the pairs."""
    opens = [index for index, line in enumerate(lines) if line.startswith("Steps: ")]
    for start in (*opens[-1:], len(lines) - 1):
        pairs = parse_pairs("\n".join(lines[start:]))
        if len(pairs) >= _FEWEST_PAIRS:
            return start, pairs
    return len(lines), {}


def _read_value(text: str, place: int) -> tuple[str, int]:
    """Return a value that starts at a place, and the place behind its comma."""
    while place < len(text) and text[place] == " ":
        place += 1
    if text[place : place + 1] in ('"', "{", "["):
        try:
            value, end = _READER.raw_decode(text, place)
        except (ValueError, RecursionError):
            # Looks like JSON and is none: a bare value.
            pass
        else:
            if text[end : end + 1] in ("", ",", "\n"):
                return value if isinstance(value, str) else text[place:end], end + 1
    end = place
    while (found := _BREAK.search(text, end)) is not None:
        if _KEY.match(text, found.end()):
            return text[place : found.start()].strip(" ,"), found.end()
        end = found.end()
    return text[place:].strip().rstrip(","), len(text)


def _read_text(value: str) -> str | None:
    return value or None


def _read_float(value: str) -> float:
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(value)
    return found


def _make_reader(kind: Callable[[str], T]) -> Callable[[str], T | None]:
    def read(value: str) -> T | None:
        try:
            return kind(value)
        except (ValueError, OverflowError, RequestError):
            return None

    return read


_FIELDS = {
    "Steps": "steps",
    "Sampler": "sampler",
    "Schedule type": "schedule",
    "CFG scale": "guidance",
    "Seed": "seed",
    "Size": "size",
    "Model": "model",
    "Model hash": "model_hash",
    "VAE": "vae",
    "Clip skip": "clip_skip",
    "Denoising strength": "strength",
    "Version": "version",
}
_READ: Mapping[str, Callable[[str], object]] = {
    "steps": _make_reader(int),
    "seed": _make_reader(int),
    "clip_skip": _make_reader(int),
    "guidance": _make_reader(_read_float),
    "strength": _make_reader(_read_float),
    "size": _make_reader(PixelSize.parse),
}
