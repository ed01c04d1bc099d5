"""A starting picture that mini's autoencoder loses is told, one that it keeps is not."""

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.workflows.init_likeness import LEAST_DB, describe_unlike, measure_likeness


class Coder:
    """A model whose autoencoder keeps squares of `side` px alone."""

    def __init__(self, side):
        self.side = side

    def encode_image(self, pixels):
        assert pixels.shape == (1, 3, 128, 128)
        assert -1.0 <= float(pixels.min()) <= float(pixels.max()) <= 1.0
        return torch.nn.functional.avg_pool2d(pixels, self.side)

    def decode(self, latents):
        return latents.repeat_interleave(self.side, 2).repeat_interleave(self.side, 3)


@pytest.fixture
def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8))


def test_a_picture_that_is_lost_is_told_with_its_number(noise):
    assert measure_likeness(Coder(8), noise) < LEAST_DB
    said = describe_unlike(Coder(8), noise)
    assert f"{measure_likeness(Coder(8), noise):.1f} dB" in said


def test_a_picture_that_is_kept_is_not(noise):
    flat = Image.new("RGBA", (40, 90), (10, 200, 40, 255))
    assert describe_unlike(Coder(8), flat) == ""
    assert measure_likeness(Coder(1), noise) == 99.0
