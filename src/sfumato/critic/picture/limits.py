"""The limits of the self-check, as the calibration chose them; a measure that finds nothing by its limit is only a number.

Start reading at `LIMITS`; `COMMAND` prints the card they come from.
"""

from __future__ import annotations

from dataclasses import dataclass

COMMAND = "sfumato evaluate checks --n 48 --seed 1 --judged out/hires"


@dataclass(frozen=True, slots=True)
class Limit:
    """Hold the value beyond which a measure calls a fault, and the planted defects it finds (AUC at least 0.95, four in five beyond it).

    Without any it gives no verdict.
    """

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
    # Chosen on 48 clean renders of the engine, judged on 39 others, beside 48 planted scenes. By 33.26 dB, the limit
    # of drawn scenes, every second good render would be faulty; by one that good renders pass, no drift is found.
    "base consistency": Limit(25.97, ()),
    # 78.74 on drawn scenes; see docs/checks.md for what the larger one misses.
    "added object mass": Limit(263.3, ("pasted person",)),
    "lost parts": Limit(10.7, ("erased parts",)),
    "sharpness contrast": Limit(10.72, ("foggy windows",)),
    "colour drift": Limit(3.107, ("drift",)),
    # A quarter of the 1.996 px of a result four times as wide, in which it was chosen.
    "tile shift": Limit(0.499, ("shifted tiles",)),
    "grain": Limit(1.906, _NOISE),
    "whiteness": Limit(0.3758, _NOISE),
}
