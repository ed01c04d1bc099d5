"""Cards: intervals against known values, the table and the JSON line."""

import json
import math

import numpy as np
import pytest

from sfumato.core.cards import Card, Measurement, bootstrap_interval, measure_share, wilson_interval


# 95 % intervals worked out by hand from Wilson's formula with z = 1.959964.
@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (5, 10, 0.23659, 0.76341), (90, 100, 0.82563, 0.94477)],
)
def test_wilson(hits, n, low, high):
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=2e-5)


def test_wilson_without_anything_counted_knows_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_bootstrap_covers_the_mean_about_as_often_as_it_says():
    stream = np.random.default_rng(0)
    inside = 0
    for seed in range(60):
        low, high = bootstrap_interval(stream.normal(3.0, 1.0, 40), seed=seed)
        inside += low <= 3.0 <= high
    assert 51 <= inside <= 60


def test_bootstrap_repeats_and_takes_any_statistic():
    values = np.arange(50.0)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, lambda sample: float(np.median(sample)))[0] < 24.5
    assert all(math.isnan(edge) for edge in bootstrap_interval([]))


def test_aim_is_met_or_not_or_unknown():
    row = Measurement(name="PSNR", value=28.5, unit="dB", n=100, aim=28.0)
    assert row.met is True
    assert Measurement(name="time", value=3.0, unit="s", n=1, aim=2.0, aim_is="most").met is False
    assert Measurement(name="x", value=1.0, unit="", n=1).met is None
    assert measure_share("x", 0, 0, aim=90.0).met is None


def test_card_prints_losses_and_its_origin():
    card = Card(
        title="mini",
        rows=(measure_share("scene", 99, 100, aim=97.0), measure_share("digits", 1, 10, aim=90.0, note="mush")),
        seed=7,
        command="sfumato evaluate mini",
        commit="abc1234",
        notes=("small n",),
    )
    text = card.to_text()
    assert "scene" in text
    assert "NO" in text
    assert "note: digits: mush" in text
    assert text.endswith("seed 7 · sfumato evaluate mini · abc1234")
    assert len({line.index("aim") for line in text.splitlines() if "aim" in line}) == 1


def test_card_line_is_one_line_of_strict_json():
    card = Card(title="t", rows=(measure_share("x", 0, 0),), seed=1, command="c")
    assert "\n" not in card.to_line()
    loaded = json.loads(card.to_line(), parse_constant=pytest.fail)
    assert loaded["rows"][0]["value"] is None
    assert loaded["rows"][0]["n"] == 0


def test_numbers_of_numpy_are_written_too():
    row = Measurement(name="a", value=np.float64(2.0), unit="", n=1, aim=1.0, aim_is="most")
    assert json.loads(json.dumps(row.to_json()))["met"] is False
