"""Train the parser of hands: draw, render, train, calibrate, save.

Joins the worlds, the training loop and the critic. Start reading at `run_train_parser`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sfumato.critic.anatomy.network import ParserNetwork, ParserShape
from sfumato.lab.critic.examples import join_examples
from sfumato.lab.critic.tables import make_table
from sfumato.lab.critic.task import ParserTask
from sfumato.lab.reader.autoencoder_round_trip import find_trained_autoencoder
from sfumato.train.loop import TrainingResult, run_training
from sfumato.train.task import Budget, Recipe

RECIPE = Recipe(batch=32, learning_rate=2e-3, optimiser="muon", warmup_steps=60, decay_from_frac=0.4, ema_decay=0.995)
# 3-D hands are harder and closer to photographs, so they come more often than their number.
SHARES = {"hands3d": 0.62, "drawn": 0.38}
HELD_OUT = 128

Report = Callable[[dict[str, float | str]], None]


@dataclass(frozen=True, kw_only=True)
class ParserTraining:
    """Say where and how long to train: `state` is resumable and private, `out` gets the finished parser."""

    state: Path
    out: Path
    budget: Budget
    vae: Path | None = None
    resume: bool = True
    recipe: Recipe = RECIPE
    shape: ParserShape | None = None


def train_network(wanted: ParserTraining, *, report: Report | None = None) -> tuple[ParserNetwork, TrainingResult]:
    """Train the network alone, on from earlier state if there is any."""
    autoencoder = find_trained_autoencoder(wanted.vae)
    tables = [make_table(wanted.state, "train", kind, autoencoder=autoencoder) for kind in SHARES]
    # The last ones are kept from training, to follow it with; calibration and judging have sets of their own.
    held_out = join_examples([table.take(np.s_[len(table) - HELD_OUT :]) for table in reversed(tables)])
    torch.manual_seed(0)
    network = ParserNetwork(wanted.shape)
    task = ParserTask(
        networks=nn.ModuleDict({"parser": network.train()}).to(memory_format=torch.channels_last),  # pyright: ignore[reportCallIssue]
        tables=[table.take(np.s_[: len(table) - HELD_OUT]) for table in tables],
        shares=list(SHARES.values()),
        held_out=held_out,
    )
    result = run_training(task, wanted.recipe, wanted.budget, wanted.state / "run", resume=wanted.resume, report=report)
    return network.cpu().eval(), result
