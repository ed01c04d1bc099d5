"""Denoisers in closed form, and noise that can be read twice."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import warnings
from dataclasses import dataclass
from types import ModuleType

import pytest
import torch
from torch import Tensor

from sfumato.nn.schedules import NoiseSchedule


@dataclass(frozen=True)
class Gaussian:
    """Pictures whose cells are independent normals: the optimal denoiser and the flow are exact formulas."""

    mean: float = 0.7
    spread: float = 0.5

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        return (self.spread**2 * x + sigma**2 * self.mean) / (self.spread**2 + sigma**2)

    def flow(self, x: Tensor, sigma: float, sigma_next: float) -> Tensor:
        # Deviations from the mean shrink with the total spread at each level.
        total, total_next = (math.hypot(self.spread, level) for level in (sigma, sigma_next))
        return self.mean + (x - self.mean) * total_next / total


@dataclass(frozen=True)
class StoredNoise:
    """Noise [step, substep, ...] by index, as a `Noise`; counts what was asked."""

    values: Tensor

    def __call__(self, step: int, substep: int, /) -> Tensor:
        return self.values[step, substep]


def bent_denoise(x: Tensor, sigma: float) -> Tensor:
    """A smooth denoiser of no simple form, so that a wrong solver cannot agree by luck."""
    return torch.tanh(x / (1 + sigma)) + 0.1 * torch.sin(3 * x) / (1 + sigma**2)


@pytest.fixture
def gaussian() -> Gaussian:
    return Gaussian()


@pytest.fixture
def bent():
    return bent_denoise


@pytest.fixture
def noise() -> StoredNoise:
    generator = torch.Generator().manual_seed(5)
    return StoredNoise(torch.randn((40, 2, 1, 4, 3, 2), generator=generator, dtype=torch.float64))


@pytest.fixture
def start() -> Tensor:
    return torch.randn((1, 4, 3, 2), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="session")
def schedule() -> NoiseSchedule:
    return NoiseSchedule.from_betas()


@pytest.fixture(scope="session")
def kdiffusion() -> ModuleType:
    """The k-diffusion package, opened past its own `__init__`.

    That one imports an evaluation part which needs a module that setuptools no longer has; the
    solvers and schedules beside it need nothing of the kind.
    """
    package = ModuleType("k_diffusion")
    package.__path__ = list(importlib.util.find_spec("k_diffusion").submodule_search_locations)
    sys.modules["k_diffusion"] = package
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part in ("sampling", "external"):
            setattr(package, part, importlib.import_module(f"k_diffusion.{part}"))
    return package
