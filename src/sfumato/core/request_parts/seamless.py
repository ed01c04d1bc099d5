"""Which opposite sides of a picture fit each other, so that copies of it lie beside each other without a seam.

Knows words alone. Start reading at `check_seamless`.
"""

from __future__ import annotations

from sfumato.core.errors import RequestError

OFF, ACROSS, DOWN, BOTH = "off", "x", "y", "both"
SEAMLESS = (OFF, ACROSS, DOWN, BOTH)


def check_seamless(word: str) -> None:
    """Check a word.

    Raises:
        RequestError: it is none of `SEAMLESS`.
    """
    if word not in SEAMLESS:
        raise RequestError("`seamless` is off, x, y or both", got=word)


def wraps_across(word: str) -> bool:
    """Tell whether the right side goes on at the left one."""
    return word in (ACROSS, BOTH)


def wraps_down(word: str) -> bool:
    """Tell whether the lower side goes on at the upper one."""
    return word in (DOWN, BOTH)
