"""Train the parser of hands: draw, render, train, calibrate, save.

Joins the worlds, the training loop and the critic. Start reading at `run_train_parser`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sfumato.critic.anatomy.network import ParserNetwork, ParserShape
from sfumato.critic.anatomy.parser import Parser, save_parser
from sfumato.lab.critic.calibrate import fit_beliefs, read_evidence
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
    kept = [min(HELD_OUT, len(table) // 4) for table in tables]
    held_out = join_examples(
        [table.take(np.s_[len(table) - count :]) for table, count in zip(tables, kept, strict=True)][::-1]
    )
    torch.manual_seed(0)
    network = ParserNetwork(wanted.shape)
    task = ParserTask(
        networks=nn.ModuleDict({"parser": network.train()}).to(memory_format=torch.channels_last),  # pyright: ignore[reportCallIssue]
        tables=[table.take(np.s_[: len(table) - count]) for table, count in zip(tables, kept, strict=True)],
        shares=list(SHARES.values()),
        held_out=held_out,
    )
    result = run_training(task, wanted.recipe, wanted.budget, wanted.state / "run", resume=wanted.resume, report=report)
    return network.cpu().eval(), result


def run_train_parser(wanted: ParserTraining, *, report: Report | None = None) -> tuple[Parser, TrainingResult]:
    """Train a parser, on from earlier state if there is any, calibrate it and save it to `out`.

    A run that was stopped early is calibrated and saved too.

    Raises:
        ModelError: the loss stays not finite, or the part with the 3-D hand was not fetched yet.
        StorageError: a folder cannot be written.
    """
    network, result = train_network(wanted, report=report)
    parser = Parser(network.to(memory_format=torch.channels_last), wanted.shape or ParserShape())  # pyright: ignore[reportCallIssue]
    autoencoder = find_trained_autoencoder(wanted.vae)
    sets = [make_table(wanted.state, "calibrate", kind, autoencoder=autoencoder) for kind in SHARES]
    # Fitted as it will be read: with weights of 16 bits.
    for parameter in parser.network.parameters():
        parameter.data.copy_(parameter.detach().half().float())
    both = join_examples(sets)
    parser = replace(parser, beliefs=fit_beliefs(read_evidence(parser, both), both))
    save_parser(parser, wanted.out)
    return parser, result
