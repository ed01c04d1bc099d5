"""Train the whole of `mini`, stage by stage: the workflow behind `sfumato train mini`.

It knows the order of the stages and their shares of the time. Start reading at `run_train_mini`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.core.errors import RequestError
from sfumato.lab.critic import train as critic
from sfumato.lab.detector import train as detector
from sfumato.lab.reader import train as reader
from sfumato.lab.train_mini.feed import feed_latents
from sfumato.lab.train_mini.pack import EYES, pack_mini
from sfumato.lab.train_mini.pictures import draw_tables
from sfumato.lab.train_mini.stages import (
    MiniTraining,
    encode_pictures,
    train_autoencoder,
    train_denoiser,
    train_teacher,
    train_vocabulary,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfumato.train.loop import TrainingResult


def train_mini_reader(wanted: MiniTraining) -> TrainingResult:
    """Train the reader for the budget and save it as `eyes/reader/`."""
    training = reader.ReaderTraining(
        state=wanted.state / "reader",
        out=wanted.state / EYES / "reader",
        budget=wanted.make_budget(),
        vae=wanted.state / "vae",
        resume=wanted.resume,
        pictures=min(reader.PICTURES, wanted.pictures),
        round_trips=min(reader.ROUND_TRIPS, wanted.pictures),
        calibration=min(reader.CALIBRATION_PICTURES, wanted.pictures),
    )
    return reader.run_train_reader(training, report=wanted.report)[1]


def train_mini_detector(wanted: MiniTraining) -> TrainingResult:
    """Train the detector for the budget and save it as `eyes/detector/`."""
    trained = wanted.state / "vae"
    training = detector.DetectorTraining(
        state=wanted.state / "detector",
        out=wanted.state / EYES / "detector",
        budget=wanted.make_budget(),
        vae=trained if trained.is_dir() else BUNDLE / "vae",
        resume=wanted.resume,
        views=min(detector.VIEWS, wanted.pictures),
        calibration=min(detector.CALIBRATION_PICTURES, wanted.pictures),
    )
    return detector.run_train_detector(training, report=wanted.report)[1]


def train_mini_parser(wanted: MiniTraining) -> TrainingResult:
    """Train the parser of hands for the budget and save it as `eyes/parser/`; needs the part `anny`."""
    trained = wanted.state / "vae"
    training = critic.ParserTraining(
        state=wanted.state / "parser",
        out=wanted.state / EYES / "parser",
        budget=wanted.make_budget(),
        vae=trained if trained.is_dir() else BUNDLE / "vae",
        resume=wanted.resume,
    )
    return critic.run_train_parser(training, report=wanted.report)[1]


# What is installed; training reads it and never writes it.
BUNDLE = Path(__file__).parents[2] / "data" / "mini"
# Of the minutes for "all": what each stage gets. The denoiser has the most to learn.
SHARES = {
    "teacher": 0.04,
    "autoencoder": 0.22,
    "unet": 0.54,
    "decoder": 0.08,
    "reader": 0.06,
    "detector": 0.06,
}
# Stages that "all" leaves out: the parser needs a part of others, which may be absent; a feed runs beside another stage.
ALONE = ("parser", "feed")
STAGES = (
    "pictures",
    "vocabulary",
    "teacher",
    "autoencoder",
    "latents",
    "feed",
    "unet",
    "decoder",
    "reader",
    "detector",
    "parser",
    "pack",
)


def run_train_mini(wanted: MiniTraining, *, stage: str = "all", out: Path | None = None) -> dict[str, object]:
    """Run one stage, or all of them in order; return what each one reached.

    Everything is written below the state folder. `pack` alone writes a bundle: to `out`, or to `mini` in the
    state folder.

    Raises:
        RequestError: the stage is unknown, or a training stage has no end.
        ModelError: training diverged, or a part to pack is missing.
        StorageError: the state folder cannot be written.

    """
    if stage != "all" and stage not in STAGES:
        raise RequestError("This stage does not exist", got=stage, do=f"Choose one of {', '.join((*STAGES, 'all'))}.")
    if out is not None and stage not in ("pack", "all"):
        raise RequestError("`out` has no effect on this stage", got=stage, do="Only `pack` writes a bundle.")
    if stage == "all" and (wanted.open_ended or wanted.land_minutes is not None):
        raise RequestError("Only one stage can train without an end, or land", got=stage, do="Pass --stage.")
    if wanted.init == Path("mini"):
        wanted = replace(wanted, init=BUNDLE)
    reached: dict[str, object] = {}
    for name in [one for one in STAGES if one not in ALONE] if stage == "all" else (stage,):
        minutes = wanted.minutes if stage != "all" or wanted.minutes is None else wanted.minutes * SHARES.get(name, 0.0)
        result = _choose_work(name, out or wanted.state / "mini")(replace(wanted, minutes=minutes))
        reached[name] = result
        if getattr(result, "stopped", False):
            break
    return reached


def _choose_work(name: str, out: Path) -> Callable[[MiniTraining], object]:
    work: dict[str, Callable[[MiniTraining], object]] = {
        "pictures": lambda wanted: draw_tables(wanted.state, wanted.pictures, workers=wanted.workers),
        "vocabulary": train_vocabulary,
        "teacher": train_teacher,
        "autoencoder": train_autoencoder,
        "latents": encode_pictures,
        "feed": feed_latents,
        "unet": train_denoiser,
        "decoder": lambda wanted: train_autoencoder(wanted, decoder_only=True),
        "reader": train_mini_reader,
        "detector": train_mini_detector,
        "parser": train_mini_parser,
        "pack": lambda wanted: pack_mini(wanted.state, out, wanted.init),
    }
    return work[name]
