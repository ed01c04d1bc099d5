"""Planted defects have the dose they claim, and leave the clean picture alone."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000

from sfumato.critic.picture.colour import to_lab
from sfumato.critic.picture.seams import Lines
from sfumato.lab.self_check.synthetic_defects import DEFECTS, Ground
from sfumato.world.stream import make_sample

LINES = Lines((64,), (64,))


@pytest.fixture(scope="module")
def ground():
    drawn = make_sample(5, size=128)
    parts = [np.zeros((128, 128), np.bool_) for _ in range(4)]
    for number, part in enumerate(parts):
        part[20 + 24 * number : 26 + 24 * number, 60:68] = True
    return Ground(drawn.image, LINES, 6, tuple(parts))


def plant(ground, name, dose):
    return DEFECTS[name].plant(ground, dose, np.random.default_rng(4))


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_a_copy_and_more_of_it_changes_more(ground, name):
    before = ground.picture.copy()
    doses = DEFECTS[name].doses
    changes = [np.abs(plant(ground, name, dose).astype(int) - before).sum() for dose in (doses[0], doses[-1])]
    assert 0 < changes[0] < changes[1]
    assert (ground.picture == before).all()
    assert DEFECTS[name].visible in doses
    assert list(doses) == sorted(doses)


def test_hard_seams_differ_by_their_dose_across_a_border():
    grey = Ground(np.full((128, 128, 3), 120, np.uint8), LINES, 1)
    lab = to_lab(plant(grey, "hard seams", 4.0))
    assert deltaE_ciede2000(lab[:64, :64].mean((0, 1)), lab[:64, 64:].mean((0, 1))) == pytest.approx(4.0, abs=0.5)
    assert np.abs(lab[:64, :64] - lab[64:, 64:]).max() == 0


def test_blended_seams_have_no_jump():
    grey = Ground(np.full((128, 128, 3), 120, np.uint8), LINES, 1)
    steps = np.abs(np.diff(plant(grey, "blended seams", 4.0).astype(int), axis=1))
    assert steps.max() <= 2 < np.abs(np.diff(plant(grey, "hard seams", 4.0).astype(int), axis=1)).max()


@pytest.mark.parametrize("name", ["white noise", "blue noise"])
def test_noise_has_the_deviation_it_claims(name):
    grey = Ground(np.full((128, 128, 3), 120, np.uint8), LINES, 1)
    assert plant(grey, name, 4.0).std() == pytest.approx(4.0, rel=0.1)


def test_a_person_is_as_high_as_asked(ground):
    rows = np.nonzero((plant(ground, "pasted person", 15.0) != ground.picture).any(axis=(1, 2)))[0]
    assert 0.6 * 19 <= rows.max() - rows.min() + 1 <= 20


def test_without_small_parts_nothing_is_erased():
    assert plant(Ground(np.full((128, 128, 3), 120, np.uint8), LINES, 1), "erased parts", 50.0) is None


def test_an_erased_part_continues_its_surroundings():
    levels = np.full((64, 64, 3), 120, np.uint8)
    mask = np.zeros((64, 64), np.bool_)
    mask[30:34, 30:34] = True
    levels[mask] = 10
    erased = plant(Ground(levels, LINES, 1, (mask,)), "erased parts", 50.0)
    assert np.abs(erased.astype(int) - 120).max() <= 1
    assert levels[mask].max() == 10
