"""Rows of the card: from readings and claims to shares with intervals, and distances of features.

Knows counts and features; makes no picture. Start reading at `measure_claims`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sfumato.core.cards import Measurement, bootstrap_interval, measure_share
from sfumato.core.seeds import sub_stream
from sfumato.critic.reader.calibration import measure_calibration_error
from sfumato.critic.reader.questions import NOT_ASKED, Word
from sfumato.critic.reader.reader import Readings
from sfumato.lab.frechet import Cloud, frechet_distance
from sfumato.lab.mini.caption_claims import Claims

# The aims of the issue, in percent and dB.
PLACE_AIM, PEOPLE_AIM, ATTRIBUTE_AIM, PSNR_AIM = 97.0, 90.0, 90.0, 28.0
# Each round costs an eigenvalue problem; 200 give the spread to five percent.
FEATURE_ROUNDS = 200
PLACE, PEOPLE, DIGITS = "place", "people", "digits"
# Names of heads that a reader of the card may not guess.
TITLES = {PLACE: "scene (place)", PEOPLE: "people count", DIGITS: "digits as worded"}

Cell = tuple[str, Word]


def find_illegible(
    readings: Readings, claims: Sequence[Claims], shots: Sequence[Word], *, least: float, few: int
) -> dict[Cell, float]:
    """Return the (head, shot) pairs that the reader gets wrong too often on drawn pictures, with its share right.

    Pairs with fewer than `few` claims are left to the reader: too little is known to rule them out.
    """
    counts: dict[Cell, list[int]] = {}
    for i, (claimed, shot) in enumerate(zip(claims, shots, strict=True)):
        for head, word in claimed.items():
            cell = counts.setdefault((head, shot), [0, 0])
            cell[0] += readings.word(i, head) == word
            cell[1] += 1
    return {cell: right / asked for cell, (right, asked) in counts.items() if asked >= few and right < least * asked}


def drop_claims(claims: Sequence[Claims], shots: Sequence[Word], cells: dict[Cell, float]) -> tuple[Claims, ...]:
    """Return the claims without those in the given (head, shot) pairs."""
    return tuple(
        {head: word for head, word in claimed.items() if (head, shot) not in cells}
        for claimed, shot in zip(claims, shots, strict=True)
    )


def measure_claims(name: str, readings: Readings, claims: Sequence[Claims], *, aims: bool = True) -> list[Measurement]:
    """Return a row per head: the share of claims that the reader sees in the pictures.

    Place and people first, then the attributes, then all attributes together.
    """
    hits: dict[str, list[bool]] = {}
    for i, claimed in enumerate(claims):
        for head, word in claimed.items():
            hits.setdefault(head, []).append(readings.word(i, head) == word)
    attributes = [head for head in readings.vocabulary.names if head not in (PLACE, PEOPLE, DIGITS)]
    rows: list[Measurement] = []
    for head in (PLACE, PEOPLE, *attributes, DIGITS):
        if head in hits:
            aim = {PLACE: PLACE_AIM, PEOPLE: PEOPLE_AIM, DIGITS: None}.get(head, ATTRIBUTE_AIM)
            title = f"{name}: {TITLES.get(head, head.replace('_', ' '))} right"
            rows.append(measure_share(title, sum(hits[head]), len(hits[head]), aim=aim if aims else None))
    pooled = [hit for head in attributes for hit in hits.get(head, [])]
    aim = ATTRIBUTE_AIM if aims else None
    rows.append(measure_share(f"{name}: all attributes together right", sum(pooled), len(pooled), aim=aim))
    return rows


def measure_reader(
    readings: Readings, answers: NDArray[np.int64], heads: Sequence[str], *, what: str = ""
) -> list[Measurement]:
    """Return the reader's own error per head on pictures whose answers [N, heads] are known."""
    rows: list[Measurement] = []
    for head in heads:
        place = readings.vocabulary.names.index(head)
        asked = answers[:, place] != NOT_ASKED
        wrong = (readings.chosen[:, place] != answers[:, place]) & asked
        title = f"reader's own error: {head.replace('_', ' ')}{what}"
        rows.append(measure_share(title, int(wrong.sum()), int(asked.sum())))
    return rows


def measure_sureness(readings: Readings, answers: NDArray[np.int64]) -> Measurement:
    """Return the mean gap between the reader's confidence and its accuracy, over all questions asked."""
    asked = answers != NOT_ASKED
    right = (readings.chosen == answers)[asked]
    value = 100 * measure_calibration_error(readings.confidence[asked], right)
    return Measurement(name="reader's own error: confidence (ECE)", value=value, unit="%", n=int(asked.sum()))


def measure_psnr_rows(psnr_db: NDArray[np.float64], shots: Sequence[Word]) -> list[Measurement]:
    """Return the autoencoder's mean PSNR over pictures, all together and by shot."""
    rows = [_psnr_row("VAE PSNR, held-out pictures", psnr_db, PSNR_AIM)]
    kinds = np.array([str(shot) for shot in shots])
    rows += [_psnr_row(f"VAE PSNR, {shot}", psnr_db[kinds == shot], None) for shot in sorted(set(kinds.tolist()))]
    return rows


def _psnr_row(name: str, values: NDArray[np.float64], aim: float | None) -> Measurement:
    low, high = bootstrap_interval(values)
    return Measurement(name=name, value=float(values.mean()), unit="dB", n=len(values), low=low, high=high, aim=aim)


def measure_distance(
    name: str, features: NDArray[np.floating], reference: Cloud, *, seed: int, note: str = ""
) -> Measurement:
    """Return the Fréchet distance of features from the reference with its normal bootstrap interval.

    Resampling repeats rows and so moves the whole distribution up; its spread is what is used.
    """
    value = frechet_distance(features, reference)
    stream = sub_stream(seed, "feature bootstrap", name)
    picks = (stream.integers(len(features), size=len(features)) for _ in range(FEATURE_ROUNDS))
    spread = 1.96 * float(np.std([frechet_distance(features[pick], reference) for pick in picks]))
    return Measurement(
        name=name, value=value, unit="", n=len(features), low=max(0.0, value - spread), high=value + spread, note=note
    )
