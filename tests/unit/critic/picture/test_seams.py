"""Seams are found where they were planted, and edges of things are not taken for seams."""

import math

import numpy as np
import pytest
from PIL import Image

from sfumato.critic.picture.periodic_seams import measure_lattice
from sfumato.critic.picture.seams import Lines, measure_seams

SIDE = 256
LINES = Lines((64, 128, 192), (64, 128, 192))


def make_sky(*, grain=0.0):
    """Return a slope of colour with a disc in it, float [h, w, 3]."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    sky = np.stack([90 + y / 4, 120 + y / 5 + x / 9, 200 - x / 6], axis=-1)
    sky[(y - 90) ** 2 + (x - 170) ** 2 < 30**2] = (180, 60, 40)
    return sky + grain * np.random.default_rng(1).standard_normal((SIDE, SIDE, 1))


def to_image(levels):
    return Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8))


def plant(levels, amount):
    """Lighten every second window by some levels."""
    board = np.add.outer(np.arange(SIDE) // 64, np.arange(SIDE) // 64) % 2
    return levels + amount * board[..., None]


def test_a_slope_with_an_edge_in_it_has_no_seam():
    seams = measure_seams(to_image(make_sky()), LINES)
    assert seams.pieces == 24
    assert seams.ratio_p95 < 2.0
    assert seams.step_p95 < 0.7


@pytest.mark.parametrize("grain", [0.0, 2.0])
def test_a_step_of_colour_shows_in_both_measures_and_grows(grain):
    found = [measure_seams(to_image(plant(make_sky(grain=grain), amount)), LINES) for amount in (0, 3, 8)]
    assert found[0].ratio_p50 < found[1].ratio_p50 < found[2].ratio_p50
    assert found[0].step_p50 + 0.5 < found[1].step_p50 < found[2].step_p50


def test_a_step_that_the_base_has_too_is_no_seam():
    house = make_sky()
    house[:, 128:] += 25
    base = to_image(house).resize((64, 64), Image.Resampling.BOX)
    alone, beside = (measure_seams(to_image(house), Lines((128,)), given) for given in (None, base))
    assert alone.step_p95 > 5.0
    assert beside.step_p95 < 0.3 * alone.step_p95


def test_textured_ground_is_not_judged_for_steps():
    noise = np.random.default_rng(2).uniform(0, 255, (SIDE, SIDE, 3))
    seams = measure_seams(to_image(noise), LINES)
    assert math.isnan(seams.step_p95)
    assert 0.8 < seams.ratio_p50 < 1.2


def test_lines_at_the_border_are_left_out():
    assert measure_seams(to_image(make_sky()), Lines((4, 250), ())).pieces == 0


def test_a_lattice_is_found_without_being_told():
    clean, seamed = (measure_lattice(to_image(plant(make_sky(), amount))) for amount in (0, 4))
    assert clean.deviations < 3.0
    assert seamed.deviations > 2 * clean.deviations + 1.0
    assert (seamed.period_px, seamed.first_x_px % 64, seamed.first_y_px % 64) == (64, 0, 0)


def test_bands_of_the_lattice_walk_join_without_a_gap():
    # Taller than one band: a row that jumps exactly between two bands has to be counted.
    tall = np.full((512, 128, 3), 100.0)
    tall[256:] += 3
    assert measure_lattice(to_image(tall)).deviations == 0.0
    for place in (128, 256, 384):
        tall[place:] += 2
        tall[:, place // 4 :] += 2
    found = measure_lattice(to_image(tall))
    assert found.first_y_px % 128 == 0 or found.deviations == 0.0
