"""How far a detector's scores are believed: probabilities fitted on held-out pictures, and from where on they are told.

Knows scores and whether they were right. Start reading at `ScoreCalibration`, then `fit_calibration`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

# What is rather wrong than right is never told, however few of those there are.
LEAST_PROBABILITY = 0.5
# Newton's method on two numbers; ten rounds are more than it needs.
ROUNDS = 30
# Keeps the fit finite where every score on one side is right.
RIDGE = 1e-2


@dataclass(frozen=True)
class ScoreCalibration:
    """Turn the scores of one kind into probabilities, and say from which probability on a detection is told.

    Source: Platt 1999, "Probabilistic outputs for support vector machines".
    """

    slope: float = 1.0
    offset: float = 0.0
    least: float = 0.5

    def believe(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the probability that a detection of a score is right."""
        return 1.0 / (1.0 + np.exp(-(self.slope * scores + self.offset)))


def fit_calibration(scores: NDArray[np.floating], right: NDArray[np.bool_]) -> ScoreCalibration:
    """Fit probabilities to scores [n] of detections that were right or not; without both, scores stay as they are."""
    if right.all() or not right.any():
        return ScoreCalibration()
    # Platt's targets: not quite 0 and 1, as if one more of each had been seen.
    ups, downs = int(right.sum()), int((~right).sum())
    wanted = np.where(right, (ups + 1) / (ups + 2), 1 / (downs + 2))
    columns = np.stack([scores.astype(np.float64), np.ones(len(scores))], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(ROUNDS):
        share = 1.0 / (1.0 + np.exp(-columns @ weights))
        slope = columns.T @ (share - wanted) + RIDGE * (weights - [1.0, 0.0])
        bend = (columns * (share * (1 - share))[:, None]).T @ columns + RIDGE * np.eye(2)
        weights = weights - np.linalg.solve(bend, slope)
    return ScoreCalibration(float(weights[0]), float(weights[1]))


def choose_least(
    calibration: ScoreCalibration, scores: NDArray[np.floating], right: NDArray[np.bool_], precision: float
) -> ScoreCalibration:
    """Return the calibration that tells as much as it can while the share of right ones stays at `precision` or more.

    Where no limit reaches that share, the one with the largest share is taken.
    """
    if len(scores) == 0:
        return calibration
    order = np.argsort(-scores, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(shares >= precision)
    last = int(good[-1]) if len(good) else int(shares.argmax())
    # Rounded down as the configuration is written, so that the last one counted stays in.
    least = np.floor(float(calibration.believe(scores[order[last : last + 1]])[0]) * 1e4) / 1e4
    return replace(calibration, least=max(float(least), LEAST_PROBABILITY))
