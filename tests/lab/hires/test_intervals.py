"""Exact intervals against scipy's quantiles, and the wider end of two intervals."""

import math

import numpy as np
import pytest
from scipy import stats

from sfumato.lab.hires.intervals import (
    binomial_interval,
    count_difference_interval,
    count_interval,
    count_ratio_interval,
    poisson_interval,
    resample_ratio,
    share_difference_interval,
    share_interval,
    subtract_intervals,
    widen,
)


@pytest.mark.parametrize("count", [0, 1, 2, 10, 100, 4000])
def test_poisson_bounds_are_quantiles_of_chi_square(count):
    low, high = poisson_interval(count)
    assert low == pytest.approx(stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0, rel=1e-9)
    assert high == pytest.approx(stats.chi2.ppf(0.975, 2 * count + 2) / 2, rel=1e-9)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 30), (3, 30), (30, 30), (1700, 3434)])
def test_binomial_bounds_are_quantiles_of_beta(hits, n):
    low, high = binomial_interval(hits, n)
    assert low == pytest.approx(stats.beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0, rel=1e-9)
    assert high == pytest.approx(stats.beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0, rel=1e-9)


def test_nothing_counted_tells_nothing():
    assert binomial_interval(0, 0) == (0.0, 1.0)


def test_one_phantom_more_allows_more():
    none, one = (count_interval([seen] + [0] * 23) for seen in (0, 1))
    assert none == (0.0, pytest.approx(3.689 / 24, rel=1e-3))
    assert one == (0.0, pytest.approx(5.572 / 24, rel=1e-3))


def test_counts_that_clump_are_as_wide_as_resampling_says():
    counts = [40] + [0] * 19
    assert count_interval(counts)[1] >= 4 > poisson_interval(40)[1] / 20


def test_two_that_never_erred_are_not_known_to_be_equal():
    low, high = count_difference_interval([0] * 10, [0] * 10)
    assert (low, high) == (pytest.approx(-0.3689, rel=1e-3), pytest.approx(0.3689, rel=1e-3))


def test_differences_that_clump_are_as_wide_as_resampling_says():
    low, high = count_difference_interval([40] + [0] * 19, [0] * 20)
    assert low == 0
    assert high >= 4 > poisson_interval(40)[1] / 20


def test_a_ratio_to_nothing_has_no_high_end_and_one_of_nothing_no_low():
    counts = np.array([[4.0, 0.0]] + [[0.0, 0.0]] * 9)
    low, high = count_ratio_interval(counts)
    # What 4 of 4 leave possible: 0.025 ** (1 / 4) of all.
    share = 0.025**0.25
    assert (low, high) == (pytest.approx(share / (1 - share)), math.inf)
    assert count_ratio_interval(counts[:, ::-1]) == (0.0, pytest.approx((1 - share) / share))
    assert count_ratio_interval(np.zeros((3, 2))) == (0.0, math.inf)


def test_a_difference_of_wilson_intervals_is_newcombes():
    # R. G. Newcombe 1998, table II, example (a), method 10: 56/70 less 48/80.
    wilson = [stats.binomtest(hits, n).proportion_ci(method="wilson") for hits, n in ((56, 70), (48, 80))]
    low, high = subtract_intervals(56 / 70, tuple(wilson[0]), 48 / 80, tuple(wilson[1]))
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def test_a_share_is_as_wide_as_its_pictures_differ():
    alone, together = (
        np.array([[1.0, 5.0]] * 6 + [[0.0, 5.0]] * 24),
        np.array([[5.0, 5.0], [1.0, 5.0]] + [[0.0, 5.0]] * 28),
    )
    wilson = stats.binomtest(6, 150).proportion_ci(method="wilson")
    assert share_interval(alone)[1] == pytest.approx(wilson.high)
    assert share_interval(alone)[0] <= wilson.low
    assert share_interval(together)[1] > wilson.high + 0.02
    assert share_interval(np.zeros((4, 2))) == (0.0, 1.0)


def test_a_difference_of_shares_is_newcombes_or_wider():
    none, broken = np.array([[0.0, 5.0]] * 20), np.array([[5.0, 5.0]] + [[0.0, 5.0]] * 19)
    low, high = share_difference_interval(none, none)
    assert low == -high < -0.03
    low, high = share_difference_interval(broken, none)
    assert low <= 0
    assert high >= 0.15


def test_resamples_without_anything_are_left_out():
    assert resample_ratio(np.array([[1.0, 2.0], [0.0, 0.0]])) == (0.5, 0.5)
    assert all(math.isnan(side) for side in resample_ratio(np.zeros((2, 2))))


def test_the_wider_end_is_taken_and_no_number_is_none():
    assert widen((0.1, 0.5), (0.2, 0.6)) == (0.1, 0.6)
    assert widen((0.1, 0.5), (math.nan, math.nan)) == (0.1, 0.5)
