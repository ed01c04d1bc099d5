"""Fit how far the parser's evidence is believed, on hands that neither trained nor judge it.

Knows evidence and truth, no picture. Start reading at `fit_beliefs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from sfumato.critic.anatomy.belief import COUNT_FEATURES, Beliefs
from sfumato.critic.anatomy.evidence import HandEvidence, gather_evidence
from sfumato.critic.anatomy.labels import CAUSES, MOST_DIGITS
from sfumato.critic.anatomy.parser import Parser
from sfumato.critic.anatomy.verdict import believe_goof, list_cause_features, list_fault_features
from sfumato.lab.critic.examples import UNKNOWN, HandExamples

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Of the hands called countable, so many have to be so; of right ones, so few may be called wrong; of those called
# right, so few may be wrong, where half of all hands are.
LEAST_PRECISION, MOST_FALSE_FLAGS, MOST_MISSED = 0.95, 0.01, 0.05
RIDGE = 1e-2
# Weights of a cause are fitted on so many hands that have it, at least.
FEWEST_OF_A_CAUSE = 20
READ_AT_ONCE = 64


def read_evidence(
    parser: Parser, examples: HandExamples, *, on_progress: Callable[[int, int], None] | None = None
) -> list[HandEvidence]:
    """Read all crops of a set."""
    found: list[HandEvidence] = []
    for start in range(0, len(examples), READ_AT_ONCE):
        crops = np.array(examples.images[start : start + READ_AT_ONCE])
        found += [gather_evidence(maps) for maps in parser.read(crops)]
        if on_progress is not None:
            on_progress(len(found), len(examples))
    return found


def pick_countable(examples: HandExamples) -> Flags:
    """Return which hands are countable and may be asked about faults, bool [N]."""
    return np.asarray(examples.countable & examples.hand & (examples.cause != UNKNOWN), np.bool_)


def weigh_sources(examples: HandExamples, chosen: Flags) -> Numbers:
    """Return weights of the chosen examples by which the drawn world and 3-D hands count alike, float64 [n]."""
    sources = np.asarray(examples.source)[chosen]
    shares = np.bincount(sources, minlength=2) / max(1, len(sources))
    return 0.5 / np.maximum(shares, 1e-9)[sources]


def fit_beliefs(evidence: Sequence[HandEvidence], examples: HandExamples) -> Beliefs:
    """Return weights and limits fitted on a calibration set."""
    countable = pick_countable(examples)
    chosen: list[int] = np.flatnonzero(countable).tolist()
    weights = weigh_sources(examples, countable)
    features = np.stack([evidence[row].list_count_features() for row in chosen])
    counts = np.minimum(examples.count_digits()[chosen], MOST_DIGITS - 1)
    beliefs = Beliefs(count=_fit_counts(features, counts, weights))
    faults = np.asarray(examples.cause)[chosen] > 0
    spoken = np.stack([list_fault_features(evidence[row], beliefs) for row in chosen])
    beliefs = replace(beliefs, fault=fit_yes(spoken, faults, weights))
    beliefs = replace(
        beliefs,
        causes=_fit_causes([evidence[row] for row in chosen], beliefs, np.asarray(examples.cause)[chosen], weights),
    )
    hands: list[int] = np.flatnonzero(examples.hand).tolist()
    logits = np.array([[evidence[row].countable, 1.0] for row in hands])
    whole = weigh_sources(examples, np.asarray(examples.hand, np.bool_))
    beliefs = replace(beliefs, countable=fit_yes(logits, np.asarray(examples.countable)[hands], whole))
    return _choose_limits(beliefs, evidence, examples)


def _fit_counts(features: Numbers, counts: NDArray[np.int64], weights: Numbers) -> tuple[float, ...]:
    def measure(values: Numbers) -> float:
        logits = features @ values
        logits = logits - logits.max(1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return float(-(weights * logs[np.arange(len(counts)), counts]).mean() + RIDGE * (values**2).sum() / len(counts))

    start = np.array(Beliefs().count, np.float64)
    assert len(start) == COUNT_FEATURES
    return tuple(float(value) for value in optimize.minimize(measure, start, method="L-BFGS-B").x)


def _fit_causes(
    evidence: Sequence[HandEvidence], beliefs: Beliefs, causes: NDArray[np.uint8], weights: Numbers
) -> tuple[float, ...]:
    """Return the weights of each cause, one after the other; none where a cause was too rare to fit."""
    spoken = np.stack([list_cause_features(one, beliefs) for one in evidence])
    found: list[float] = []
    for number in range(len(CAUSES) - 1):
        there = causes == number + 1
        if there.sum() < FEWEST_OF_A_CAUSE:
            return ()
        found += fit_yes(spoken[:, number], there, weights)
    return tuple(found)


def fit_yes(features: Numbers, yes: Flags, weights: Numbers) -> tuple[float, ...]:
    """Return the weights of a logistic regression: float features [n, k], whether each example is so [n], its weight [n]."""

    def measure(values: Numbers) -> float:
        logits = np.where(yes, 1, -1) * (features @ values)
        return float((weights * np.logaddexp(0, -logits)).mean() + RIDGE * (values**2).sum() / len(yes))

    start = np.zeros(features.shape[1])
    start[0] = 1.0
    return tuple(float(value) for value in optimize.minimize(measure, start, method="L-BFGS-B").x)


def believe_countable(evidence: Sequence[HandEvidence], beliefs: Beliefs) -> Numbers:
    """Return the probability that each hand is countable, float64 [N]."""
    logits = np.array([one.countable for one in evidence]) * beliefs.countable[0] + beliefs.countable[1]
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -50, 50)))


def _choose_limits(beliefs: Beliefs, evidence: Sequence[HandEvidence], examples: HandExamples) -> Beliefs:
    """Return the beliefs with the limits of the verdicts."""
    hands = np.asarray(examples.hand, np.bool_)
    sure = believe_countable(evidence, beliefs)
    least = _find_least(sure[hands], np.asarray(examples.countable)[hands], LEAST_PRECISION)
    asked = np.asarray(examples.cause) != UNKNOWN
    told: list[int] = np.flatnonzero((sure >= least) & hands & asked).tolist()
    goofs = np.array([believe_goof(evidence[row], beliefs) for row in told])
    faulty = np.asarray(examples.cause)[told] > 0
    right = np.sort(goofs[~faulty])
    # So few right hands lie above the limit; it is never below an even chance.
    place = min(len(right) - 1, int(np.ceil((1 - MOST_FALSE_FLAGS) * len(right)))) if len(right) else 0
    least_goof = max(0.5, float(np.nextafter(right[place], 1.0))) if len(right) else 0.9
    order = np.argsort(goofs)
    missed = np.cumsum(faulty[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(missed <= MOST_MISSED)
    most_ok = float(goofs[order[good[-1]]]) if len(good) else 0.05
    return replace(beliefs, least_countable=least, least_goof=min(least_goof, 0.999), most_ok=min(most_ok, least_goof))


def _find_least(scores: Numbers, right: Flags, precision: float) -> float:
    """Return the lowest score from which on at least a share of the examples is right."""
    order = np.argsort(-scores)
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(shares >= precision)
    return float(scores[order[good[-1]]]) if len(good) else 0.95
