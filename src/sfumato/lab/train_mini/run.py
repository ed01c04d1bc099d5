"""Train the whole of `mini`, stage by stage: the workflow behind `sfumato train mini`.

It knows the order of the stages and their shares of the time. Start reading at `run_train_mini`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from sfumato.core.errors import RequestError
from sfumato.lab.critic import train as critic
from sfumato.lab.critic.train_auditor import AuditorTraining, run_train_auditor
from sfumato.lab.detector import train as detector
from sfumato.lab.reader import train as reader
from sfumato.lab.train_mini.pack import SUMS, pack_mini, write_sums
from sfumato.lab.train_mini.pictures import HELD_OUT, open_pictures
from sfumato.lab.train_mini.stages import (
    MiniTraining,
    encode_pictures,
    open_latents,
    train_autoencoder,
    train_denoiser,
    train_teacher,
    train_vocabulary,
)
from sfumato.models.mini import load_mini_tokenizer, make_mini_scorer, special_ids
from sfumato.train.scorer import ScorerTask
from sfumato.train.task import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfumato.train.loop import TrainingResult


SCORER = Recipe(batch=256, learning_rate=1e-3, warmup_steps=50, decay_from_frac=0.4, ema_decay=0.995, weight_decay=0.05)


def train_scorer(wanted: MiniTraining) -> TrainingResult:
    """Train the scorer on drawn pictures and their captions; save it as `scorer/`."""
    tokenizer = load_mini_tokenizer(wanted.state / "tokenizer")
    torch.manual_seed(0)
    clip = make_mini_scorer(len(tokenizer), **special_ids(tokenizer))
    _, tokens = open_latents(wanted.state)
    _, held_out_tokens = open_latents(wanted.state, HELD_OUT)
    task = ScorerTask(
        nn.ModuleDict({"clip": clip.train()}),
        open_pictures(wanted.state).open_rows(),
        tokens.open_rows(),
        open_pictures(wanted.state, HELD_OUT).open_rows(),
        held_out_tokens.open_rows(),
    )
    result = wanted.train(task, SCORER, wanted.state / "scorer_run")
    clip.cpu().save_pretrained(wanted.state / "scorer")
    return result


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


def train_mini_auditor(wanted: MiniTraining, out: Path) -> TrainingResult:
    """Train the auditor of hands for the budget and save it into the bundle as `auditor/`; needs the part `anny`."""
    training = AuditorTraining(
        state=wanted.state / "parser",
        out=out / "auditor",
        budget=wanted.make_budget(),
        vae=out / "vae",
        resume=wanted.resume,
    )
    result = run_train_auditor(training, report=wanted.report)[1]
    if (out / SUMS).exists():
        write_sums(out)
    return result


BUNDLE = Path(__file__).parents[2] / "data" / "mini"
# Of the minutes for "all": what each stage gets. The denoiser has the most to learn.
SHARES = {
    "teacher": 0.04,
    "autoencoder": 0.20,
    "unet": 0.50,
    "decoder": 0.08,
    "scorer": 0.06,
    "reader": 0.06,
    "detector": 0.06,
}
# Stages that "all" leaves out: these need a part of others, which may be absent.
ALONE = ("parser", "auditor")
STAGES = (
    "vocabulary",
    "teacher",
    "autoencoder",
    "latents",
    "unet",
    "decoder",
    "scorer",
    "reader",
    "detector",
    "parser",
    "auditor",
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
        "scorer": train_scorer,
        "reader": lambda wanted: train_mini_reader(wanted, out),
        "detector": lambda wanted: train_mini_detector(wanted, out),
        "parser": lambda wanted: train_mini_parser(wanted, out),
        "auditor": lambda wanted: train_mini_auditor(wanted, out),
        "pack": lambda wanted: pack_mini(wanted.state, out),
    }
    return work[name]
