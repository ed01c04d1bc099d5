"""Judge the critic of hands on hands it never saw: is the number of digits right, are planted faults found.

Joins the worlds, the critic and a card; prints nothing. Start reading at `run_evaluate_critic`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfumato.core.cards import Card, Measurement, measure_share
from sfumato.core.errors import RequestError
from sfumato.critic.anatomy.evidence import HandEvidence
from sfumato.critic.anatomy.labels import CAUSES, MOST_DIGITS
from sfumato.critic.anatomy.parser import SHIPPED, Parser, load_parser
from sfumato.critic.anatomy.verdict import HandVerdict, believe_causes, judge_evidence
from sfumato.lab.critic.calibrate import pick_countable, read_evidence
from sfumato.lab.critic.examples import UNKNOWN, HandExamples
from sfumato.lab.critic.judge_drawn_bodies import judge_drawn_bodies
from sfumato.lab.critic.tables import DRAWN_COUNTS, make_table
from sfumato.lab.reader.autoencoder_round_trip import find_trained_autoencoder

OnProgress = Callable[[str, int, int], None]
Flags = NDArray[np.bool_]

# Bins of equal mass of the calibration error.
BINS = 10
# For so many hands one drawn person is judged: a person takes as long as ten hands.
HANDS_A_BODY = 6
KINDS = {"drawn": "drawn", "hands3d": "3-D"}


@dataclass(frozen=True, kw_only=True)
class CriticEvaluation:
    """Say which parser to judge (left out: the one that ships), on how many hands, and where the sets of hands lie."""

    hands: int = 600
    state: Path = Path(".state/mini/parser")
    vae: Path | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        if not 8 <= self.hands <= DRAWN_COUNTS["judge"]:
            do = f"Use 8 to {DRAWN_COUNTS['judge']}."
            raise RequestError("this number of hands is not possible", got=self.hands, do=do)

    @property
    def command(self) -> str:
        """Write the command line that repeats this evaluation."""
        where = f" --parser {self.folder}" if self.folder else ""
        return f"sfumato evaluate critic --n {self.hands}{where}"


def run_evaluate_critic(wanted: CriticEvaluation, *, on_progress: OnProgress | None = None) -> Card:
    """Measure counts, planted faults and false flags on drawn and on 3-D hands, and return the card.

    Raises:
        ModelError: there is no parser, or the part with the 3-D hand was not fetched yet.
        StorageError: the sets of hands cannot be read or written.
    """
    parser = load_parser(wanted.folder)
    autoencoder = find_trained_autoencoder(wanted.vae or SHIPPED.parent / "vae")
    rows: list[Measurement] = []
    for kind, name in KINDS.items():
        examples = make_table(wanted.state, "judge", kind, autoencoder=autoencoder).take(np.s_[: wanted.hands])

        def report(done: int, count: int, name: str = name) -> None:
            if on_progress is not None:
                on_progress(name, done, count)

        rows += judge_set(name, parser, examples, on_progress=report)
    rows += judge_drawn_bodies(wanted.hands // HANDS_A_BODY, on_progress or _keep_quiet)
    notes = (
        "seeds, shapes, poses and backgrounds apart from those of training and calibration; some decoded by an autoencoder",
        "half of the hands carry a planted fault; right hands include none that differ by wish",
        "verdicts as of pictures with a prompt that allows nothing",
        "drawn people: whole, alone, faults in turn; told: a finding of that cause, whatever the verdict",
    )
    return Card(title="the critic of hands", rows=tuple(rows), seed=0, command=wanted.command, notes=notes)


def _keep_quiet(what: str, done: int, count: int) -> None:
    del what, done, count


def judge_set(
    name: str, parser: Parser, examples: HandExamples, *, on_progress: Callable[[int, int], None] | None = None
) -> list[Measurement]:
    """Return the rows of one set of hands."""
    evidence = read_evidence(parser, examples, on_progress=on_progress)
    verdicts = [judge_evidence(one, parser.beliefs, prompted=True) for one in evidence]
    countable, cause = pick_countable(examples), np.asarray(examples.cause)
    truth = np.minimum(examples.count_digits(), MOST_DIGITS - 1)
    told = np.array([verdict.digits for verdict in verdicts])
    words = np.array([verdict.word for verdict in verdicts])
    goofs = np.array([verdict.goof for verdict in verdicts])
    answered = np.isin(words, ("ok", "goof", "abstain"))
    hands = np.asarray(examples.hand, np.bool_) & (cause != UNKNOWN)
    rows = [
        _share(
            f"{name}: count wrong, countable hands",
            told[countable] != truth[countable],
            0.5 if name == "drawn" else 2.0,
        ),
        _share(f"{name}: count wrong, hands told countable", (told != truth)[answered & hands], None),
        _share(f"{name}: countable hands told so", answered[countable], None, "least"),
        _share(f"{name}: uncountable hands told countable", answered[hands & ~np.asarray(examples.countable)], None),
        *_describe_counters(name, evidence, truth, countable),
        _area(f"{name}: any fault", goofs[countable], cause[countable] > 0, 0.99 if name == "drawn" else 0.95),
    ]
    apart = bool(parser.beliefs.causes)
    for number, word in enumerate(CAUSES[1:], 1):
        chosen = countable & ((cause == 0) | (cause == number))
        if (cause[chosen] == number).sum() >= 5:
            # Without weights of their own, causes share the probability of a fault.
            scores = np.array([believe_causes(one, parser.beliefs)[number - 1] for one in evidence]) if apart else goofs
            rows.append(
                _area(f"{name}: {word}", scores[chosen], cause[chosen] == number, 0.99 if name == "drawn" else 0.95)
            )
            rows.append(_tell_apart(f"{name}: {word} named first", verdicts, word, countable & (cause == number)))
    right = hands & (cause == 0)
    rows += [
        _share(f"{name}: goof said of right hands", (words == "goof")[right], 1.0),
        _share(f"{name}: goof said of right countable hands", (words == "goof")[right & countable], 1.0),
        _share(
            f"{name}: goof said of faulty countable hands", (words == "goof")[countable & (cause > 0)], None, "least"
        ),
        _share(f"{name}: ok said of faulty countable hands", (words == "ok")[countable & (cause > 0)], None),
        _measure_calibration(f"{name}: calibration error of the count", verdicts, told == truth, countable),
    ]
    return rows


def _describe_counters(
    name: str, evidence: Sequence[HandEvidence], truth: NDArray[np.int64], countable: Flags
) -> list[Measurement]:
    """Return how often each counter alone is wrong."""
    counters = {
        "head": np.array([int(one.count_logs.argmax()) for one in evidence]),
        "middles": np.array([one.middles for one in evidence]),
        "tips": np.array([one.tips for one in evidence]),
    }
    return [
        _share(f"{name}: count wrong by {word} alone", (found != truth)[countable], None)
        for word, found in counters.items()
    ]


def _share(name: str, hits: Flags, aim: float | None, aim_is: str = "most") -> Measurement:
    return replace(
        measure_share(name, int(hits.sum()), len(hits), aim=aim), aim_is="least" if aim_is == "least" else "most"
    )


def _tell_apart(name: str, verdicts: Sequence[HandVerdict], word: str, chosen: Flags) -> Measurement:
    """Return how often a cause is the first one named, among the hands that have it and for which any is named."""
    rows: list[int] = np.flatnonzero(chosen).tolist()
    named = [verdicts[row].findings[0].cause == word for row in rows if verdicts[row].findings]
    return _share(name, np.array(named, np.bool_), None, "least")


def _area(name: str, scores: NDArray[np.float64], faulty: Flags, aim: float) -> Measurement:
    value = measure_area(scores, faulty)
    rng = np.random.default_rng(0)
    again = []
    for _ in range(500):
        picks = rng.integers(len(scores), size=len(scores))
        if faulty[picks].any() and not faulty[picks].all():
            again.append(measure_area(scores[picks], faulty[picks]))
    low, high = np.percentile(again, (2.5, 97.5)) if again else (float("nan"), float("nan"))
    return Measurement(
        name=f"{name}, area under the curve", value=value, unit="", n=len(scores), low=float(low), high=float(high),
        aim=aim, note=f"{int(faulty.sum())} faulty",
    )  # fmt: skip


def measure_area(scores: NDArray[np.float64], faulty: Flags) -> float:
    """Return the area under the ROC curve: how often a faulty hand scores above a right one; NaN without both."""
    ups, downs = scores[faulty], np.sort(scores[~faulty])
    if not len(ups) or not len(downs):
        return float("nan")
    below = np.searchsorted(downs, ups, "left") + np.searchsorted(downs, ups, "right")
    return float(below.mean() / 2 / len(downs))


def _measure_calibration(name: str, verdicts: Sequence[HandVerdict], right: Flags, chosen: Flags) -> Measurement:
    sure = np.array([verdict.count_sure for verdict in verdicts])[chosen]
    hits = right[chosen].astype(float)
    order = np.argsort(sure)
    gaps = [
        abs(float(sure[part].mean() - hits[part].mean())) * len(part)
        for part in np.array_split(order, BINS)
        if len(part)
    ]
    value = 100 * sum(gaps) / max(1, len(order))
    return Measurement(name=name, value=value, unit="%", n=len(order), aim=2.0, aim_is="most")
