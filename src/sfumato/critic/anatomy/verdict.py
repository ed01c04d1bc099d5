"""The verdict on one hand: how many digits, right or wrong, why, and how sure; "not sure" is an answer.

Knows evidence, beliefs and the words of a prompt; no picture. Start reading at `judge_evidence`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sfumato.critic.anatomy.belief import CAUSE_FEATURES, Beliefs
from sfumato.critic.anatomy.evidence import HandEvidence, Numbers, log_softmax
from sfumato.critic.anatomy.labels import CAUSES

VerdictWord = Literal["ok", "goof", "licensed", "not-countable", "abstain"]
DIGITS_OF_A_HAND, DIGITS_OF_A_CARTOON = 5, 4
LICENCES: dict[str, tuple[str, ...]] = {
    "cartoon": ("cartoon", "comic", "anime", "manga", "toon", "caricature", "mascot", "emoji", "doodle"),
    "glove": ("glove", "gloves", "gloved", "mitten", "mittens", "gauntlet", "gauntlets"),
    "prosthesis": ("prosthesis", "prosthetic", "prostheses", "bionic", "cyborg", "robot", "robotic", "artificial hand"),
    "amputation": (
        "amputee", "amputation", "amputated", "stump", "missing finger", "missing fingers", "missing a finger",
        "limb difference", "four fingers", "three fingers", "six fingers", "polydactyly", "without fingers",
    ),
    "fist": ("fist", "fists", "clenched hand", "clenched hands", "clenching"),
    "creature": ("alien", "monster", "demon", "claw", "claws", "paw", "paws", "puppet", "doll"),
}  # fmt: skip
"""Words of a prompt by the reason for which a hand may differ."""
_PATTERNS = {
    reason: re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, words)) + r")(?![\w])", re.IGNORECASE)
    for reason, words in LICENCES.items()
}
# A word right after one of these is not wanted.
_DENIED = re.compile(r"\b(no|not|without|non|never)\s+(a\s+|an\s+|any\s+)?$", re.IGNORECASE)
# A cause less likely than this is not named, unless none is likelier.
LEAST_FINDING = 0.2
# Keeps logarithms of probabilities finite.
_LEAST = 1e-6


@dataclass(frozen=True)
class Finding:
    """Hold one thing that may be wrong: the part, the cause, and the probability that it is so."""

    part: str
    cause: str
    probability: float

    def to_json(self) -> dict[str, object]:
        """Return the form of `sfumato check --json`."""
        return {"part": self.part, "cause": self.cause, "probability": round(self.probability, 4)}


@dataclass(frozen=True)
class HandVerdict:
    """Hold the verdict on a hand, in a word and in plain words.

    `digits` is the likeliest number of digits that show, `count_sure` its probability. `sure` is the probability of the
    verdict's word, `goof` that something is wrong. `countable` is the probability that every digit can be told.
    """

    word: VerdictWord
    reason: str
    digits: int
    count_sure: float
    sure: float
    goof: float
    countable: float
    findings: tuple[Finding, ...] = ()


def judge_evidence(
    evidence: HandEvidence, beliefs: Beliefs, *, licences: Sequence[str] = (), prompted: bool = False
) -> HandVerdict:
    """Judge a hand from its evidence.

    `licences` are reasons for which the prompt lets hands differ. `prompted` says that there is a prompt: without one,
    nobody said how many digits the hand has, so a missing digit is no goof.
    """
    counts = believe_counts(evidence, beliefs)
    digits = int(counts.argmax())
    goof = believe_goof(evidence, beliefs)
    countable = _squash(beliefs.countable[0] * evidence.countable + beliefs.countable[1])
    findings = _list_findings(evidence, beliefs, goof) if goof > beliefs.most_ok else ()
    word, reason, sure = _choose_word(evidence, beliefs, digits, goof, countable, prompted=prompted)
    if licences and word != "ok":
        word, sure = "licensed", max(sure, goof)
        reason = f"the prompt asks for it ({', '.join(licences)}); otherwise: {reason}"
    return HandVerdict(
        word=word, reason=reason, digits=digits, count_sure=float(counts[digits]), sure=sure, goof=goof,
        countable=countable, findings=findings if word in ("goof", "abstain", "licensed") else (),
    )  # fmt: skip


def believe_counts(evidence: HandEvidence, beliefs: Beliefs) -> Numbers:
    """Return the probability of each number of digits, 0 to 7, float64 [8]."""
    return np.exp(log_softmax(evidence.list_count_features() @ np.array(beliefs.count)))


def believe_goof(evidence: HandEvidence, beliefs: Beliefs) -> float:
    """Return the probability that something is wrong with the digits of a countable hand."""
    return _squash(float(list_fault_features(evidence, beliefs) @ np.array(beliefs.fault)))


def list_fault_features(evidence: HandEvidence, beliefs: Beliefs) -> Numbers:
    """Return what speaks for a fault, float64 [4]: the cause head, the count, whether counters disagree, and 1."""
    counts = believe_counts(evidence, beliefs)
    head = _logit(1.0 - math.exp(evidence.cause_logs[0]))
    other = _logit(1.0 - float(counts[count_expected(evidence)]))
    told = int(counts.argmax())
    return np.array([head, other, float(told != evidence.middles) + float(told != evidence.tips), 1.0])


def count_expected(evidence: HandEvidence) -> int:
    """Return how many digits a whole hand of this style has."""
    return DIGITS_OF_A_CARTOON if evidence.cartoon > 0 else DIGITS_OF_A_HAND


def _choose_word(
    evidence: HandEvidence, beliefs: Beliefs, digits: int, goof: float, countable: float, *, prompted: bool
) -> tuple[VerdictWord, str, float]:
    if evidence.hand < 0:
        return "not-countable", "this does not look like a hand to the parser", _squash(-evidence.hand)
    if countable < beliefs.least_countable:
        return "not-countable", "not every digit shows clearly, so their number proves nothing", 1.0 - countable
    cause = _likeliest_cause(evidence, beliefs)
    if goof >= beliefs.least_goof:
        if cause == "missing" and not prompted:
            return "abstain", f"{digits} digits show; a person may have lost one, and no prompt says otherwise", goof
        return "goof", _describe(cause, digits), goof
    if goof <= beliefs.most_ok:
        return "ok", f"{digits} digits show, none seems wrong", 1.0 - goof
    return "abstain", f"{digits} digits show; perhaps {_describe(cause, digits)}", goof


def _likeliest_cause(evidence: HandEvidence, beliefs: Beliefs) -> str:
    if beliefs.causes:
        return CAUSES[1 + int(believe_causes(evidence, beliefs).argmax())]
    return CAUSES[1 + int(evidence.cause_logs[1:].argmax())]


def _describe(cause: str, digits: int) -> str:
    words = {
        "extra": f"a digit too many ({digits} show)",
        "missing": f"a digit too few ({digits} show)",
        "fused": "two digits have grown together",
        "split": "a digit is forked",
    }
    return words[cause]


def believe_causes(evidence: HandEvidence, beliefs: Beliefs) -> Numbers:
    """Return the probability of each cause after none, float64 [4]: several may hold, so they need not sum to one."""
    weights = np.array(beliefs.causes).reshape(-1, CAUSE_FEATURES)
    logits = (list_cause_features(evidence, beliefs) * weights).sum(1)
    return np.array([_squash(float(logit)) for logit in logits])


def list_cause_features(evidence: HandEvidence, beliefs: Beliefs) -> Numbers:
    """Return what speaks for each cause after none, float64 [4, 4]: the head, the count, any fault at all, and 1.

    A number of digits beyond the expected one speaks for an extra or a split digit, one below it for a missing one; a
    fused pair shows as a number that is right or one too low.
    """
    counts, expected = believe_counts(evidence, beliefs), count_expected(evidence)
    more, fewer = float(counts[expected + 1 :].sum()), float(counts[:expected].sum())
    heads = [_logit(float(chance)) for chance in np.exp(evidence.cause_logs[1:])]
    fault = _logit(believe_goof(evidence, beliefs))
    sides = (_logit(more), _logit(fewer), _logit(fewer), _logit(more))
    return np.array([[head, side, fault, 1.0] for head, side in zip(heads, sides, strict=True)])


def _list_findings(evidence: HandEvidence, beliefs: Beliefs, goof: float) -> tuple[Finding, ...]:
    """Return each likely cause with its probability, the likeliest first."""
    if beliefs.causes:
        chances = believe_causes(evidence, beliefs)
        order = [int(place) for place in np.argsort(-chances) if chances[place] >= LEAST_FINDING]
        order = order or [int(chances.argmax())]
        return tuple(Finding("hand", CAUSES[place + 1], float(chances[place])) for place in order)
    shares = np.exp(log_softmax(evidence.cause_logs[1:]))
    order = [int(place) for place in np.argsort(-shares) if shares[place] >= LEAST_FINDING]
    return tuple(Finding("hand", CAUSES[place + 1], float(goof * shares[place])) for place in order)


def _logit(probability: float) -> float:
    kept = min(max(probability, _LEAST), 1.0 - _LEAST)
    return math.log(kept / (1.0 - kept))


def _squash(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(logit, -50.0), 50.0)))


def find_licences(prompt: str) -> tuple[str, ...]:
    """Return the reasons for which a prompt lets hands differ, in the order of `LICENCES`."""
    found = []
    for reason, pattern in _PATTERNS.items():
        if any(not _DENIED.search(prompt[: match.start()]) for match in pattern.finditer(prompt)):
            found.append(reason)
    return tuple(found)
