"""Read a JSON file of a checkpoint folder within bounds, and refuse what could name code.

Knows JSON and the tricks played with configuration keys, not what a model needs. Start reading at
`read_config`.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Never

from sfumato.models.files.header import JSON_TOKEN, find_double, open_plain_file, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST_CONFIG_BYTES = 256 * 2**10
# The vocabulary of CLIP as tokenizer.json is 3.6 MB.
LARGEST_VOCABULARY_BYTES = 16 * 2**20
DEEPEST = 12
LONGEST_NUMBER_CHARACTERS = 40

# Keys that start with `_` steer the libraries from inside: one of them ran code from the network
# (CVE-2026-4372). These are harmless records that real folders carry.
# (`__type` marks an added token in tokenizer files.)
KNOWN_PRIVATE_KEYS = frozenset(
    {"_class_name", "_diffusers_version", "_name_or_path", "_commit_hash", "_use_default_values", "__type"}
)
CODE_KEYS = frozenset({"trust_remote_code", "auto_map", "custom_pipeline", "custom_pipelines"})

# tokenizer.json of CLIP has 390,000: strings, brackets and commas of 49,000 words and as many merge rules.
MOST_TOKENS = 600_000


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration: a small JSON object without keys that could name code.

    Raises:
        UnsafeFileError: too large, too deep, not JSON, a doubled key, or a forbidden key.
    """
    config = read_json(path, LARGEST_CONFIG_BYTES)
    if not isinstance(config, dict):
        refuse(path, "the configuration is not a JSON object")
    for key in walk_keys(config):
        if key in CODE_KEYS:
            refuse(path, f"the key {key!r} asks for code to be run", do="Remove the key; no checkpoint needs it.")
        if key.startswith("_") and key not in KNOWN_PRIVATE_KEYS:
            refuse(path, "a private key could steer the loading library", got=key, do="Remove the key.")
    return config


def read_json(path: Path, limit: int) -> Any:
    """Read a JSON file of at most `limit` bytes, strictly.

    Raises:
        UnsafeFileError: too large, too deep, not JSON, a doubled key, NaN or a giant number.
    """
    with os.fdopen(open_plain_file(path), "rb") as file:
        raw = file.read(limit + 1)
    if len(raw) > limit:
        refuse(path, f"it is larger than {limit} bytes")
    _check_outline(path, raw)
    return _parse(path, raw)


def _check_outline(path: Path, raw: bytes) -> None:
    """Bound the depth and the number of values of a JSON text before it is parsed."""
    depth = 0
    for count, match in enumerate(JSON_TOKEN.finditer(raw)):
        sign = raw[match.start()]
        if sign in b"[{":
            depth += 1
        elif sign in b"]}":
            depth -= 1
        if depth > DEEPEST:
            refuse(path, f"it is nested deeper than {DEEPEST} levels")
        if count > MOST_TOKENS:
            refuse(path, f"it holds more than {MOST_TOKENS} words, lists and tables")


def walk_keys(value: Any) -> Iterator[str]:
    """Yield every key at every depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from walk_keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk_keys(inner)


def _parse(path: Path, raw: bytes) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            refuse(path, "a key appears twice", got=find_double(name for name, _ in items)[:LONGEST_NUMBER_CHARACTERS])
        return found

    def number(text: str, kind: type[int] | type[float]) -> int | float:
        if len(text) > LONGEST_NUMBER_CHARACTERS:
            refuse(path, "a number is too long", got=text[:LONGEST_NUMBER_CHARACTERS])
        return kind(text)

    def constant(text: str) -> Never:
        refuse(path, "it holds a value that JSON does not have", got=text)

    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=pairs,
            parse_int=lambda text: number(text, int),
            parse_float=lambda text: number(text, float),
            parse_constant=constant,
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        refuse(path, "it is not valid JSON", got=str(error)[:80])
