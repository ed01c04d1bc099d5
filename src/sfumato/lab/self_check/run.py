"""Calibrate the self-check of large pictures on planted defects: one card, misses beside hits.

Limits are chosen on one range of seeds and judged on another. Joins world, autoencoder, critic and card;
prints nothing. Start reading at `run_evaluate_checks`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.core.cards import Card
from sfumato.core.errors import RequestError
from sfumato.core.seeds import sub_stream
from sfumato.critic.picture.checks import MEASURES, Evidence
from sfumato.critic.picture.seams import Lines
from sfumato.lab.reader.autoencoder_round_trip import RoundTrip, pass_autoencoder
from sfumato.lab.self_check.judged_renders import describe_judged, read_judged
from sfumato.lab.self_check.rows import Values, describe_checks
from sfumato.lab.self_check.synthetic_defects import DEFECTS, Ground, list_small_parts
from sfumato.models.load import load_model
from sfumato.world.stream import Wish, make_sample

PICTURES = 48
SIZE_PX, BASE_PX, WINDOW_PX = 512, 128, 128
# Limits are chosen on the first range, judged on the second; pasted people come from the third.
CALIBRATION_SEEDS, JUDGING_SEEDS, DONOR_SEEDS = 70_000_000, 80_000_000, 90_000_000
# Two evaluation seeds lie this far apart.
SEED_STEP = 100_000
MOST_PICTURES, MOST_SEED = 20_000, 90
# A clean picture as it was drawn, through mini's autoencoder, or its base only enlarged: none has a planted fault.
FINISHES = ("drawn", "decoded", "enlarged")
# What each defect should be found by. A measure that also moves for another defect is not counted for it.
TARGETS: dict[str, tuple[str, ...]] = {
    "hard seams": ("seam ratio", "colour step", "median colour step", "lattice"),
    "blended seams": ("colour step", "median colour step"),
    "line": ("seam ratio", "lattice"),
    "pasted person": ("added object mass", "base consistency"),
    "drift": ("colour drift", "base consistency"),
    "white noise": ("grain", "whiteness"),
    "blue noise": ("grain", "whiteness"),
    "shifted tiles": ("tile shift", "base consistency"),
    "erased parts": ("lost parts",),
    "foggy windows": ("sharpness contrast",),
}

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Say how many scenes to draw for choosing limits, and as many again for judging them.

    `judged` are folders of `evaluate hires`, whose renders then have their say.
    """

    pictures: int = PICTURES
    seed: int = 1
    judged: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not 2 <= self.pictures <= MOST_PICTURES or not 0 <= self.seed < MOST_SEED:
            do = f"Use 2 to {MOST_PICTURES} pictures and a seed from 0 to {MOST_SEED - 1}."
            raise RequestError(
                "a calibration of this size or seed is not possible", got=(self.pictures, self.seed), do=do
            )

    @property
    def command(self) -> str:
        """Write the command line that repeats this calibration."""
        folders = "".join(f" --judged {folder}" for folder in self.judged)
        return f"sfumato evaluate checks --n {self.pictures} --seed {self.seed}{folders}"


def run_evaluate_checks(
    wanted: Calibration, *, autoencoder: RoundTrip | None = None, on_progress: OnProgress | None = None
) -> Card:
    """Measure how well each check tells clean pictures from planted defects, and return the card.

    `on_progress` gets (what, done, all).

    Raises:
        ModelError: the autoencoder of mini is missing or broken.
    """
    report = on_progress or (lambda _what, _done, _all: None)
    passing = autoencoder or load_model("mini", device="cpu", dtype="fp32")
    visible = {name: (defect.visible,) for name, defect in DEFECTS.items()}
    every = {name: defect.doses for name, defect in DEFECTS.items()}
    chosen_on = _measure_range(wanted, CALIBRATION_SEEDS, visible, passing, report)
    judged_on = _measure_range(wanted, JUDGING_SEEDS, every, passing, report)
    rows, notes = describe_checks(chosen_on, judged_on, TARGETS)
    if wanted.judged:
        renders = read_judged(wanted.judged, load_model("mini", device="cpu"))
        more, said, _ = describe_judged(renders, judged_on)
        rows, notes = (*rows, *more), (*notes, *said)
    finishes = f"clean pictures are in equal parts {', '.join(FINISHES)}; {SIZE_PX} px, base {BASE_PX} px"
    return Card(
        title="the self-check of large pictures on planted defects",
        rows=rows,
        seed=wanted.seed,
        command=wanted.command,
        notes=(finishes, *notes),
    )


def make_ground(seed: int, finish: str, autoencoder: RoundTrip) -> tuple[Ground, Image.Image]:
    """Return a clean picture with the lines of its windows, and its base."""
    base = Image.fromarray(make_sample(seed, size=BASE_PX).image)
    drawn = make_sample(seed, size=SIZE_PX, wish=Wish(with_truth=True))
    match finish:
        case "enlarged":
            picture = np.asarray(base.resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS))
        case "decoded":
            picture = pass_autoencoder(autoencoder, drawn.image[None])[0]
        case _:
            picture = drawn.image
    places = tuple(range(WINDOW_PX, SIZE_PX, WINDOW_PX))
    donor = DONOR_SEEDS + seed % (DONOR_SEEDS - JUDGING_SEEDS)
    return Ground(picture, Lines(places, places), donor, list_small_parts(drawn, BASE_PX)), base


def _measure_range(
    wanted: Calibration,
    seeds: int,
    doses: Mapping[str, tuple[float, ...]],
    autoencoder: RoundTrip,
    report: OnProgress,
) -> Values:
    """Return every measure on clean pictures (dose 0) and on the planted defects it should find."""
    found: dict[tuple[str, str, float], list[float]] = {}
    first = seeds + wanted.seed * SEED_STEP
    for number in range(wanted.pictures):
        ground, base = make_ground(first + number, FINISHES[number % len(FINISHES)], autoencoder)
        for name, value in _measure(ground.picture, ground, base, tuple(MEASURES)).items():
            found.setdefault((name, "", 0.0), []).append(value)
        for defect, dose in [(planted, dose) for planted, each in doses.items() for dose in each]:
            # The same stream at every dose: the same seam in the same place, only stronger.
            stream = sub_stream(first + number, "planted", defect)
            picture = DEFECTS[defect].plant(ground, dose, stream)
            targets = TARGETS[defect]
            values = dict.fromkeys(targets, math.nan) if picture is None else _measure(picture, ground, base, targets)
            for name, value in values.items():
                found.setdefault((name, defect, dose), []).append(value)
        report("choosing" if seeds == CALIBRATION_SEEDS else "judging", number + 1, wanted.pictures)
    return {key: np.array(values) for key, values in found.items()}


def _measure(picture: NDArray[np.uint8], ground: Ground, base: Image.Image, names: tuple[str, ...]) -> dict[str, float]:
    seen = Evidence(Image.fromarray(picture), base, ground.lines)
    return {name: MEASURES[name].read(seen) for name in names}
