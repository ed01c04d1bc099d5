"""Whose a piece of work is, as JSON values, and in words where two of them differ.

Knows no request and no folder. Start reading at `list_differences`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import cast

from sfumato.core.serialize import Json

# What is shown of a long value, and how much of it stands before the place where two differ.
_MOST_CHARACTERS, _BEFORE_CHARACTERS = 40, 10
# More than these say no more: it is another piece of work.
_MOST_DIFFERENCES = 4
_NOTHING = "(nothing)"


def list_differences(found: Mapping[str, Json], wanted: Mapping[str, Json]) -> list[str]:
    """Say where the work that was found is not the one that is asked for: `method.strength: 0.35 in the work, 0.5 asked`.

    In the order of `wanted`; nested values by the way to them.
    """
    before, after = dict(_walk("", dict(found))), dict(_walk("", dict(wanted)))
    names = [name for name in {**after, **before} if before.get(name) != after.get(name)]
    return [_say(name, before.get(name), after.get(name)) for name in names]


def join_differences(differences: list[str]) -> str:
    """Return the first differences in one line, and how many more there are."""
    rest = len(differences) - _MOST_DIFFERENCES
    more = [f"{rest} more"] if rest > 0 else []
    return "; ".join([*differences[:_MOST_DIFFERENCES], *more])


def _walk(place: str, value: Json) -> Iterator[tuple[str, str]]:
    """Yield every word or number of a value, written out, by the way to it."""
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _walk(f"{place}.{name}" if place else name, part)
    elif isinstance(value, list) and value:
        for number, part in enumerate(cast("list[Json]", value)):
            yield from _walk(f"{place}[{number}]", part)
    else:
        yield place, _write(value)


def _write(value: Json) -> str:
    """Write a word as it is, and in quotes what would not be seen to be one."""
    if isinstance(value, str) and value.isprintable() and value.split() == [value]:
        return value
    return json.dumps(value, ensure_ascii=False)


def _say(name: str, found: str | None, wanted: str | None) -> str:
    first, second = found or _NOTHING, wanted or _NOTHING
    alike = next((at for at, pair in enumerate(zip(first, second, strict=False)) if len({*pair}) > 1), 0)
    start = max(0, alike - _BEFORE_CHARACTERS)
    return f"{name}: {_cut(first, start)} in the work, {_cut(second, start)} asked"


def _cut(text: str, start: int) -> str:
    """Return a text, or the part of a long one in which it differs."""
    if len(text) <= _MOST_CHARACTERS:
        return text
    end = start + _MOST_CHARACTERS
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
