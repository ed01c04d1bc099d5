"""What the loop needs to know of the thing it trains.

A task owns its networks, its batches and its loss. It knows no optimiser, checkpoint or clock.
Start reading at `Task`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from PIL import Image
    from torch import Tensor, nn


class Task(Protocol):
    """Supply networks, batches and losses to `loop.run_training`."""

    name: str
    networks: nn.ModuleDict

    def load_batch(self, step: int, count: int, noise: torch.Generator) -> Mapping[str, Tensor]:
        """Return `count` examples; they depend only on `step` and `noise`, never on earlier calls."""
        ...

    def compute_losses(
        self, networks: nn.ModuleDict, batch: Mapping[str, Tensor], noise: torch.Generator
    ) -> dict[str, Tensor]:
        """Return named scalars; the one called "loss" is minimised, the others are logged."""
        ...

    def measure_validation(self, networks: nn.ModuleDict) -> dict[str, float]:
        """Return losses on one fixed batch with fixed noise, so that two steps can be compared."""
        ...

    def draw_grid(self, networks: nn.ModuleDict) -> Image.Image | None:
        """Return a picture to look at while training runs, or None."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Fix how one stage is trained: everything that changes the weights, apart from the budget.

    Rates are per step. `decay_from_frac` is the share of the budget after which the learning rate
    falls along a cosine to `final_rate_frac` of its peak (warm-up, plateau, decay: a plateau can be
    extended later, a whole-run cosine cannot; Hägele et al. 2024, arXiv:2405.18392).
    """

    batch: int
    learning_rate: float
    optimiser: str = "muon"
    warmup_steps: int = 100
    decay_from_frac: float = 0.6
    final_rate_frac: float = 0.02
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Say when a run ends and how often it saves, measures and draws.

    With `steps` the learning rate follows the step count (repeatable bit for bit); with `minutes`
    it follows the clock, so that a run on a slow machine still ends fully decayed. With neither the
    run has no end: the rate warms up and stays until SIGTERM comes, and `land_training` lets it fall.
    """

    steps: int | None = None
    minutes: float | None = None
    save_every_s: float = 180.0
    validate_every_s: float = 240.0
    grid_every_s: float = 300.0
    log_every_steps: int = 20
