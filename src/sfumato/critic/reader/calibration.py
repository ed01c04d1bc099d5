"""How far a confidence can be believed: temperatures fitted on held-out pictures, and the error left.

Knows logits and answers only. Start reading at `fit_temperature`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

# From twice too shy to eight times too bold; a reader outside this range has other problems.
TEMPERATURES = torch.logspace(-1.0, 3.0, 81, base=2.0)
BINS = 15


def fit_temperature(logits: Tensor, answers: Tensor) -> float:
    """Return the temperature with the smallest cross-entropy on answered questions; 1 without any.

    logits [N, classes], answers [N] with -1 where not asked. A search over a grid: one number,
    no optimiser to fail.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
    """
    known = answers >= 0
    if not bool(known.any()):
        return 1.0
    asked, truth = logits[known].float(), answers[known]
    losses = torch.stack([F.cross_entropy(asked / t, truth) for t in TEMPERATURES])
    return float(TEMPERATURES[losses.argmin()])


def measure_calibration_error(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Return the mean gap between confidence and accuracy over equal bins, in [0, 1].

    Source: Naeini et al. 2015, expected calibration error.
    """
    if confidence.size == 0:
        return float("nan")
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(float((confidence - right)[place == b].sum())) for b in range(BINS)]
    return sum(gaps) / confidence.size
