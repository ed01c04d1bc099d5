"""How far evidence is believed: weights and limits that were fitted on hands used for nothing else.

Knows numbers only. Start reading at `Beliefs`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

COUNT_FEATURES, FAULT_FEATURES, CAUSE_FEATURES = 4, 4, 4
WEIGHED_CAUSES = 4
"""Causes that are weighed apart: extra, missing, fused, split."""


@dataclass(frozen=True)
class Beliefs:
    """Weigh evidence and set the limits of verdicts.

    `count` weighs what speaks for a number of digits (`HandEvidence.list_count_features`). `fault` weighs what speaks for
    a fault (`verdict.list_fault_features`), the last weight stands alone. `causes` weighs what speaks for each cause
    (`verdict.list_cause_features`), one cause after the other; without weights, causes share the probability of a fault.
    `countable` is slope and offset of a logit.
    A hand is countable from `least_countable` on, wrong from `least_goof` on, and right up to `most_ok`.
    """

    count: tuple[float, ...] = (1.0, 0.5, 0.5, 0.0)
    fault: tuple[float, ...] = (1.0, 1.0, 0.0, 0.0)
    countable: tuple[float, ...] = (1.0, 0.0)
    causes: tuple[float, ...] = ()
    least_countable: float = 0.8
    least_goof: float = 0.9
    most_ok: float = 0.3

    def to_json(self) -> dict[str, Any]:
        """Return the beliefs as JSON values, rounded."""
        return json.loads(json.dumps(asdict(self)), parse_float=lambda text: round(float(text), 5))

    @staticmethod
    def from_json(values: dict[str, Any]) -> Beliefs:
        """Read what `to_json` wrote; ValueError, KeyError or TypeError where it does not fit."""
        count, fault, countable = (tuple(float(v) for v in values[name]) for name in ("count", "fault", "countable"))
        if (len(count), len(fault), len(countable)) != (COUNT_FEATURES, FAULT_FEATURES, 2):
            raise ValueError("another number of weights")
        causes = tuple(float(v) for v in values.get("causes", ()))
        if len(causes) not in (0, WEIGHED_CAUSES * CAUSE_FEATURES):
            raise ValueError("another number of weights of causes")
        limits = {name: float(values[name]) for name in ("least_countable", "least_goof", "most_ok")}
        if not all(math.isfinite(value) for value in (*count, *fault, *countable, *causes, *limits.values())):
            raise ValueError("a weight is not finite")
        return Beliefs(count, fault, countable, causes, **limits)
