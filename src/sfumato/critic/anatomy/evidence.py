"""What speaks for each number of digits and for a fault, gathered from a parser's maps as plain numbers.

Knows maps and digits, no network and no verdict. Start reading at `gather_evidence`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.critic.anatomy.instances import SeenDigit, count_tips, find_digits
from sfumato.critic.anatomy.labels import CAUSES, MOST_DIGITS
from sfumato.critic.anatomy.parser import HandMaps

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HandEvidence:
    """Hold what three counters say of one hand, and how the network answers questions about it.

    `count_logs` [8] are logarithms of the count head's probabilities, `middles` and `tips` the two other counts,
    `cause_logs` [5] follow `labels.CAUSES`. `countable`, `right`, `cartoon` and `hand` are logits.
    """

    digits: tuple[SeenDigit, ...]
    count_logs: Numbers
    middles: int
    tips: int
    cause_logs: Numbers
    countable: float
    right: float
    cartoon: float
    hand: float

    def list_count_features(self) -> Numbers:
        """Return for each count 0 to 7 what speaks for it, [8, 4]: head, middles, tips, and both of these off by one."""
        counts = np.arange(MOST_DIGITS)
        middles, tips = min(self.middles, MOST_DIGITS - 1), min(self.tips, MOST_DIGITS - 1)
        near = (np.abs(counts - middles) == 1).astype(float) + (np.abs(counts - tips) == 1)
        return np.stack((self.count_logs, counts == middles, counts == tips, near), axis=1).astype(np.float64)


def gather_evidence(maps: HandMaps) -> HandEvidence:
    """Count the digits in three ways, and read the answers."""
    digits = find_digits(maps)
    answers = maps.answers
    return HandEvidence(
        digits=digits,
        count_logs=log_softmax(answers["count"]),
        middles=len(digits),
        tips=count_tips(maps),
        cause_logs=log_softmax(answers["cause"][: len(CAUSES)]),
        countable=float(answers["countable"][0]),
        right=float(answers["right"][0]),
        cartoon=float(answers["cartoon"][0]),
        hand=float(answers["hand"][0]),
    )


def log_softmax(logits: NDArray[np.floating]) -> Numbers:
    """Return logarithms of the probabilities that logits [n] mean."""
    values = logits.astype(np.float64) - float(logits.max())
    return values - np.log(np.exp(values).sum())
