"""Train the auditor of hands: the parser's losses and features are none of its business.

Joins the worlds, the training loop and the critic. Start reading at `run_train_auditor`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from sfumato.critic.anatomy.auditor import (
    DIRECTIONS,
    Auditor,
    AuditorAnswers,
    AuditorBeliefs,
    AuditorNetwork,
    AuditorShape,
    judge_answers,
    list_audit_features,
    measure_directions,
    save_auditor,
)
from sfumato.critic.anatomy.verdict import DIGITS_OF_A_CARTOON, DIGITS_OF_A_HAND
from sfumato.critic.reader.augment import blemish_pictures
from sfumato.lab.critic.calibrate import fit_yes, pick_countable, weigh_sources
from sfumato.lab.critic.examples import HandExamples, join_examples
from sfumato.lab.critic.tables import make_table
from sfumato.lab.critic.task import IGNORE, draw_moves, move_crops, roughen, stack_examples
from sfumato.lab.reader.autoencoder_round_trip import find_trained_autoencoder
from sfumato.train.loop import TrainingResult, run_training
from sfumato.train.task import Budget, Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Generator, Tensor

# Another seed than the parser's, and drawn hands that the parser never saw.
RECIPE = Recipe(
    batch=64, learning_rate=2e-3, optimiser="muon", warmup_steps=60, decay_from_frac=0.4, ema_decay=0.995, seed=7
)
SETS = (("hands3d", "train"), ("drawn", "audit"))
SHARES, VIEWS = {"hands3d": 0.55, "drawn": 0.45}, {"hands3d": 2, "drawn": 1}
# Directions are kept in bytes: at most 4, in steps of so much less.
DIRECTION_STEPS = 63
WEIGHTS = {"count": 1.0, "cause": 1.0, "countable": 0.3}
HELD_OUT, READ_AT_ONCE = 192, 64
_ANSWERS = ("count", "cause", "countable", "hand", "known")
# Of the hands that it lets pass, so few may be wrong where half are; of right ones, so few may be called wrong.
MOST_PASSED, MOST_FALSE_FLAGS = 0.05, 0.02

Report = Callable[[dict[str, float | str]], None]


@dataclass(frozen=True, kw_only=True)
class AuditorTraining:
    """Say where and how long to train: `state` holds the sets of hands of the parser, `out` gets the auditor."""

    state: Path
    out: Path
    budget: Budget
    vae: Path | None = None
    resume: bool = True
    recipe: Recipe = RECIPE
    shape: AuditorShape | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class DirectionTable:
    """Hold crops as the auditor sees them: directions [N, 8, 32, 32] in steps of 1/63, and the answers as tensors [N]."""

    directions: Tensor
    answers: dict[str, Tensor]

    def __len__(self) -> int:
        """Return N."""
        return len(self.directions)

    def take(self, rows: Tensor) -> dict[str, Tensor]:
        """Return rows as a batch, directions as float32."""
        steep = self.directions[rows].float() / DIRECTION_STEPS
        return {"directions": steep, **{name: value[rows] for name, value in self.answers.items()}}


def make_direction_table(examples: HandExamples, *, seed: int, views: int) -> DirectionTable:
    """Return crops turned, scaled, shifted and damaged as for a parser, `views` times each; 0 takes them as they are."""
    rng, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    found: list[dict[str, Tensor]] = []
    for _ in range(max(1, views)):
        for start in range(0, len(examples), READ_AT_ONCE):
            batch = stack_examples([examples.take(np.s_[start : start + READ_AT_ONCE])])
            if views:
                batch = move_crops(batch, draw_moves(len(batch["pixels"]), rng), rng)
                batch["pixels"] = roughen(blemish_pictures(batch["pixels"], noise), rng)
            steep = (measure_directions(batch["pixels"]) * DIRECTION_STEPS).round().byte()
            found.append({"directions": steep, **{name: batch[name] for name in _ANSWERS}})
    joined = {name: torch.cat([one[name] for one in found]) for name in found[0]}
    return DirectionTable(directions=joined.pop("directions"), answers=joined)


@dataclass(eq=False, kw_only=True)
class AuditorTask:
    """Train `networks["auditor"]` on several tables, each as often as its share says. A leaf."""

    networks: nn.ModuleDict
    tables: Sequence[DirectionTable]
    shares: Sequence[float]
    held_out: Mapping[str, DirectionTable]
    name: str = "auditor"

    def load_batch(self, step: int, count: int, noise: Generator) -> Mapping[str, Tensor]:
        """Pick crops at random, shift them a little and mirror every second batch."""
        del step
        which = torch.multinomial(torch.tensor(self.shares), count, replacement=True, generator=noise)
        parts = [
            table.take(torch.randint(len(table), (int((which == number).sum()),), generator=noise))
            for number, table in enumerate(self.tables)
        ]
        batch = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        mirror, down, across = (int(value) for value in torch.randint(0, 4, (3,), generator=noise))
        steep = batch["directions"].roll((down - 2, across - 2), (2, 3))
        return batch | {"directions": mirror_directions(steep) if mirror % 2 else steep}

    def compute_losses(
        self, networks: nn.ModuleDict, batch: Mapping[str, Tensor], noise: Generator
    ) -> dict[str, Tensor]:
        """Look at the batch and compare with its answers."""
        del noise
        return measure_answers(_answer(networks, batch), batch)

    @torch.no_grad()
    def measure_validation(self, networks: nn.ModuleDict) -> dict[str, float]:
        """Measure the losses on the held-out crops, and how often the count of countable hands is right."""
        measured: dict[str, float] = {}
        for kind, table in self.held_out.items():
            batch = table.take(torch.arange(len(table)))
            found = _answer(networks, batch)
            measured |= {f"{name}_{kind}": float(value) for name, value in measure_answers(found, batch).items()}
            countable = batch["countable"] > 0
            right = found["count"].argmax(1) == batch["count"]
            measured[f"right_{kind}"] = float(right[countable].float().mean())
        return measured

    def draw_grid(self, networks: nn.ModuleDict) -> Image.Image | None:
        """Return nothing: the auditor has no maps to look at."""
        del networks
        return None


def _answer(networks: nn.ModuleDict, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    network = networks["auditor"]
    assert isinstance(network, AuditorNetwork)
    return network.answer(batch["directions"].to(next(network.parameters()).dtype))


def mirror_directions(steep: Tensor) -> Tensor:
    """Return directions [b, 8, h, w] as seen in a mirror: left for right, and what rose to the right rises to the left."""
    order = [(DIRECTIONS // 2 - number) % DIRECTIONS for number in range(DIRECTIONS)]
    return steep.flip(3)[:, order]


def measure_answers(found: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the losses of a batch by name, and their weighted sum as "loss"."""
    found = {name: value.float() for name, value in found.items()}
    count = torch.where(batch["known"], batch["count"], IGNORE)
    is_hand = batch["hand"] > 0
    losses = {
        "count": F.cross_entropy(found["count"], count, ignore_index=IGNORE),
        "cause": F.cross_entropy(found["cause"], batch["cause"], ignore_index=IGNORE, label_smoothing=0.02),
        "countable": F.binary_cross_entropy_with_logits(found["countable"][is_hand, 0], batch["countable"][is_hand]),
    }
    return losses | {"loss": torch.stack([WEIGHTS[name] * value for name, value in losses.items()]).sum()}


