"""How far a forecast was from what happened. Start reading at `measure_error`."""

from __future__ import annotations

# Three digits of a share: the fourth of a clock is noise.
_DIGITS = 3


def measure_error(planned: float, actual: float | None) -> float | None:
    """Return (planned - actual) / actual: above 0 too much was planned, below too little; None without a number."""
    return round((planned - actual) / actual, _DIGITS) if actual else None
