"""Judge the detector on held-out pictures of the world: who is found, who is missed, who was never there.

Joins world, autoencoder, critic and card; prints nothing. Start reading at `run_evaluate_detector`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sfumato.core.cards import Card, Measurement, bootstrap_interval
from sfumato.core.errors import RequestError
from sfumato.critic.detector.detector import Detector, load_detector
from sfumato.lab.detector.judging import (
    LATENT_NOISE,
    MOST_PICTURES,
    MOST_SEED,
    SEED_STEP,
    SETS,
    DetectionCounts,
    PictureSet,
    count_pictures,
    draw_set,
    group_found,
    judge_picture,
)
from sfumato.lab.detector.pictures import JUDGING_SEEDS
from sfumato.lab.detector.rows import describe_confidence, describe_set
from sfumato.lab.reader.autoencoder_round_trip import RoundTrip
from sfumato.models.load import load_model

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class DetectorEvaluation:
    """Say which detector to judge (left out: the one that ships) and on how many pictures of each size."""

    pictures: int = 400
    seed: int = 1
    folder: Path | None = None

    def __post_init__(self) -> None:
        if not 4 <= self.pictures <= MOST_PICTURES or not 0 <= self.seed < MOST_SEED:
            do = f"Use 4 to {MOST_PICTURES} pictures and a seed from 0 to {MOST_SEED - 1}."
            raise RequestError(
                "an evaluation of this size or seed is not possible", got=(self.pictures, self.seed), do=do
            )

    @property
    def command(self) -> str:
        """Write the command line that repeats this evaluation."""
        where = f" --detector {self.folder}" if self.folder else ""
        return f"sfumato evaluate detector --n {self.pictures} --seed {self.seed}{where}"


def run_evaluate_detector(
    wanted: DetectorEvaluation, *, autoencoder: RoundTrip | None = None, on_progress: OnProgress | None = None
) -> Card:
    """Measure what the detector finds, misses and makes up, and return the card.

    `on_progress` gets (set, done, all).

    Raises:
        ModelError: the detector or the autoencoder of mini is missing or broken.
    """
    report = on_progress or (lambda _what, _done, _all: None)
    detector = load_detector(wanted.folder)
    passing = autoencoder or load_model("mini", device="cpu", dtype="fp32")
    rows: list[Measurement] = []
    every = DetectionCounts()
    for chosen in SETS:
        judged, false_per_mpx = _judge_set(wanted, chosen, detector, passing, report)
        every.add(judged)
        # Where nobody is, shares have nothing to count; what was made up is the number.
        rows += describe_set(chosen.name, judged) if not chosen.is_empty else []
        rows.append(_describe_false(chosen.name, false_per_mpx))
    notes = (
        f"pictures are drawn, then decoded with {LATENT_NOISE} of noise in unit-variance latents",
        "right: 0.5 of the union shared with an object (hands 0.3) that no surer one has; sizes are longer sides",
        "smaller than 8 px, or nearly hidden (a hand: most of its digits): neither right nor wrong",
    )
    rows.append(describe_confidence(every))
    return Card(
        title="the detector of people, faces, hands and houses",
        rows=tuple(rows),
        seed=wanted.seed,
        command=wanted.command,
        notes=notes,
    )


def _judge_set(
    wanted: DetectorEvaluation, chosen: PictureSet, detector: Detector, autoencoder: RoundTrip, report: OnProgress
) -> tuple[DetectionCounts, list[float]]:
    """Return what was told of a set, and per picture how many detections per megapixel were wrong."""
    judged, false_per_mpx = DetectionCounts(), list[float]()
    count = count_pictures(chosen, wanted.pictures)
    for view in draw_set(chosen, JUDGING_SEEDS + wanted.seed * SEED_STEP, wanted.pictures, autoencoder):
        one = judge_picture(group_found(detector.find(view.picture)), view.marks)
        wrong = sum(not right for told in one.told.values() for _, _, right in told)
        false_per_mpx.append(wrong / (view.picture.shape[0] * view.picture.shape[1] / 1e6))
        judged.add(one)
        report(chosen.name, len(false_per_mpx), count)
    return judged, false_per_mpx


def _describe_false(name: str, values: list[float]) -> Measurement:
    low, high = bootstrap_interval(values)
    title = f"{name}: false detections"
    return Measurement(name=title, value=float(np.mean(values)), unit="per Mpx", n=len(values), low=low, high=high)
