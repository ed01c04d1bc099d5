"""Train the whole of `mini`, stage by stage: the workflow behind `sfumato train mini`.

It knows the order of the stages and their shares of the time. Start reading at `run_train_mini`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.core.errors import RequestError
from sfumato.lab.train_mini.detector import train_mini_detector
from sfumato.lab.train_mini.pack import pack_mini
from sfumato.lab.train_mini.reader import train_mini_reader
from sfumato.lab.train_mini.scorer import train_scorer
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
STAGES = ("vocabulary", "teacher", "autoencoder", "latents", "unet", "decoder", "scorer", "reader", "detector", "pack")


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
    for name in STAGES if stage == "all" else (stage,):
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
        "pack": lambda wanted: pack_mini(wanted.state, out),
    }
    return work[name]
