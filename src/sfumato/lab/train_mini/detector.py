"""The stage that trains the detector, which counts people, faces, hands and houses in large pictures.

It passes the time budget and folders on; `train_detector` does the work. Start reading at
`train_mini_detector`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.lab.detector.train import CALIBRATION_PICTURES, VIEWS, DetectorTraining, run_train_detector
from sfumato.lab.train_mini.pack import SUMS, write_sums
from sfumato.lab.train_mini.stages import MiniTraining

if TYPE_CHECKING:
    from sfumato.train.loop import TrainingResult


def train_mini_detector(wanted: MiniTraining, out: Path) -> TrainingResult:
    """Train the detector for the budget and save it into the bundle as `detector/`."""
    trained = wanted.state / "vae"
    training = DetectorTraining(
        state=wanted.state / "detector",
        out=out / "detector",
        budget=wanted.make_budget(),
        vae=trained if trained.is_dir() else out / "vae",
        resume=wanted.resume,
        views=min(VIEWS, wanted.pictures),
        calibration=min(CALIBRATION_PICTURES, wanted.pictures),
    )
    result = run_train_detector(training, report=wanted.report)[1]
    # A bundle that was packed before has a list of its files; one that was not gets it from the packing.
    if (out / SUMS).exists():
        write_sums(out)
    return result
