"""The limits of the self-check, as the calibration chose them: only measures that passed it are here.

Start reading at `LIMITS`; `COMMAND` prints the card they come from.
"""

from __future__ import annotations

from dataclasses import dataclass

COMMAND = "sfumato evaluate checks --n 48 --seed 1"


@dataclass(frozen=True, slots=True)
class Limit:
    """Hold the value beyond which a measure calls a fault, and the planted defects it finds (AUC at least 0.95, four in five beyond it)."""

    value: float
    finds: tuple[str, ...]


_SEAMS = ("hard seams", "blended seams")
_NOISE = ("white noise", "blue noise")
# In the units of `checks.MEASURES`.
LIMITS: dict[str, Limit] = {
    "seam ratio": Limit(3.959, ("hard seams", "line")),
    "colour step": Limit(2.101, ("hard seams",)),
    "median colour step": Limit(0.5648, _SEAMS),
    "lattice": Limit(3.199, ("hard seams", "line")),
    "base consistency": Limit(33.26, ("drift", "shifted tiles")),
    "phantom mass": Limit(78.74, ("pasted person",)),
    "colour drift": Limit(3.107, ("drift",)),
    "tile shift": Limit(1.996, ("shifted tiles",)),
    "grain": Limit(1.906, _NOISE),
    "whiteness": Limit(0.3758, _NOISE),
}
