"""When to stop, and which state to keep: losses on batches that never change, compared row by row.

Knows numbers only. Start reading at `StopRule`.

Every check measures the same pictures with the same noise, so two checks differ by what was learned and by nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

# Steps between two checks.
CHECK_EVERY = 25
# The held-out loss has to lie above its best by more than a standard error so many times in a row.
RISES = 3
# Predictions for prompts without the trigger may move by this share of their power, ungated; beyond it the change is
# plainly seen in pictures of mini.
MOST_DRIFT = 0.02


@dataclass(frozen=True, kw_only=True)
class LossCheck:
    """One check: mean losses, `drift` (see `losses.measure_drift`), and the held-out loss row by row."""

    step: int
    train: float
    held_out: float
    drift: float
    rows: tuple[float, ...] = ()

    def to_json(self) -> dict[str, float | int]:
        """Return the check as JSON values, without rows."""
        values = {"train": self.train, "held_out": self.held_out, "drift": self.drift}
        return {"step": self.step} | {name: round(value, 6) for name, value in values.items()}


@dataclass(eq=False)
class StopRule:
    """Keep the history, and say which check is the best and when no better one is to be hoped for. A leaf."""

    most_drift: float = MOST_DRIFT
    checks: list[LossCheck] = field(default_factory=list[LossCheck])
    best: LossCheck | None = None
    rises: int = 0

    def add(self, check: LossCheck) -> bool:
        """Take a check; tell whether it is the best so far."""
        self.checks.append(check)
        if not math.isfinite(check.held_out) or (self.best is not None and check.drift > self.most_drift):
            self.rises += 1
            return False
        if self.best is None or check.held_out < self.best.held_out:
            self.best, self.rises = check, 0
            return True
        self.rises = self.rises + 1 if _is_above(check.rows, self.best.rows) else 0
        return False

    @property
    def reason(self) -> str:
        """Say why to stop; empty while there is hope."""
        if self.rises < RISES or not self.checks:
            return ""
        last = self.checks[-1]
        if not math.isfinite(last.held_out):
            return "the loss is no number"
        if last.drift > self.most_drift:
            return f"the base drifts by more than {100 * self.most_drift:g} %"
        return "the held-out loss rises"


def _is_above(rows: tuple[float, ...], best: tuple[float, ...]) -> bool:
    """Tell whether rows lie above others by more than one standard error of their differences."""
    gaps = np.subtract(rows, best)
    return len(gaps) > 1 and float(gaps.mean()) > float(gaps.std(ddof=1)) / math.sqrt(len(gaps))
