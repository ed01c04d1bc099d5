"""Rows of the card of the detector: shares that are right and shares that are found, by kind and size.

Knows what was judged, no picture. Start reading at `describe_set`.
"""

from __future__ import annotations

import math

import numpy as np

from sfumato.core.cards import Measurement, measure_share
from sfumato.critic.detector.network import KINDS, Kind
from sfumato.critic.reader.calibration import measure_calibration_error
from sfumato.lab.detector.judging import DetectionCounts

# Longer sides in px: from, below.
SIZES = ((8.0, 16.0), (16.0, 32.0), (32.0, 64.0), (64.0, math.inf))
# Counting needs few false alarms more than it needs everybody.
LEAST_PRECISION, LEAST_RECALL = 97.0, 90.0
RECALL_FROM_PX = 16.0
RECALL_KINDS: tuple[Kind, ...] = ("person", "face", "house")


def describe_set(name: str, judged: DetectionCounts) -> list[Measurement]:
    """Return precision and recall of each kind: those with an aim first, then by size where there is anything."""
    rows: list[Measurement] = []
    for kind in KINDS:
        large = "512" in name
        rows.append(
            _measure_precision(f"{name}: {kind} precision", judged, kind, aim=LEAST_PRECISION if large else None)
        )
        aim = LEAST_RECALL if kind in RECALL_KINDS else None
        title = f"{name}: {kind} recall, {RECALL_FROM_PX:g} px and more"
        rows.append(_measure_recall(title, judged, kind, (RECALL_FROM_PX, math.inf), aim=aim))
        for span in SIZES:
            where = f"{span[0]:g}-{span[1]:g} px" if math.isfinite(span[1]) else f"{span[0]:g} px and more"
            by_size = (
                _measure_precision(f"{name}: {kind} precision, {where}", judged, kind, span),
                _measure_recall(f"{name}: {kind} recall, {where}", judged, kind, span),
            )
            rows += [row for row in by_size if row.n]
    return rows


def describe_confidence(judged: DetectionCounts) -> Measurement:
    """Return how far confidences are from the share that is right."""
    told = [one for kind in KINDS for one in judged.told[kind]]
    sure, right = np.array([score for score, _, _ in told]), np.array([one for _, _, one in told], np.bool_)
    gap = measure_calibration_error(sure, right)
    return Measurement(name="gap between confidence and share right", value=gap, unit="share", n=len(told))


def _measure_precision(
    name: str,
    judged: DetectionCounts,
    kind: Kind,
    span: tuple[float, float] = (0.0, math.inf),
    *,
    aim: float | None = None,
) -> Measurement:
    told = [right for _, side, right in judged.told[kind] if span[0] <= side < span[1]]
    return measure_share(name, sum(told), len(told), aim=aim)


def _measure_recall(
    name: str, judged: DetectionCounts, kind: Kind, span: tuple[float, float], *, aim: float | None = None
) -> Measurement:
    there = [found for side, found in judged.there[kind] if span[0] <= side < span[1]]
    return measure_share(name, sum(there), len(there), aim=aim)
