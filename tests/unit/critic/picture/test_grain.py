"""Grain: noise is measured where a picture is calm, and edges are not taken for it."""

import numpy as np
import pytest
from PIL import Image

from sfumato.critic.picture.grain import measure_grain


def make_picture(noise):
    y, x = np.mgrid[0:256, 0:256]
    levels = 100 + y / 8 + 60 * ((x // 37 + y // 53) % 2)
    levels = levels + noise * np.random.default_rng(3).standard_normal((256, 256))
    return Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize("noise", [2.0, 6.0])
def test_the_floor_is_the_deviation_of_the_noise(noise):
    assert measure_grain(make_picture(noise)).floor_levels == pytest.approx(noise, rel=0.2)


def test_noise_is_white_and_edges_are_not():
    assert measure_grain(make_picture(0.0)).whiteness < 0.05
    assert measure_grain(make_picture(6.0)).whiteness > 0.5


def test_rounding_is_no_noise():
    y, x = np.mgrid[0:256, 0:256]
    smooth = np.rint(128 + 40 * np.sin(x / 19) * np.cos(y / 23)).astype(np.uint8)
    grain = measure_grain(Image.fromarray(smooth).convert("RGB"))
    assert grain.floor_levels < 0.5
    assert grain.whiteness == 0.0


def test_a_flat_picture_has_no_grain():
    grain = measure_grain(Image.new("RGB", (64, 64), (9, 9, 9)))
    assert (grain.floor_levels, grain.whiteness) == (0.0, 0.0)
