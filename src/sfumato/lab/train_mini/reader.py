"""The stage that trains the reader, the network that reads the world's pictures back.

It passes the time budget and folders on; `train_reader` does the work. Start reading at
`train_mini_reader`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.lab.reader.train import CALIBRATION_PICTURES, PICTURES, ROUND_TRIPS, ReaderTraining, run_train_reader
from sfumato.lab.train_mini.stages import MiniTraining

if TYPE_CHECKING:
    from sfumato.train.loop import TrainingResult


def train_mini_reader(wanted: MiniTraining, out: Path) -> TrainingResult:
    """Train the reader for the budget and save it into the bundle as `reader/`."""
    training = ReaderTraining(
        state=wanted.state / "reader",
        out=out / "reader",
        budget=wanted.make_budget(),
        vae=wanted.state / "vae",
        resume=wanted.resume,
        pictures=min(PICTURES, wanted.pictures),
        round_trips=min(ROUND_TRIPS, wanted.pictures),
        calibration=min(CALIBRATION_PICTURES, wanted.pictures),
    )
    return run_train_reader(training, report=wanted.report)[1]
