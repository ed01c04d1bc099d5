"""Frozen dataclasses to JSON and back, tolerant of nothing.

A class that takes part in a union carries a tag `kind`; an unknown tag, an unknown key, a
missing key or a wrong type is a `RequestError` that names the place. Knows no class by name:
the field annotations are the schema, and `register` adds classes to an open union. Start reading at `to_json` and `from_json`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar, cast

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
T = TypeVar("T")

# A request is a page of text; this leaves room for very long prompts and stops a bomb early.
LONGEST_JSON_CHARACTERS = 1_000_000


# The classes that may stand where a field has the type of their base.
_MEMBERS: dict[type, dict[str, type]] = {}


class Tagged(Protocol):
    """A dataclass that can be told from its neighbours in a union."""

    kind: ClassVar[str]


def to_json(value: object) -> Json:
    """Turn a value of dataclasses, tuples and plain words into JSON values; the tag comes first."""
    if isinstance(value, PixelSize):
        return str(value)
    if isinstance(value, tuple | list):
        return [to_json(item) for item in cast("tuple[object, ...]", value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        tag: dict[str, Json] = {"kind": cast("Tagged", value).kind} if hasattr(value, "kind") else {}
        return tag | {name: _field_to_json(hint, getattr(value, name)) for name, hint in _hints(type(value)).items()}
    assert value is None or isinstance(value, bool | int | float | str), f"no JSON form for {type(value)}"
    return value


def register(base: type, member: type) -> None:
    """Let a member stand where a field has the type of its base; `from_json` tells members apart by their `kind`.

    Raises:
        RequestError: another class of this base has the same kind.
    """
    members, kind = _MEMBERS.setdefault(base, {}), cast("Tagged", member).kind
    if members.setdefault(kind, member) is not member:
        raise RequestError(f"two classes have the kind {kind!r}", got=member.__name__)


def from_json(kind: type[T], value: object, *, where: str) -> T:
    """Rebuild a dataclass `kind` from what `to_json` gave; `where` names the value in messages.

    Raises:
        RequestError: a key is unknown or missing, or a value has the wrong type or range.
    """
    return cast("T", _decode(kind, value, where))


def canonical_text(value: Json) -> str:
    """Write JSON in the one form that is hashed: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_json(text: str, *, what: str) -> Json:
    """Parse JSON text from outside; NaN, repeated keys and very long or deep texts are refused.

    Raises:
        RequestError: the text is not such JSON.
    """
    if len(text) > LONGEST_JSON_CHARACTERS:
        raise RequestError(f"{what} is longer than {LONGEST_JSON_CHARACTERS} characters", got=len(text))
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except RecursionError as error:
        raise RequestError(f"{what} is nested too deeply") from error
    except ValueError as error:
        raise RequestError(f"{what} is not JSON", got=str(error)) from error


def _field_to_json(hint: Any, value: object) -> Json:
    # Equal requests must have equal text: 7 == 7.0 and -0.0 == 0.0, but they are written apart.
    if hint is float and isinstance(value, int | float):
        return float(value) + 0.0
    return to_json(value)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not a number")


def _unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is written twice")
    return found


def _decode(hint: Any, value: object, where: str) -> object:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return _decode_union(typing.get_args(hint), value, where)
    if hint in _MEMBERS:
        return _decode_union(tuple(_MEMBERS[hint].values()), value, where)
    if typing.get_origin(hint) is tuple:
        return _decode_tuple(typing.get_args(hint)[0], value, where)
    if hint is PixelSize:
        return PixelSize.parse(cast("str", _decode_plain(str, value, where)))
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(cast("type", hint), value, where)
    return _decode_plain(hint, value, where)


def _decode_union(members: tuple[Any, ...], value: object, where: str) -> object:
    if value is None and type(None) in members:
        return None
    named = [member for member in members if member is not type(None)]
    if len(named) == 1:
        return _decode(named[0], value, where)
    kinds = {cast("Tagged", member).kind: member for member in named}
    tag = cast("Mapping[str, object]", value).get("kind") if isinstance(value, Mapping) else value
    if not isinstance(tag, str) or tag not in kinds:
        raise RequestError(f"{where} has no known kind", got=tag, do=f"Use one of: {', '.join(sorted(kinds))}.")
    return _decode(kinds[tag], value, where)


def _decode_tuple(member: Any, value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise RequestError(f"{where} has to be a list", got=value)
    items = cast("list[object]", value)
    return tuple(_decode(member, item, f"{where}[{index}]") for index, item in enumerate(items))


def _decode_dataclass(kind: type, value: object, where: str) -> object:
    if not isinstance(value, Mapping):
        raise RequestError(f"{where} has to be an object", got=value)
    fields_found = dict(cast("Mapping[str, object]", value))
    if hasattr(kind, "kind") and fields_found.pop("kind", None) != kind.kind:
        raise RequestError(f"{where} has to have the kind {kind.kind!r}")
    hints = _hints(kind)
    _check_keys(kind, fields_found, where)
    return kind(**{name: _decode(hints[name], item, f"{where}.{name}") for name, item in fields_found.items()})


def _check_keys(kind: type, fields_found: Mapping[str, object], where: str) -> None:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(fields_found) - set(fields))
    if unknown:
        raise RequestError(f"{where} has unknown keys", got=unknown, do=f"Known keys: {', '.join(fields)}.")
    missing = [
        name
        for name, field in fields.items()
        if name not in fields_found
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise RequestError(f"{where} lacks keys", got=missing)


def _decode_plain(hint: Any, value: object, where: str) -> object:
    # JSON has one kind of number, so 7 is a fine float; True is never a number here.
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError as error:
            raise RequestError(f"{where} is larger than any number of this kind", got=value) from error
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise RequestError(f"{where} has to be of type {hint.__name__}", got=value)
    if isinstance(value, float) and not math.isfinite(value):
        raise RequestError(f"{where} has to be finite", got=value)
    return value
