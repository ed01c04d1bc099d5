"""Calibration: areas and limits by hand, and a small run whose card says what it found."""

import json

import numpy as np
import pytest
import torch

from sfumato.core.errors import RequestError
from sfumato.critic.picture.checks import MEASURES
from sfumato.lab.self_check.rows import choose_limit, describe_checks, measure_auc
from sfumato.lab.self_check.run import TARGETS, Calibration, make_ground, run_evaluate_checks
from sfumato.lab.self_check.synthetic_defects import DEFECTS


class Passing:
    """An autoencoder that loses nothing but a little sharpness."""

    def encode_image(self, pixels):
        return torch.nn.functional.avg_pool2d(pixels, 2)

    def decode(self, latents):
        return torch.nn.functional.interpolate(latents, scale_factor=2.0)


def test_areas_are_those_of_counted_pairs():
    clean, bad = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 5.0])
    assert measure_auc("grain", clean, bad) == pytest.approx((1.5 + 3 + 3) / 9)
    assert measure_auc("base consistency", clean, bad) == pytest.approx(1.5 / 9)
    assert measure_auc("grain", clean, clean) == 0.5


def test_nothing_to_judge_looks_clean():
    assert measure_auc("grain", np.array([1.0, 1.0]), np.array([np.nan, 2.0])) == 0.5
    assert measure_auc("base consistency", np.array([30.0]), np.array([np.nan])) == 0.0


def test_a_limit_lies_between_what_is_apart_and_at_the_clean_edge_otherwise():
    visible = DEFECTS["white noise"].visible
    apart = {("grain", "", 0.0): np.linspace(0, 1, 21), ("grain", "white noise", visible): np.linspace(3, 5, 21)}
    assert choose_limit("grain", ["white noise"], apart) == pytest.approx((0.95 + 3.1) / 2)
    mixed = apart | {("grain", "white noise", visible): np.linspace(0, 1, 21)}
    assert choose_limit("grain", ["white noise"], mixed) == pytest.approx(0.95)


def test_a_limit_that_misses_makes_a_measure_unusable():
    doses = DEFECTS["blended seams"].doses
    clean = np.linspace(0, 1, 101)
    values = {("colour step", "", 0.0): clean, ("median colour step", "", 0.0): clean}
    for dose in doses:
        values["colour step", "blended seams", dose] = np.full(101, 0.97)
        values["median colour step", "blended seams", dose] = np.full(101, 3.0)
    # The scenes that limits are chosen on have a few clean pictures beyond the faults.
    chosen = values | {("colour step", "", 0.0): clean + 0.3}
    targets = {"blended seams": ("colour step", "median colour step")}
    rows, notes = describe_checks(chosen, values, targets)
    found = {row.name: row for row in rows if row.name.endswith("found")}
    assert found["colour step: blended seams of 2 Delta E found"].value == 0.0
    assert found["median colour step: blended seams of 2 Delta E found"].value == 100.0
    assert "colour step is NOT usable: blended seams" in notes
    assert "median colour step is usable for blended seams" in notes


def test_every_measure_has_a_defect_to_find_and_every_defect_a_measure():
    assert set(TARGETS) == set(DEFECTS)
    assert {name for names in TARGETS.values() for name in names} == set(MEASURES)


def test_finishes_show_the_same_scene():
    grounds = {finish: make_ground(7, finish, Passing())[0].picture for finish in ("drawn", "decoded", "enlarged")}
    assert all(picture.shape == (512, 512, 3) for picture in grounds.values())
    far = np.abs(grounds["drawn"].astype(int) - grounds["enlarged"]).mean()
    assert 0 < np.abs(grounds["drawn"].astype(int) - grounds["decoded"]).mean() < far < 10


def test_sizes_and_seeds_out_of_range_are_refused():
    with pytest.raises(RequestError):
        Calibration(pictures=1)
    with pytest.raises(RequestError):
        Calibration(seed=90)


@pytest.mark.slow
def test_a_small_calibration_finds_what_is_plain():
    card = run_evaluate_checks(Calibration(pictures=3, seed=3), autoencoder=Passing())
    rows = {row.name: row for row in card.rows}
    assert rows["grain: white noise of 8 levels"].value == 1.0
    assert rows["added object mass: pasted person of 15 % of side"].value == 1.0
    assert json.loads(card.to_line())["rows"][0]["unit"] == "AUC"
    assert all(any(note.startswith(f"{name} is ") for note in card.notes) for name in MEASURES)