def run_train_auditor(wanted: AuditorTraining, *, report: Report | None = None) -> tuple[Auditor, TrainingResult]:
    """Train an auditor, on from earlier state if there is any, calibrate it and save it to `out`.

    Raises:
        ModelError: the loss stays not finite, or the part with the 3-D hand was not fetched yet.
        StorageError: a folder cannot be written.
    """
    autoencoder = find_trained_autoencoder(wanted.vae)
    sets = {kind: make_table(wanted.state, which, kind, autoencoder=autoencoder) for kind, which in SETS}
    kept = {kind: min(HELD_OUT, len(table) // 4) for kind, table in sets.items()}
    shape = wanted.shape or AuditorShape()
    torch.manual_seed(wanted.recipe.seed)
    networks = nn.ModuleDict({"auditor": AuditorNetwork(shape).train()})
    task = AuditorTask(
        networks=networks,
        tables=[
            make_direction_table(table.take(np.s_[: len(table) - kept[kind]]), seed=number, views=VIEWS[kind])
            for number, (kind, table) in enumerate(sets.items())
        ],
        shares=list(SHARES.values()),
        held_out={
            kind: make_direction_table(table.take(np.s_[len(table) - kept[kind] :]), seed=0, views=0)
            for kind, table in sets.items()
        },
    )
    result = run_training(
        task, wanted.recipe, wanted.budget, wanted.state / "run-auditor", resume=wanted.resume, report=report
    )
    network = networks["auditor"].eval()
    assert isinstance(network, AuditorNetwork)
    # Fitted as it will be read: with weights of 16 bits.
    for parameter in network.parameters():
        parameter.data.copy_(parameter.detach().half().float())
    both = join_examples([make_table(wanted.state, "calibrate", kind, autoencoder=autoencoder) for kind in SHARES])
    auditor = Auditor(network, shape)
    auditor = replace(auditor, beliefs=fit_auditor_beliefs(look_at(auditor, both), both))
    save_auditor(auditor, wanted.out)
    return auditor, result


def look_at(auditor: Auditor, examples: HandExamples) -> list[AuditorAnswers]:
    """Look at all crops of a set."""
    found: list[AuditorAnswers] = []
    for start in range(0, len(examples), READ_AT_ONCE):
        found += auditor.look(np.array(examples.images[start : start + READ_AT_ONCE]))
    return found


def list_expected(examples: HandExamples) -> list[int]:
    """Return how many digits a whole hand of each example's style has."""
    return [DIGITS_OF_A_CARTOON if cartoon else DIGITS_OF_A_HAND for cartoon in examples.cartoon.tolist()]


def fit_auditor_beliefs(answers: list[AuditorAnswers], examples: HandExamples) -> AuditorBeliefs:
    """Return weights and limits fitted on a calibration set."""
    countable, expected = pick_countable(examples), list_expected(examples)
    rows: list[int] = np.flatnonzero(countable).tolist()
    weights = weigh_sources(examples, countable)
    faulty = np.asarray(examples.cause)[rows] > 0
    spoken = np.stack([list_audit_features(answers[row], expected[row]) for row in rows])
    hands: list[int] = np.flatnonzero(examples.hand).tolist()
    logits = np.array([[answers[row].countable, 1.0] for row in hands])
    whole = weigh_sources(examples, np.asarray(examples.hand, np.bool_))
    beliefs = AuditorBeliefs(
        fault=fit_yes(spoken, faulty, weights),
        countable=fit_yes(logits, np.asarray(examples.countable)[hands], whole),
    )
    faults = np.array([judge_answers([answers[row]], beliefs, expected[row]).fault for row in rows])
    return replace(beliefs, most_fault=_find_most(faults, faulty), least_fault=_find_least(faults, faulty))


def _find_most(faults: NDArray[np.float64], faulty: NDArray[np.bool_]) -> float:
    """Return the highest probability of a fault up to which few of the hands are faulty."""
    order = np.argsort(faults)
    shares = np.cumsum(faulty[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(shares <= MOST_PASSED)
    return float(faults[order[good[-1]]]) if len(good) else 0.05


def _find_least(faults: NDArray[np.float64], faulty: NDArray[np.bool_]) -> float:
    """Return the probability above which few right hands lie; at least an even chance."""
    right = np.sort(faults[~faulty])
    return max(0.5, float(np.quantile(right, 1 - MOST_FALSE_FLAGS))) if len(right) else 0.9
