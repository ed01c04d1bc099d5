"""Which state of a training is the best by what it draws: a few pictures at a few steps, compared seed by seed.

Losses go on falling while faces melt; pictures tell. Start reading at `CandidateRule`; `sweep_strength` comes after
training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.core.cards import bootstrap_interval

# Steps between two candidates: a candidate costs as much as a dozen steps.
CANDIDATE_EVERY = 75
# So many candidates in a row whose gain may be chance end the training.
MISSES = 2
# Other seeds than the card's: what chooses is not what judges.
SEEDS = (11, 12, 13)
PROMPTS = 2
STEPS = 12
STRENGTHS = (0.5, 0.75, 1.0, 1.25)
# The rest of the prompt may be right so much less often than at the usual strength.
LEAST_CLAIMS_FRAC = 0.9


@dataclass(eq=False)
class CandidateRule:
    """Compare candidates by ratings of the same prompts and seeds, and say when to stop. A leaf."""

    steps: list[int] = field(default_factory=list[int])
    rates: list[list[float]] = field(default_factory=list[list[float]])
    best: int | None = None
    misses: int = 0

    def add(self, step: int, rates: NDArray[np.float64]) -> bool:
        """Take a candidate; tell whether it is the best so far."""
        self.steps.append(step)
        self.rates.append([float(rate) for rate in rates])
        if self.best is None:
            self.best = len(self.steps) - 1
            return True
        gains = rates - np.asarray(self.rates[self.best])
        low, _ = bootstrap_interval(gains)
        self.misses = 0 if low > 0 else self.misses + 1
        if gains.mean() <= 0:
            return False
        self.best = len(self.steps) - 1
        return True

    @property
    def reason(self) -> str:
        """Say why to stop; empty while there is hope."""
        return "pictures no longer gain" if self.misses >= MISSES else ""

    @property
    def best_step(self) -> int | None:
        """Return the step of the best candidate, None without one."""
        return None if self.best is None else self.steps[self.best]

    def to_json(self) -> dict[str, Any]:
        """Return the history as JSON values."""
        return {"steps": self.steps, "rates": self.rates, "best": self.best, "misses": self.misses}


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedPictures:
    """Hold the mean likeness of pictures, and the share of what else their prompts say."""

    likeness: float
    claims: float


def sweep_strength(rate: Callable[[float], RatedPictures], strengths: Sequence[float] = STRENGTHS) -> float:
    """Return the strength of the LoRA with the most likeness at which the rest of the prompt still holds."""
    rated = {strength: rate(strength) for strength in strengths}
    usual = rated.get(1.0, next(iter(rated.values()))).claims
    allowed = {at: one for at, one in rated.items() if one.claims >= LEAST_CLAIMS_FRAC * usual}
    # Of equals the weakest: it changes the base least.
    return max(sorted(allowed), key=lambda at: allowed[at].likeness)
