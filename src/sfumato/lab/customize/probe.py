"""Fit and judge the probe of names with what the shipped mini learned: words of its captions against other words.

Knows which words the captions held. The halves are split by name: one fits the weights, the other judges. Start reading
at `evaluate_probe`.

What this proves is small: words of captions stand in thousands of pictures, and most are one token, while the others
are several. A base that saw named characters 10 to 10,000 times is the real test; their names stand in the last rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.core.cards import Card, Measurement, bootstrap_interval, measure_share
from sfumato.customize.probe import KNOWN_FROM, ProbedName, Prober
from sfumato.models.describe import MINI
from sfumato.models.load import load_model
from sfumato.world.broad.characters import CHARACTERS

KNOWN = (
    "woman", "house", "tree", "dog", "hand", "cup", "cartoon", "beach", "meadow", "street", "room", "lamp", "balloon",
    "car", "flower", "glove", "ring", "window", "water", "clouds", "blonde woman", "bald man", "man with glasses",
    "red coat", "green sweater", "woman in a dress", "man with a beard", "old man", "young woman", "yellow ball",
)  # fmt: skip
OTHER = (
    "helicopter", "guitar", "dragon", "violin", "zebra", "castle", "pumpkin", "kettle", "umbrella", "rocket", "piano",
    "otter", "cactus", "anvil", "trumpet", "Zorbek", "Miltra", "Okwine", "Pexal", "Vundor", "Quimby", "Jalvo", "Hespin",
    "Krudel", "Nabbit", "Ostrov", "Tirmen", "Ulvak", "Wompel", "Yassic",
)  # fmt: skip
FIT_STEPS, FIT_RATE, FIT_DECAY = 4000, 0.05, 0.01
_SIGNALS = ("strength_z",)


@dataclass(frozen=True, eq=False)
class ProbeFit:
    """Hold logistic weights: of nothing, and of each signal."""

    weights: NDArray[np.float64]

    def rate(self, found: Sequence[ProbedName]) -> NDArray[np.float64]:
        """Return the probability that each name is known."""
        return 1 / (1 + np.exp(-_list_signals(found) @ self.weights))


def evaluate_probe(seed: int = 1) -> tuple[Card, ProbeFit]:
    """Probe all words, fit on one half, judge on the other; return the card and the weights that would ship.

    Cost: 85 names of half a CPU second with mini, and two dozen made-up ones for each number of tokens.
    """
    prober = Prober(load_model(MINI, dtype="fp32"), "man", seed=seed)
    asked = {name: prober.ask(name) for name in (*KNOWN, *OTHER)}
    characters = [prober.ask(name) for name in dict.fromkeys(one.name for one in CHARACTERS)]
    fitted = {half: _fit([asked[n] for n in KNOWN if _half(n) == half], [asked[n] for n in OTHER if _half(n) == half])
              for half in (0, 1)}  # fmt: skip
    judged = [name for name in asked if _half(name) == 1]
    shares = dict(zip(judged, fitted[0].rate([asked[name] for name in judged]), strict=True))
    known, other = ([shares[name] for name in names if name in shares] for names in (KNOWN, OTHER))
    called = fitted[0].rate(characters)
    pairs = np.asarray([[(a > b) + 0.5 * (a == b) for b in other] for a in known])
    low, high = bootstrap_interval(pairs.mean(axis=1))
    right = [*(share >= 0.5 for share in known), *(share < 0.5 for share in other)]
    rows = (
        Measurement(
            name="AUROC, words of captions against other words", value=float(pairs.mean()), unit="", n=len(judged),
            low=low, high=high, aim=0.95, note="the judge half; most known words are one token, the others are several",
        ),
        measure_share("judged right at 0.5", sum(map(bool, right)), len(right)),
        measure_share("named characters that no picture of this mini shows, called known",
                      int((called >= KNOWN_FROM).sum()), len(called)),
    )  # fmt: skip
    words = ", ".join(f"{name} {share:.2f}" for name, share in sorted(shares.items(), key=lambda pair: -pair[1]))
    notes = (f"weights of the fitting half {np.round(fitted[0].weights, 2).tolist()}", words)
    return Card(title="probe", rows=rows, seed=seed, command="sfumato evaluate customize --probe", notes=notes), fitted[
        0
    ]


def _half(name: str) -> int:
    return hashlib.sha256(name.encode()).digest()[0] % 2


def _list_signals(found: Sequence[ProbedName]) -> NDArray[np.float64]:
    return np.asarray([[1.0, *(getattr(one, signal) for signal in _SIGNALS)] for one in found])


def _fit(known: Sequence[ProbedName], other: Sequence[ProbedName]) -> ProbeFit:
    """Fit a logistic regression by gradient descent, with a little weight decay."""
    signals = _list_signals([*known, *other])
    truth = np.asarray([1.0] * len(known) + [0.0] * len(other))
    weights = np.zeros(signals.shape[1])
    for _ in range(FIT_STEPS):
        error = 1 / (1 + np.exp(-signals @ weights)) - truth
        weights -= FIT_RATE * (signals.T @ error / len(truth) + FIT_DECAY * weights * (np.arange(len(weights)) > 0))
    return ProbeFit(weights)
