"""Twenty steps are ten and ten after a resume, bit for bit."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sfumato.train.checkpoints import load_checkpoint
from sfumato.train.loop import TrainingResult, run_training
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
