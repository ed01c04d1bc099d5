"""Train the detector of people, faces, hands and houses: draw, train, calibrate, save.

Joins the world, the training loop and the critic. Start reading at `run_train_detector`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sfumato.critic.detector.detector import Detector, make_detector, save_detector
from sfumato.critic.detector.network import DetectorShape
from sfumato.lab.detector.judging import SET_STEP, calibrate_detector
from sfumato.lab.detector.pictures import CALIBRATION_SEEDS, TABLES, draw_training, draw_view, write_marks
from sfumato.lab.detector.task import DetectorTask, Views, pack_marks
from sfumato.lab.reader.autoencoder_round_trip import find_trained_autoencoder
from sfumato.train.loop import TrainingResult, run_training
from sfumato.train.store import ExampleStore
from sfumato.train.task import Budget, Recipe

# 1.5 GB of disk and ten minutes of one core; half an hour of one core looks at each about eight times.
VIEWS = 30_000
CALIBRATION_PICTURES = 160
VALIDATION_VIEWS = 256
RECIPE = Recipe(batch=32, learning_rate=2e-3, optimiser="muon", warmup_steps=100, decay_from_frac=0.5, ema_decay=0.998)

Report = Callable[[dict[str, float | str]], None]


@dataclass(frozen=True, kw_only=True)
class DetectorTraining:
    """Say where and how long to train: `state` is resumable and private, `out` gets the finished detector.

    The autoencoder in `vae`, where there is one, decodes half of the views and all that limits are chosen on.
    """

    state: Path
    out: Path
    budget: Budget
    views: int = VIEWS
    calibration: int = CALIBRATION_PICTURES
    vae: Path | None = None
    resume: bool = True
    recipe: Recipe = RECIPE
    shape: DetectorShape | None = None


def run_train_detector(wanted: DetectorTraining, *, report: Report | None = None) -> tuple[Detector, TrainingResult]:
    """Train a detector, on from earlier state if there is any, and save it to `out`.

    A run that was stopped early is saved and calibrated too.

    Raises:
        ModelError: the loss stays not finite.
        StorageError: a folder cannot be written.
    """
    autoencoder = find_trained_autoencoder(wanted.vae)
    stores = [
        draw_training(wanted.state, table, max(1, round(wanted.views * table.share)), autoencoder=autoencoder)
        for table in TABLES
    ]
    detector = make_detector(wanted.shape)
    task = DetectorTask(
        networks=nn.ModuleDict({"detector": detector.network.train()}).to(memory_format=torch.channels_last),  # pyright: ignore[reportCallIssue]
        tables=[_open(store) for store in stores],
        held_out=_draw_held_out(min(VALIDATION_VIEWS, wanted.views)),
    )
    result = run_training(task, wanted.recipe, wanted.budget, wanted.state / "run", resume=wanted.resume, report=report)
    detector.network.cpu().eval()
    detector = calibrate_detector(detector, CALIBRATION_SEEDS, wanted.calibration, autoencoder)
    save_detector(detector, wanted.out)
    return detector, result


def _open(store: ExampleStore) -> Views:
    return Views(store.open_rows(), pack_marks(store.read_notes()))


def _draw_held_out(count: int) -> Views:
    """Draw views for the losses on the way; the last of the sets' ranges has room for them."""
    first = CALIBRATION_SEEDS + 4 * SET_STEP
    views = [draw_view(first + number, TABLES[0].side) for number in range(count)]
    return Views(np.stack([view.picture for view in views]), pack_marks([write_marks(view.marks) for view in views]))
