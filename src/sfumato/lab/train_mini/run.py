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
from sfumato.lab.train_mini.pack import SUMS, pack_mini, write_sums
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


def train_mini_reader(wanted: MiniTraining, out: Path) -> TrainingResult:
    """Train the reader for the budget and save it into the bundle as `reader/`."""
    training = reader.ReaderTraining(
        state=wanted.state / "reader",
        out=out / "reader",
        budget=wanted.make_budget(),
        vae=wanted.state / "vae",
        resume=wanted.resume,
        pictures=min(reader.PICTURES, wanted.pictures),
        round_trips=min(reader.ROUND_TRIPS, wanted.pictures),
        calibration=min(reader.CALIBRATION_PICTURES, wanted.pictures),
    )
    return reader.run_train_reader(training, report=wanted.report)[1]


def train_mini_detector(wanted: MiniTraining, out: Path) -> TrainingResult:
    """Train the detector for the budget and save it into the bundle as `detector/`."""
    trained = wanted.state / "vae"
    training = detector.DetectorTraining(
        state=wanted.state / "detector",
        out=out / "detector",
        budget=wanted.make_budget(),
        vae=trained if trained.is_dir() else out / "vae",
        resume=wanted.resume,
        views=min(detector.VIEWS, wanted.pictures),
        calibration=min(detector.CALIBRATION_PICTURES, wanted.pictures),
    )
    result = detector.run_train_detector(training, report=wanted.report)[1]
    # A bundle that was packed before has a list of its files; one that was not gets it from the packing.
    if (out / SUMS).exists():
        write_sums(out)
    return result


def train_mini_parser(wanted: MiniTraining, out: Path) -> TrainingResult:
    """Train the parser of hands for the budget and save it into the bundle as `parser/`; needs the part `anny`."""
    trained = wanted.state / "vae"
    training = critic.ParserTraining(
        state=wanted.state / "parser",
        out=out / "parser",
        budget=wanted.make_budget(),
        vae=trained if trained.is_dir() else out / "vae",
        resume=wanted.resume,
    )
    result = critic.run_train_parser(training, report=wanted.report)[1]
    if (out / SUMS).exists():
        write_sums(out)
    return result


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
# Stages that "all" leaves out: the parser needs a part of others, which may be absent.
ALONE = ("parser",)
STAGES = (
    "vocabulary",
    "teacher",
    "autoencoder",
    "latents",
    "unet",
    "decoder",
    "reader",
    "detector",
    "parser",
    "pack",
)


def run_train_mini(wanted: MiniTraining, *, stage: str = "all", out: Path = BUNDLE) -> dict[str, object]:
    """Run one stage, or all of them in order; return what each one reached.

    Raises:
        RequestError: the stage is unknown, or a training stage has no end.
        ModelError: training diverged, or a part to pack is missing.
        StorageError: the state folder cannot be written.

    """
    if stage != "all" and stage not in STAGES:
        raise RequestError("This stage does not exist", got=stage, do=f"Choose one of {', '.join((*STAGES, 'all'))}.")
    if stage == "all" and (wanted.open_ended or wanted.land_minutes is not None):
        raise RequestError("Only one stage can train without an end, or land", got=stage, do="Pass --stage.")
    if wanted.init == Path("mini"):
        wanted = replace(wanted, init=BUNDLE)
    reached: dict[str, object] = {}
    for name in [one for one in STAGES if one not in ALONE] if stage == "all" else (stage,):
        minutes = wanted.minutes if stage != "all" or wanted.minutes is None else wanted.minutes * SHARES.get(name, 0.0)
        result = _choose_work(name, out)(replace(wanted, minutes=minutes))
        reached[name] = result
        if getattr(result, "stopped", False):
            break
    return reached


def _choose_work(name: str, out: Path) -> Callable[[MiniTraining], object]:
    work: dict[str, Callable[[MiniTraining], object]] = {
        "vocabulary": train_vocabulary,
        "teacher": train_teacher,
        "autoencoder": train_autoencoder,
        "latents": encode_pictures,
        "unet": train_denoiser,
        "decoder": lambda wanted: train_autoencoder(wanted, decoder_only=True),
        "reader": lambda wanted: train_mini_reader(wanted, out),
        "detector": lambda wanted: train_mini_detector(wanted, out),
        "parser": lambda wanted: train_mini_parser(wanted, out),
        "pack": lambda wanted: pack_mini(wanted.state, out),
    }
    return work[name]
