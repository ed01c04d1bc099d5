"""Samples: the same seed gives the same bytes, at any size, and ten thousand seeds draw without an exception."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from sfumato.world.scene import SHOTS, STYLES
from sfumato.world.stream import Wish, make_sample

_DIGEST = """
import hashlib
from sfumato.world.stream import make_sample
print(hashlib.sha256(b"".join(make_sample(seed).image.tobytes() for seed in range(40))).hexdigest())
"""


def test_same_seed_same_bytes_in_another_process() -> None:
    here = hashlib.sha256(b"".join(make_sample(seed).image.tobytes() for seed in range(40))).hexdigest()
    there = subprocess.run([sys.executable, "-c", _DIGEST], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_truth_does_not_change_the_picture() -> None:
    for seed in range(30):
        plain = make_sample(seed)
        told = make_sample(seed, wish=Wish(with_truth=True))
        assert np.array_equal(plain.image, told.image)
        assert plain.captions == told.captions


@pytest.mark.parametrize("shot", SHOTS)
@pytest.mark.parametrize("style", STYLES)
def test_every_shot_in_every_style(shot: str, style: str) -> None:
    sample = make_sample(5, size=96, wish=Wish(shot=shot, style=style, with_truth=True))
    assert sample.image.shape == (96, 96, 3)
    assert sample.image.std() > 3
    assert sample.labels["shot"] == shot
    assert sample.labels["style"] == style


def test_a_larger_drawing_is_the_same_picture() -> None:
    for seed in range(12):
        small = make_sample(seed, size=64).image.astype(float)
        large = make_sample(seed, size=256).image.astype(float)
        pooled = large.reshape(64, 4, 64, 4, 3).mean((1, 3))
        assert np.abs(pooled - small).mean() < 5.0, seed


def test_a_wide_picture_has_the_aspect_asked_for() -> None:
    assert make_sample(3, size=72, wish=Wish(aspect=16 / 9)).image.shape == (72, 128, 3)


@pytest.mark.parametrize("seeds", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_every_seed_gives_a_caption(seeds: int) -> None:
    for seed in range(seeds):
        sample = make_sample(seed, size=16)
        assert 1 <= len(sample.caption.split()) <= 60, (seed, sample.caption)
