"""The limits of the self-check, as the calibration chose them: only measures that passed it are here.

Start reading at `LIMITS`; `COMMAND` prints the card they come from.
"""

from __future__ import annotations

from dataclasses import dataclass

COMMAND = "sfumato evaluate checks --n 48 --seed 1"


@dataclass(frozen=True, slots=True)
class Limit:
    """Hold the value beyond which a measure calls a fault, and the planted defects it finds (AUC at least 0.95)."""

    value: float
    finds: tuple[str, ...]


LIMITS: dict[str, Limit] = {}
