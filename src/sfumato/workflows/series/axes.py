"""Settings that vary: axes of a grid, a prompt matrix, and prompts from a file become a list of settings.

Knows names and values; draws nothing. Start reading at `list_variants`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sfumato.core.errors import RequestError
from sfumato.workflows.values import RequestValues

# A grid of more is not looked at, and costs hours by mistake.
MOST_VARIANTS = 256
# The axis that puts other words in the place of the first.
REPLACE = "prompt_replace"
_FIXED = frozenset({"init", "mask", "picture"})
_RANGE = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*-\s*(-?\d+(?:\.\d+)?)\s*(?:\(([+-]?\d+(?:\.\d+)?)\)|\[(\d+)\])?\s*")


@dataclass(frozen=True, kw_only=True)
class GridAxis:
    """One setting and the values that it takes; `prompt_replace` puts each value where the first stands in the prompt."""

    name: str
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        known = {one.name for one in fields(RequestValues)} - _FIXED | {REPLACE}
        if self.name not in known:
            raise RequestError("no axis has this name", got=self.name, do=f"Axes: {', '.join(sorted(known))}.")
        if not 1 <= len(self.values) <= MOST_VARIANTS:
            raise RequestError(f"an axis has 1 to {MOST_VARIANTS} values", got=len(self.values))

    @classmethod
    def parse(cls, text: str) -> GridAxis:
        """Read `NAME=VALUE,VALUE…`; numbers may be ranges, 1-5, 10-30(+10) or 1-9[3].

        Raises:
            RequestError: the text is something else.
        """
        name, equals, rest = text.partition("=")
        if not equals:
            raise RequestError("an axis is NAME=VALUE,VALUE", got=text, do="Write steps=10,20,30.")
        return cls(name=name.strip().replace("-", "_"), values=read_values(rest))


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One picture of a series: its settings, and what is different about it, a word for each axis."""

    settings: Mapping[str, Any]
    labels: tuple[str, ...] = ()


def read_values(text: str) -> tuple[Any, ...]:
    """Return the values of an axis, with commas between; what looks like a number is one, and ranges are counted out."""
    found = list[Any]()
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            found.append(_read_value(part.strip()))
            continue
        low, high = float(match[1]), float(match[2])
        if match[4]:
            count = min(int(match[4]), MOST_VARIANTS + 1)
            numbers = [low + (high - low) * index / max(1, count - 1) for index in range(count)]
        else:
            step = float(match[3] or (1 if high >= low else -1))
            if step == 0 or (high - low) / step < 0 or (high - low) / step > MOST_VARIANTS:
                raise RequestError("a range has no end", got=part.strip(), do="Write 10-30(+10).")
            numbers = [low + step * index for index in range(int((high - low) / step + 1e-9) + 1)]
        found += [int(number) if number == int(number) else round(number, 6) for number in numbers]
    return tuple(found)


def list_variants(settings: Mapping[str, Any], axes: Sequence[GridAxis]) -> list[Variant]:
    """Return the settings of every picture of a grid, the first axis fastest.

    Raises:
        RequestError: there are too many, or the prompt lacks the words that are replaced.
    """
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > MOST_VARIANTS:
        raise RequestError("the grid has too many pictures", got=count, do=f"Ask for at most {MOST_VARIANTS}.")
    found = list[Variant]()
    for values in itertools.product(*(axis.values for axis in reversed(axes))):
        changed, labels = dict(settings), list[str]()
        for axis, value in zip(axes, reversed(values), strict=True):
            if axis.name == REPLACE:
                first, prompt = str(axis.values[0]), str(changed.get("prompt") or "")
                if first not in prompt:
                    raise RequestError("the prompt lacks the words that are replaced", got=first)
                changed["prompt"] = prompt.replace(first, str(value))
                labels.append(str(value))
            else:
                changed[axis.name] = value
                labels.append(f"{axis.name}: {value}")
        found.append(Variant(settings=changed, labels=tuple(labels)))
    return found


def list_matrix(settings: Mapping[str, Any]) -> list[Variant]:
    """Return every combination of the parts of a prompt behind the first bar: `a castle|snow|at night` has four.

    Raises:
        RequestError: there are too many.
    """
    first, *parts = [part.strip() for part in str(settings.get("prompt") or "").split("|")]
    if 2 ** len(parts) > MOST_VARIANTS:
        raise RequestError("the matrix has too many pictures", got=2 ** len(parts), do="Use fewer bars.")
    found = list[Variant]()
    for number in range(2 ** len(parts)):
        chosen = [part for index, part in enumerate(parts) if number >> index & 1]
        prompt = ", ".join([first, *chosen])
        found.append(Variant(settings={**settings, "prompt": prompt}, labels=(", ".join(chosen) or first,)))
    return found


def list_prompts(settings: Mapping[str, Any], text: str) -> list[Variant]:
    """Return the settings for each line of a text: a prompt a line; empty lines and those that begin with # are none.

    Raises:
        RequestError: there are no lines, or too many.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not 1 <= len(lines) <= MOST_VARIANTS:
        raise RequestError(f"a file of prompts has 1 to {MOST_VARIANTS} lines", got=len(lines))
    return [Variant(settings={**settings, "prompt": line}, labels=(line,)) for line in lines]


def _read_value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
