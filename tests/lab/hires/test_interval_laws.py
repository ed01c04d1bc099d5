"""What holds of every count over pictures: its interval holds it, and seeing more never allows less."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.lab.hires.intervals import binomial_interval, count_interval, poisson_interval

COUNTS = st.lists(st.integers(0, 30), min_size=1, max_size=12)


@given(st.integers(0, 3000))
def test_bounds_rise_with_the_count(count):
    low, high = poisson_interval(count)
    next_low, next_high = poisson_interval(count + 1)
    assert low <= count <= high
    assert low < next_low
    assert high < next_high


@settings(max_examples=15)
@given(COUNTS)
def test_an_interval_holds_its_mean_and_is_as_wide_as_the_exact_one(counts):
    low, high = count_interval(counts)
    exact = poisson_interval(sum(counts))
    assert low <= exact[0] / len(counts)
    assert low <= sum(counts) / len(counts) <= high
    assert high >= exact[1] / len(counts)


@given(st.integers(1, 400), st.data())
def test_shares_of_both_sides_mirror_each_other(n, drawn):
    hits = drawn.draw(st.integers(0, n))
    low, high = binomial_interval(hits, n)
    other_low, other_high = binomial_interval(n - hits, n)
    assert low <= hits / n <= high
    assert abs(low + other_high - 1) < 1e-9
    assert abs(high + other_low - 1) < 1e-9
