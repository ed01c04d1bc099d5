"""The loop: step, average, measure, draw, save, resume.

One function trains every network of the project. All randomness of step k comes from generators
seeded with (seed, k, lane), so a resumed run repeats an unbroken one bit for bit. A run without an
end stays on its plateau; a landing starts from there and lets the rate fall. The loop knows no
pictures and no file formats beyond its own. Start reading at `run_training`.
"""

from __future__ import annotations

import copy
import json
import math
import signal
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from sfumato.core.errors import ModelError, StorageError
from sfumato.train.checkpoints import (
    Checkpoint,
    clear_checkpoints,
    list_checkpoints,
    load_checkpoint,
    read_values,
    save_checkpoint,
)
from sfumato.train.lanes import Lanes, choose_lanes
from sfumato.train.optimiser import Optimiser, clip_gradients

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from sfumato.train.task import Budget, Recipe, Task


class Average:
    """Keep an exponential moving average of a network's parameters. A leaf."""

    def __init__(self, networks: nn.Module, decay: float) -> None:
        """Start from the weights as they are."""
        self.decay = decay
        self.weights = {n: p.detach().clone() for n, p in networks.named_parameters()}

    @torch.no_grad()
    def update(self, networks: nn.Module, step: int) -> None:
        """Move towards the present weights; early steps move faster, so that the random start fades."""
        decay = min(self.decay, (1 + step) / (10 + step))
        live = [p.detach() for _, p in networks.named_parameters()]
        torch._foreach_lerp_(list(self.weights.values()), live, 1 - decay)

    @torch.no_grad()
    def copy_to(self, networks: nn.Module) -> None:
        """Write the average into `networks`."""
        for name, parameter in networks.named_parameters():
            parameter.copy_(self.weights[name])

    @torch.no_grad()
    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Take back a saved average."""
        for name, tensor in self.weights.items():
            tensor.copy_(weights[name])


# A broken step (loss not finite) is skipped; this many in a row is a broken run.
BROKEN_STEPS_ALLOWED = 20
# Spreads (seed, step, lane) over 63 bits; any large odd numbers do.
SEED_STRIDES = (1_000_003, 7_919)


@dataclass
class TrainingResult:
    """Say how far a run came and what it measured last."""

    step: int
    elapsed_s: float
    pictures: int
    losses: dict[str, float] = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    stopped: bool = False


def run_training(
    task: Task,
    recipe: Recipe,
    budget: Budget,
    folder: Path,
    *,
    resume: bool = True,
    report: Callable[[dict[str, float | str]], None] | None = None,
) -> TrainingResult:
    """Train until the budget ends or SIGTERM comes; leave the averaged weights in `task.networks`.

    State, log and grids are written below `folder`. With `resume` an earlier state there goes on.
    A budget without minutes and steps has no end: only SIGTERM or SIGINT stop it.

    Raises:
        ModelError: the loss stays not finite.
        StorageError: a checkpoint cannot be written.

    """
    run = _Run(task, recipe, budget, folder, report)
    if not resume:
        clear_checkpoints(folder)
    elif saved := load_checkpoint(folder):
        run.restore(saved)
    return _train(run)


def land_training(
    task: Task,
    recipe: Recipe,
    budget: Budget,
    folder: Path,
    *,
    resume: bool = True,
    report: Callable[[dict[str, float | str]], None] | None = None,
) -> TrainingResult:
    """Let the rate fall from the plateau in `folder` to its end; leave the averaged weights in `task.networks`.

    The landing reads the newest state of the plateau and writes to `landing_STEP` below `folder`, so
    the plateau can go on. The budget counts from the landing's first step. With `resume` a landing that
    was stopped goes on. A network that the plateau did not have starts with the weights it has in the
    task, such as the discriminator of an autoencoder.

    Raises:
        ModelError: the loss stays not finite.
        StorageError: there is no plateau, or a checkpoint cannot be written.

    """
    place = find_landing(folder) if resume else None
    falling = replace(recipe, decay_from_frac=0.0)
    if place is not None:
        return run_training(task, falling, budget, place, report=report)
    plateau = load_checkpoint(folder)
    if plateau is None:
        raise StorageError("There is no plateau to land from", got=str(folder), do="Train without an end first.")
    place = folder / f"landing_{int(plateau.values['step']):09d}"
    clear_checkpoints(place)
    run = _Run(task, falling, budget, place, report)
    run.begin_landing(plateau)
    return _train(run)


def find_landing(folder: Path) -> Path | None:
    """Return the newest landing from the plateau in `folder` if it was stopped before its end, or None."""
    for place in sorted(folder.glob("landing_*"), reverse=True):
        if states := list_checkpoints(place):
            return None if read_values(states[-1]).get("over") else place
    return None


def _train(run: _Run) -> TrainingResult:
    threads = torch.get_num_threads()
    # Measuring on a shared CPU is faster on one thread than on two that wait for each other.
    torch.set_num_threads(1)
    try:
        with StopSignal() as stop:
            while not run.is_over() and not stop.wanted:
                run.step_once()
                run.keep_appointments()
        run.close(stopped=stop.wanted)
    finally:
        torch.set_num_threads(threads)
    return run.result


class _Run:
    """One run's moving parts. A leaf."""

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        budget: Budget,
        folder: Path,
        report: Callable[[dict[str, float | str]], None] | None,
    ) -> None:
        self.task, self.recipe, self.budget, self.folder, self.report = task, recipe, budget, folder, report
        folder.mkdir(parents=True, exist_ok=True)
        self.device, dtype, count = choose_lanes(recipe.batch)
        task.networks.to(self.device)
        self.optimiser = Optimiser(task.networks.named_parameters(), recipe, threads=count)
        self.average = Average(task.networks, recipe.ema_decay)
        self.lanes = Lanes(task.networks, count=count, dtype=dtype)
        self.result = TrainingResult(0, 0.0, 0)
        self.broken = 0
        self.mark = self.began = time.monotonic()
        self.marked_step = 0
        self.due = {"save": budget.save_every_s, "validate": budget.validate_every_s, "grid": budget.grid_every_s}
        self.next = {name: self.began + min(wait, 60.0) for name, wait in self.due.items()}
        self.before_s = 0.0
        # A landing counts its budget from here.
        self.first_step = 0

    def is_over(self) -> bool:
        return self.progress() >= 1.0

    def progress(self) -> float:
        """Share of the budget that is spent, 0 to 1; always 0 without an end."""
        if self.budget.steps is not None:
            return min(1.0, (self.result.step - self.first_step) / self.budget.steps)
        return min(1.0, self.result.elapsed_s / 60 / (self.budget.minutes or math.inf))

    def rate(self) -> float:
        """Learning rate of the coming step."""
        recipe, done = self.recipe, self.progress()
        warm = min(1.0, (self.result.step + 1) / max(1, recipe.warmup_steps))
        fall = max(0.0, done - recipe.decay_from_frac) / max(1e-9, 1 - recipe.decay_from_frac)
        cosine = 0.5 * (1 + math.cos(math.pi * fall))
        return recipe.learning_rate * warm * (recipe.final_rate_frac + (1 - recipe.final_rate_frac) * cosine)

    def step_once(self) -> None:
        step, recipe = self.result.step, self.recipe
        each = recipe.batch // self.lanes.count

        def work(lane: int, networks: torch.nn.ModuleDict) -> dict[str, torch.Tensor]:
            noise = torch.Generator(self.device).manual_seed(_mix_seed(recipe.seed, step, lane))
            batch = {k: v.to(self.device) for k, v in self.task.load_batch(step, each, noise).items()}
            return self.task.compute_losses(networks, batch, noise)

        losses, gradients = self.lanes.run(work)
        norm = clip_gradients(gradients, recipe.clip_norm)
        rate = self.rate()
        if math.isfinite(norm) and math.isfinite(losses["loss"]):
            self.optimiser.step(gradients, rate)
            self.average.update(self.task.networks, step)
            self.broken = 0
        else:
            self.broken += 1
            if self.broken > BROKEN_STEPS_ALLOWED:
                raise ModelError(
                    "Training diverged", got=losses, do="Lower the learning rate and resume from the last checkpoint."
                )
        self.result.step += 1
        self.result.pictures += each * self.lanes.count
        self.result.elapsed_s = self.before_s + time.monotonic() - self.began
        self.result.losses = losses
        if self.result.step % self.budget.log_every_steps == 0:
            self.log("train", losses | {"rate": rate, "norm": norm})

    def keep_appointments(self) -> None:
        """Save, measure and draw whenever the clock says so."""
        now = time.monotonic()
        for name, act in (("validate", self.validate), ("grid", self.draw), ("save", self.save)):
            if now >= self.next[name]:
                act()
                self.next[name] = time.monotonic() + self.due[name]

    def validate(self) -> None:
        self.result.validation = self.task.measure_validation(self.averaged())
        self.log("validation", self.result.validation)

    def draw(self) -> None:
        grid = self.task.draw_grid(self.averaged())
        if grid is not None:
            (self.folder / "grids").mkdir(exist_ok=True)
            grid.save(self.folder / "grids" / f"step_{self.result.step:07d}.png")

    def averaged(self) -> torch.nn.ModuleDict:
        networks = copy.deepcopy(self.task.networks).eval()
        self.average.copy_to(networks)
        return networks

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that a state on disk holds, by name."""
        tensors = {f"network.{n}": t for n, t in self.task.networks.state_dict().items()}
        tensors |= {f"average.{n}": t for n, t in self.average.weights.items()}
        tensors |= {f"optimiser.{n}": t for n, t in self.optimiser.state().items()}
        return tensors | {"rng": torch.get_rng_state()}

    def save(self) -> None:
        values = {
            "step": self.result.step,
            "elapsed_s": self.result.elapsed_s,
            "pictures": self.result.pictures,
            "first_step": self.first_step,
            "over": int(self.is_over()),
        }
        save_checkpoint(self.folder, self.result.step, Checkpoint(self.tensors(), values))

    def restore(self, saved: Checkpoint) -> None:
        """Take up a state of this run."""
        groups: dict[str, dict[str, torch.Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
        for name, tensor in saved.tensors.items():
            group, _, key = name.partition(".")
            groups.get(group, {})[key] = tensor
        self.task.networks.load_state_dict(groups["network"])
        self.average.restore(groups["average"])
        self.optimiser.restore(groups["optimiser"])
        torch.set_rng_state(saved.tensors["rng"])
        self.result.step, self.result.pictures = int(saved.values["step"]), int(saved.values["pictures"])
        self.result.elapsed_s = self.before_s = float(saved.values["elapsed_s"])
        self.first_step = int(saved.values.get("first_step", 0))
        self.marked_step = self.result.step

    def begin_landing(self, plateau: Checkpoint) -> None:
        """Take up a plateau's state and count from it; what the plateau lacks stays as it is here."""
        self.restore(Checkpoint(self.tensors() | dict(plateau.tensors), plateau.values))
        self.result.elapsed_s = self.before_s = 0.0
        self.first_step = self.result.step

    def log(self, kind: str, values: dict[str, float]) -> None:
        now = time.monotonic()
        row: dict[str, float | str] = {
            "kind": kind,
            "step": self.result.step,
            "pictures": self.result.pictures,
            "elapsed_s": round(self.result.elapsed_s, 1),
        }
        if kind == "train":
            done = (self.result.step - self.marked_step) * self.recipe.batch
            row["pictures_per_s"] = round(done / max(1e-9, now - self.mark), 2)
            self.mark, self.marked_step = now, self.result.step
        row |= {name: float(f"{value:.6g}") for name, value in values.items()}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        if self.report is not None:
            self.report(row)

    def close(self, *, stopped: bool) -> None:
        self.save()
        self.result.stopped = stopped
        if not stopped:
            self.validate()
            self.draw()
        self.average.copy_to(self.task.networks)
        self.task.networks.eval()


class StopSignal:
    """Turn SIGTERM and SIGINT into a wish that the loop reads between two steps. A leaf."""

    def __init__(self) -> None:
        self.wanted = False
        self._old: dict[int, object] = {}

    def __enter__(self) -> StopSignal:
        # Python lets only the main thread set handlers; elsewhere the caller has to stop us itself.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def _ask(self, number: int, frame: object) -> None:
        del number, frame
        self.wanted = True


def _mix_seed(seed: int, step: int, lane: int) -> int:
    return (seed * SEED_STRIDES[0] + step) * SEED_STRIDES[1] + lane
