"""Twenty steps are ten and ten after a resume, bit for bit; so are plateaus without an end and their landings."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sfumato.core.errors import StorageError
from sfumato.train.checkpoints import list_checkpoints, load_checkpoint
from sfumato.train.loop import TrainingResult, land_training, run_training
from sfumato.train.task import Budget, Recipe


class LineTask:
    """Fit a small network to a fixed map, with noise in data and loss."""

    name = "line"

    def __init__(self) -> None:
        torch.manual_seed(5)
        body = nn.Sequential(
            nn.Conv2d(16, 32, 3, padding=1), nn.GroupNorm(4, 32), nn.SiLU(), nn.Conv2d(32, 16, 3, padding=1)
        )
        self.networks = nn.ModuleDict({"body": body})

    def load_batch(self, step: int, count: int, noise: torch.Generator) -> Mapping[str, Tensor]:
        del step
        return {"x": torch.randn((count, 16, 8, 8), generator=noise, device=noise.device)}

    def compute_losses(
        self, networks: nn.ModuleDict, batch: Mapping[str, Tensor], noise: torch.Generator
    ) -> dict[str, Tensor]:
        x = batch["x"]
        jitter = 0.1 * torch.randn(x.shape, generator=noise, device=x.device)
        out = networks["body"]((x + jitter).to(next(networks.parameters()).dtype)).float()
        return {"loss": (out - x.flip(1)).square().mean()}

    def measure_validation(self, networks: nn.ModuleDict) -> dict[str, float]:
        return {"loss": float(sum(p.detach().sum() for p in networks.parameters()))}

    def draw_grid(self, networks: nn.ModuleDict) -> Image.Image | None:
        del networks
        return Image.new("RGB", (8, 8))


def train(
    folder: Path, *, stop_at: int | None = None, optimiser: str = "muon", steps: int = 20, resume: bool = True
) -> tuple[LineTask, TrainingResult]:
    task = LineTask()
    recipe = Recipe(batch=8, learning_rate=2e-3, optimiser=optimiser, warmup_steps=4, decay_from_frac=0.5)

    def stop(row: dict[str, float | str]) -> None:
        if row["kind"] == "train" and row["step"] == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    return task, run_training(task, recipe, Budget(steps=steps, log_every_steps=1), folder, report=stop, resume=resume)


@pytest.mark.parametrize("optimiser", ["muon", "adamw"])
def test_twenty_steps_are_ten_and_ten(tmp_path: Path, optimiser: str) -> None:
    whole, result = train(tmp_path / "whole", optimiser=optimiser)
    _, half = train(tmp_path / "split", stop_at=10, optimiser=optimiser)
    assert (half.step, half.stopped) == (10, True)
    joined, end = train(tmp_path / "split", optimiser=optimiser)
    assert (end.step, end.pictures, end.stopped) == (20, result.pictures, False)
    for ours, theirs in zip(whole.networks.state_dict().values(), joined.networks.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    one, two = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "split")
    assert one is not None
    assert two is not None
    assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)


def test_training_learns_logs_and_draws(tmp_path: Path) -> None:
    _, result = train(tmp_path, steps=60)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "train"] == list(range(1, 61))
    # On a slow machine the clock asks for more than the one at the end.
    assert [row for row in rows if row["kind"] == "validation"]
    assert result.losses["loss"] < 0.9
    assert (tmp_path / "grids" / "step_0000060.png").is_file()


def test_a_fresh_run_forgets_the_old_one(tmp_path: Path) -> None:
    train(tmp_path, steps=20)
    _, result = train(tmp_path, steps=5, resume=False)
    saved = load_checkpoint(tmp_path)
    assert result.step == 5
    assert saved is not None
    assert saved.values["step"] == 5
    assert len(list(tmp_path.glob("log_*.jsonl"))) == 1


def rates(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [row["rate"] for row in rows if row["kind"] == "train"]


def stop_at(step: int) -> Callable[[dict[str, float | str]], None]:
    def stop(row: dict[str, float | str]) -> None:
        if row["kind"] == "train" and row["step"] == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return stop


def test_a_run_without_an_end_stays_on_its_plateau_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    recipe, endless = Recipe(batch=8, learning_rate=2e-3, warmup_steps=4), Budget(log_every_steps=1)
    whole = run_training(LineTask(), recipe, endless, tmp_path / "whole", report=stop_at(20))
    for end in (7, 20):
        parts = run_training(LineTask(), recipe, endless, tmp_path / "parts", report=stop_at(end))
    assert (whole.step, parts.step, parts.stopped) == (20, 20, True)
    assert rates(tmp_path / "parts")[4:] == [2e-3] * 16
    one, two = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts")
    assert one is not None
    assert two is not None
    assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)


def test_a_landing_falls_to_the_final_rate_and_leaves_the_plateau_as_it_was(tmp_path: Path) -> None:
    recipe, endless = Recipe(batch=8, learning_rate=2e-3, warmup_steps=4), Budget(log_every_steps=1)
    run_training(LineTask(), recipe, endless, tmp_path, report=stop_at(10))
    before = {path.name: path.read_bytes() for path in list_checkpoints(tmp_path)}
    landed = land_training(LineTask(), recipe, Budget(steps=20, log_every_steps=1), tmp_path)
    assert (landed.step, landed.stopped) == (30, False)
    falling = rates(tmp_path / "landing_000000010")
    assert falling[0] == 2e-3
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] < 0.05 * 2e-3
    assert {path.name: path.read_bytes() for path in list_checkpoints(tmp_path)} == before
    # The plateau goes on, and lands again from further along.
    run_training(LineTask(), recipe, endless, tmp_path, report=stop_at(15))
    assert land_training(LineTask(), recipe, Budget(steps=5), tmp_path).step == 20


def test_a_stopped_landing_goes_on_bit_for_bit_even_if_the_plateau_went_on(tmp_path: Path) -> None:
    recipe, endless = Recipe(batch=8, learning_rate=2e-3, warmup_steps=4), Budget(log_every_steps=1)
    short = Budget(steps=12, log_every_steps=1)
    for name in ("whole", "parts"):
        run_training(LineTask(), recipe, endless, tmp_path / name, report=stop_at(6))
    whole, parts = LineTask(), LineTask()
    land_training(whole, recipe, short, tmp_path / "whole")
    assert land_training(LineTask(), recipe, short, tmp_path / "parts", report=stop_at(11)).stopped
    run_training(LineTask(), recipe, endless, tmp_path / "parts", report=stop_at(9))
    assert land_training(parts, recipe, short, tmp_path / "parts").step == 18
    for ours, theirs in zip(whole.networks.state_dict().values(), parts.networks.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_landing_may_add_a_network_and_needs_a_plateau(tmp_path: Path) -> None:
    recipe = Recipe(batch=8, learning_rate=2e-3, warmup_steps=4)
    with pytest.raises(StorageError, match="no plateau"):
        land_training(LineTask(), recipe, Budget(steps=2), tmp_path)
    run_training(LineTask(), recipe, Budget(log_every_steps=1), tmp_path, report=stop_at(6))
    task = LineTask()
    task.networks["judge"] = nn.Conv2d(16, 16, 1)
    assert land_training(task, recipe, Budget(steps=2), tmp_path).step == 8
