"""The shapes in the annotations of `nn` are true: jaxtyping and beartype check them on real calls."""

from __future__ import annotations

import jaxtyping
import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped

from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.nn import guidance, noise, schedules, windows

# The modules name these only for the type checker; a run of the program does without jaxtyping.
NAMES = {"Float": jaxtyping.Float, "UInt32": jaxtyping.UInt32, "Tensor": torch.Tensor, "np": np}


@pytest.fixture
def checked(monkeypatch):
    """Return a function with its annotations checked at every call."""

    def check(module, name):
        for word, meaning in NAMES.items():
            monkeypatch.setattr(module, word, meaning, raising=False)
        for word in ("Sequence", "Iterable"):
            monkeypatch.setattr(
                module, word, getattr(__import__("collections.abc", fromlist=[word]), word), raising=False
            )
        monkeypatch.setattr(module, "LatentBox", LatentBox, raising=False)
        return jaxtyped(typechecker=beartype)(getattr(module, name))

    return check


def test_guidance(checked):
    guide, compose = checked(guidance, "guide"), checked(guidance, "compose")
    cond, uncond = torch.ones(2, 4, 3, 5), torch.zeros(2, 4, 3, 5)
    guide(cond, uncond, 3.0, 0.5)
    compose([cond, cond], [0.5, 0.5], uncond)
    with pytest.raises(jaxtyping.TypeCheckError):
        guide(cond, uncond[:, :3], 3.0)


def test_schedules(checked, schedule):
    checked(schedules, "make_sigmas")("karras", schedule, 5)


def test_noise(checked):
    assert checked(noise, "normal_noise")(1, 0, 0, LatentBox(0, 0, 3, 2)).shape == (4, 2, 3)
    checked(noise, "philox")((0, 0, 0, np.arange(3)), (0, 0))


def test_windows(checked):
    size = LatentSize(6, 4)
    weights = checked(windows, "make_weights")(LatentBox(0, 0, 4, 4), size, 2)
    assert weights.shape == (4, 4)
