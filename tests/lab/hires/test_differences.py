"""What is compared with what, and what a difference of rare counts leaves open."""

import math

import pytest

from lab.judged import find_row, make_shown
from sfumato.lab.hires.cards import describe_difference
from sfumato.lab.hires.rows import CONTRAST, LOST, SMALL_PARTS, UNSURE


def test_differences_pair_the_prompts_that_both_have():
    ours = [make_shown(n, phantoms=4, psnr=20.0) for n in range(6)]
    theirs = [make_shown(n, phantoms=2, psnr=30.0) for n in range(2, 9)]
    rows = describe_difference("a", ours, "b", theirs)
    assert {row.n for row in rows} == {4, 8, 40}
    assert find_row(rows, "less b: phantoms per picture").value == 2
    assert find_row(rows, "over b: phantoms").value == 2
    assert find_row(rows, "base consistency").value == -10
    assert describe_difference("a", ours[:2], "b", theirs) == []


def test_no_phantoms_on_both_sides_do_not_make_them_equal():
    rows = describe_difference("a", [make_shown(n) for n in range(10)], "b", [make_shown(n) for n in range(10)])
    row = find_row(rows, "less b: phantoms per picture")
    assert (row.value, row.low) == (0, pytest.approx(-row.high))
    assert row.high == pytest.approx(0.3689, rel=1e-3)


def test_what_is_lost_and_how_even_it_is_are_compared_too():
    ours = [make_shown(n, parts=1, contrast=9.0) for n in range(6)]
    theirs = [make_shown(n, contrast=5.0 if n else None) for n in range(6)]
    rows = describe_difference("a", ours, "b", theirs)
    assert find_row(rows, SMALL_PARTS).value == pytest.approx(10.0)
    assert (find_row(rows, CONTRAST).value, find_row(rows, CONTRAST).n) == (4.0, 5)


def test_detail_is_compared_as_a_ratio_over_the_common_prompts():
    ours = [make_shown(n, energy=50.0 * 2**n) for n in range(6)]
    theirs = [make_shown(n, energy=200.0 * 2**n) for n in range(2, 9)]
    row = find_row(describe_difference("a", ours, "b", theirs), "a over b: detail, octave 1 above the base")
    assert (row.n, row.value) == (4, pytest.approx(0.25, rel=1e-3))
    # Pictures differ by octaves, the methods of a picture always alike.
    assert row.high - row.low < 1e-3


def test_losses_are_compared_over_the_objects_of_all_prompts():
    ours = [make_shown(n, lost=n == 0, unsure=n < 3) for n in range(10)]
    rows = describe_difference("a", ours, "b", [make_shown(n, unsure=n == 0) for n in range(10)])
    lost, unsure = find_row(rows, f"less b: {LOST}"), find_row(rows, f"less b: {UNSURE}")
    assert (lost.value, unsure.value) == (pytest.approx(5), pytest.approx(10))
    assert lost.low < 0 < lost.value < lost.high
    bare = [make_shown(n, held=0) for n in range(2)]
    assert math.isnan(find_row(describe_difference("a", bare, "b", bare), LOST).value)


def test_a_ratio_to_nothing_takes_the_most_that_nothing_allows():
    rows = describe_difference("a", [make_shown(0, phantoms=4)], "b", [make_shown(0)])
    row = find_row(rows, "over b: phantoms")
    assert row.value == pytest.approx(4 / 3.6889, rel=1e-4)
    assert 0 < row.low < row.value < row.high == math.inf
    assert "at least" in row.note


def test_nothing_over_something_may_still_be_something():
    rows = describe_difference("a", [make_shown(0)], "b", [make_shown(0, phantoms=4)])
    row = find_row(rows, "over b: phantoms")
    assert (row.value, row.low) == (0, 0)
    assert row.high > 0.5
