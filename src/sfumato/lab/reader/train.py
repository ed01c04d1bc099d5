"""Train the reader of the world's pictures: draw, train, calibrate, save.

Joins the world, the training loop and the critic. Start reading at `run_train_reader`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sfumato.critic.reader.questions import Vocabulary
from sfumato.critic.reader.reader import Reader, make_reader, save_reader
from sfumato.lab.reader.autoencoder_round_trip import RoundTrip, find_trained_autoencoder, pass_autoencoder
from sfumato.lab.reader.pictures import CALIBRATION_SEEDS, draw_mix, draw_training, open_training
from sfumato.lab.reader.task import ReaderTask
from sfumato.lab.reader.words import make_vocabulary
from sfumato.train.loop import TrainingResult, run_training
from sfumato.train.store import ExampleStore
from sfumato.train.task import Budget, Recipe

# 2 GB of disk and two minutes of one core; more pictures than a run of a quarter of an hour sees three times.
PICTURES = 40_000
# Enough to teach what decoding does to a picture, without decoding for longer than training.
ROUND_TRIPS = 10_000
CALIBRATION_PICTURES = 1024
# Unit-variance latents: 0 is a pure round trip, 0.2 about what a short run of a sampler leaves.
LATENT_NOISE = (0.0, 0.1, 0.2)
RECIPE = Recipe(batch=64, learning_rate=2e-3, optimiser="muon", warmup_steps=60, decay_from_frac=0.5, ema_decay=0.995)

Report = Callable[[dict[str, float | str]], None]


@dataclass(frozen=True, kw_only=True)
class ReaderTraining:
    """Say where and how long to train: `state` is resumable and private, `out` gets the finished reader.

    The autoencoder in `vae`, where there is one, decodes a part of the pictures, so that the reader
    is fair to decoded ones.
    """

    state: Path
    out: Path
    budget: Budget
    pictures: int = PICTURES
    round_trips: int = ROUND_TRIPS
    calibration: int = CALIBRATION_PICTURES
    vae: Path | None = None
    resume: bool = True
    recipe: Recipe = RECIPE


def run_train_reader(wanted: ReaderTraining, *, report: Report | None = None) -> tuple[Reader, TrainingResult]:
    """Train a reader, on from earlier state if there is any, and save it to `out`.

    A run that was stopped early is saved and calibrated too.

    Raises:
        ModelError: the loss stays not finite.
        StorageError: a folder cannot be written.
    """
    vocabulary = make_vocabulary()
    store = draw_training(wanted.state, wanted.pictures)
    autoencoder = find_trained_autoencoder(wanted.vae)
    if autoencoder is not None:
        fill_round_trips(wanted, store, autoencoder)
    held_out = draw_mix(CALIBRATION_SEEDS, wanted.calibration)
    known = np.stack([vocabulary.encode(labels) for labels in held_out.labels])
    reader = make_reader(vocabulary)
    decoded = open_training(wanted.state, round_trips=True)
    task = ReaderTask(
        networks=nn.ModuleDict({"reader": reader.network.train()}),
        pictures=store.open_rows(),
        answers=_read_answers(store, vocabulary),
        held_out=held_out.pictures,
        held_out_answers=known,
        round_trips=decoded.open_rows() if len(decoded) else None,
        digits_head=vocabulary.names.index("digits"),
    )
    result = run_training(task, wanted.recipe, wanted.budget, wanted.state / "run", resume=wanted.resume, report=report)
    reader.network.cpu().eval()
    reader = reader.calibrate(held_out.pictures, known)
    save_reader(reader, wanted.out)
    return reader, result


def _read_answers(store: ExampleStore, vocabulary: Vocabulary) -> NDArray[np.int64]:
    return np.stack([vocabulary.encode(labels) for labels in store.read_notes()])


def fill_round_trips(wanted: ReaderTraining, drawn: ExampleStore, autoencoder: RoundTrip) -> None:
    """Decode the first `wanted.round_trips` pictures of the table, on from where it ended."""
    store = open_training(wanted.state, round_trips=True)
    store.trim()
    rows, notes = drawn.open_rows(), drawn.read_notes()
    noise = torch.Generator().manual_seed(0)
    while len(store) < min(wanted.round_trips, len(rows)):
        done = len(store)
        block = slice(done, min(done + 64, wanted.round_trips, len(rows)))
        level = LATENT_NOISE[done // 64 % len(LATENT_NOISE)]
        decoded = pass_autoencoder(autoencoder, rows[block], jitter=level, noise=noise)
        store.append(decoded, notes[block])
