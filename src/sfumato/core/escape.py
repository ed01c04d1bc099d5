r"""Texts from outside made safe to print: control characters shown as escapes, words of commands quoted for a shell.

A file name may hold anything but `/` and NUL: an escape sequence that steers a terminal, or a `;` that ends
a command. Knows no stream. Start reading at `escape_controls` and `write_command`.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path


def escape_controls(text: str, *, keep: str = "") -> str:
    r"""Return a text with every character that is not printable as its escape, `\x1b`; those in `keep` stay.

    Printable text comes back as it is, and escaping twice is escaping once.
    """
    if text.isprintable():
        return text
    return "".join(x if x.isprintable() or x in keep else ascii(x)[1:-1] for x in text)


def escape_json(text: str) -> str:
    r"""Return JSON with every character that is not printable as `\u` and four digits; it means the same."""
    if text.isprintable():
        return text
    return "".join(x if x.isprintable() else json.dumps(x)[1:-1] for x in text)


def quote_argument(word: str | Path) -> str:
    r"""Return one word of a command to paste, quoted for a POSIX shell; with control characters in the form $'\x1b'."""
    text = str(word)
    if isinstance(word, Path) and text.startswith("-"):
        # Else it would be taken for an option.
        text = f"./{text}"
    if text.isprintable():
        return shlex.quote(text)
    safe = text.replace("\\", r"\\").replace("'", r"\'")
    return "$'" + "".join(x if x.isprintable() else _escape_bytes(x) for x in safe) + "'"


def write_command(*words: str | Path) -> str:
    """Return a command to paste, from its words."""
    return " ".join(map(quote_argument, words))


def _escape_bytes(character: str) -> str:
    # A byte of a name that is no UTF-8 is a lone surrogate in Python.
    errors = "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", errors))
