"""Checks that one value has the right type and lies in its range.

Knows nothing about what the value is for; the caller names it. Every check raises
`RequestError` and returns nothing. Start reading anywhere: the three checks are alike.
"""

from __future__ import annotations

import math

from sfumato.core.errors import RequestError


def check_int(what: str, value: object, *, low: int, high: int) -> None:
    """Check a whole number between `low` and `high`, both allowed; True is no number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise RequestError(f"{what} is a whole number", got=value, do=f"Give one from {low} to {high}.")
    if not low <= value <= high:
        raise RequestError(f"{what} lies between {low} and {high}", got=value, do="Give a number in that range.")


def check_float(what: str, value: object, *, low: float, high: float) -> None:
    """Check a finite number between `low` and `high`, both allowed; whole numbers will do."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not _is_finite(value):
        raise RequestError(f"{what} is a finite number", got=value, do=f"Give one from {low:g} to {high:g}.")
    if not low <= value <= high:
        raise RequestError(f"{what} lies between {low:g} and {high:g}", got=value, do="Give a number in that range.")


def check_text(what: str, value: object, *, most: int, empty: bool = True) -> None:
    """Check a text of at most `most` characters that UTF-8 and a PNG text chunk can hold."""
    if not isinstance(value, str):
        raise RequestError(f"{what} is a text", got=value)
    if len(value) > most:
        raise RequestError(f"{what} has at most {most} characters", got=len(value), do="Shorten it.")
    if not value and not empty:
        raise RequestError(f"{what} is empty")
    # NUL ends a PNG keyword or text early; lone surrogates have no UTF-8 form.
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise RequestError(f"{what} has characters that cannot be stored", got=value)


def _is_finite(value: float) -> bool:
    # A whole number beyond what a float can hold is finite, and a request may name one.
    return isinstance(value, int) or math.isfinite(value)
