"""Edges of an enlarged picture become steep, without a halo, on no slope, and in every box as in the whole."""

import numpy as np
import pytest
from PIL import Image

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.render.cohesive.crisp import make_crisp

SIZE = PixelSize(96, 64)


def enlarge(levels):
    small = Image.fromarray(levels.astype(np.uint8))
    return np.asarray(small.resize((SIZE.width, SIZE.height), Image.Resampling.LANCZOS))


def read_of(pixels):
    return lambda box: pixels[box.slices_hw]


def sharpen(pixels, scale=2.0):
    return make_crisp(read_of(pixels), SIZE, scale)(SIZE.box).astype(int)


def test_an_edge_becomes_steeper_and_goes_no_further():
    levels = np.full((32, 48, 3), 60)
    levels[:, 24:] = 180
    soft = enlarge(levels)
    crisp = sharpen(soft)
    steepest = [np.abs(np.diff(picture[32, :, 0].astype(int))).max() for picture in (soft, crisp)]
    assert steepest[1] > 1.3 * steepest[0]
    assert (crisp.min(), crisp.max()) == (soft.min(), soft.max())


def test_a_slope_stays():
    ramp = np.broadcast_to(np.linspace(20, 220, SIZE.width)[None, :, None], (*SIZE.shape_hw, 3)).astype(np.uint8)
    assert np.abs(sharpen(ramp) - ramp).max() <= 2


@pytest.mark.parametrize("box", [(0, 0, 5, 3), (17, 9, 60, 41), (90, 50, 96, 64), (40, 0, 41, 64)])
def test_every_box_is_as_in_the_whole(box):
    pixels = enlarge(np.random.default_rng(1).integers(0, 255, (32, 48, 3)))
    compute = make_crisp(read_of(pixels), SIZE, 1.7)
    part = PixelBox(*box)
    assert np.array_equal(compute(part), compute(SIZE.box)[part.slices_hw])
