"""Detail by octaves, lines and their controls, and crops."""

import numpy as np
import pytest
from PIL import Image

from sfumato.critic.picture.seams import Lines
from sfumato.lab.hires.measures import (
    StepLines,
    choose_control,
    choose_places,
    cut_crops,
    join_lines,
    measure_octaves,
    measure_picture,
    measure_pieces,
)
from sfumato.world.stream import make_sample

SIDE = 256


def make_wave(cycles_per_px: float) -> Image.Image:
    levels = 128 + 50 * np.sin(2 * np.pi * cycles_per_px * np.arange(SIDE))
    return Image.fromarray(np.tile(levels.round().astype(np.uint8), (SIDE, 1)))


@pytest.mark.parametrize(("cycles", "octave"), [(0.18, 0), (0.4, 1), (0.06, None)])
def test_a_wave_has_its_energy_in_its_own_octave(cycles, octave):
    energies = measure_octaves(make_wave(cycles), 4.0)
    assert len(energies) == 2
    for place, energy in enumerate(energies):
        # The variance of a sine is half its amplitude squared.
        assert energy == pytest.approx(1250 if place == octave else 0, rel=0.02, abs=6)


def test_a_base_half_as_large_leaves_one_octave():
    assert len(measure_octaves(make_wave(0.1), 2.0)) == 1
    assert len(measure_octaves(make_wave(0.1), 8.0)) == 3


def test_pieces_on_a_planted_seam_stand_out():
    noise = np.random.default_rng(0).normal(120, 2, (SIDE, SIDE, 1)).repeat(3, axis=2)
    noise[:, 128:] += 12
    picture = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
    base = Image.new("RGB", (64, 64), (120, 120, 120))
    on, off = (measure_pieces(picture, base, Lines(xs=(x,))) for x in (128, 64))
    assert len(on) == len(off) == 2
    assert min(piece[0] for piece in on) > 1.5 > max(piece[0] for piece in off)
    assert min(piece[1] for piece in on) > 2 > max(piece[1] for piece in off)


def test_control_lines_keep_away_where_they_can():
    control = choose_control(Lines(xs=(64, 128), ys=(100,)), (SIDE, SIDE))
    assert len(control.xs) == 2
    assert len(control.ys) == 1
    assert all(abs(x - line) >= 16 and x % 8 == 0 for x in control.xs for line in (64, 128))
    assert choose_control(Lines(xs=tuple(range(8, SIDE, 8))), (SIDE, SIDE)).xs == ()


def test_lines_of_several_methods_are_joined():
    one, other = StepLines(Lines((8,), (16,)), Lines((8,), ())), StepLines(Lines((24,), (16,)), Lines((24,), ()))
    assert join_lines([one.to_json(), other.to_json()]) == StepLines(Lines((8, 24), (16,)), Lines((8, 24), ()))


def test_the_measures_of_an_enlarged_base_say_that_nothing_is_new():
    base = Image.fromarray(make_sample(1, size=64).image)
    picture = base.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    lines = Lines((128,), (128,))
    record = measure_picture(picture, base, StepLines(lines, lines))
    assert record["blobs"] == 0
    assert record["psnr_db"] > 30
    assert len(record["seams"]) == len(record["seams_last"]) == len(record["seams_off"]) == 4


def test_crops_lie_inside_and_repeat():
    places = [choose_places((300, 200), 128, 5, np.random.default_rng(3)) for _ in range(2)]
    assert places[0] == places[1]
    crops = cut_crops(np.zeros((200, 300, 3), np.uint8), 128, places[0])
    assert [crop.shape for crop in crops] == [(128, 128, 3)] * 5
