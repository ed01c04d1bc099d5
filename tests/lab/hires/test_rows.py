"""Numbers of the comparison and their intervals, method by method."""

import math

import numpy as np
import pytest

from lab.judged import find_row, make_shown
from sfumato.lab.hires.rows import CONTRAST, FOGGY, LOST, SMALL_PARTS, UNSURE, cluster_interval, describe_method

ROW = "phantoms per picture"


def test_nothing_seen_still_allows_something():
    rows = describe_method("a", [make_shown(n) for n in range(10)], [], aims=True)
    row = find_row(rows, ROW)
    assert (row.value, row.aim) == (0.0, 0.02)
    assert row.high == pytest.approx(0.3689, rel=1e-3)
    assert row.met
    one = find_row(describe_method("a", [make_shown(n, phantoms=n == 0) for n in range(10)], [], aims=True), ROW)
    assert one.high > row.high
    assert find_row(rows, LOST).n == 20


def test_phantoms_are_named_by_kind_and_fail_the_aim():
    rows = describe_method("a", [make_shown(n, phantoms=n % 2) for n in range(10)], [], aims=True)
    row = find_row(rows, ROW)
    assert (row.value, row.note, row.met) == (0.5, "person 5", False)
    assert find_row(rows, "pictures with a phantom").value == 50
    assert find_row(describe_method("a", [make_shown(0)], [], aims=False), "phantoms per picture").aim is None


def test_what_is_broken_is_told_from_what_is_gone():
    rows = describe_method("a", [make_shown(n, lost=n == 0, unsure=n < 3) for n in range(10)], [], aims=True)
    assert (find_row(rows, LOST).value, find_row(rows, UNSURE).value) == (5.0, 15.0)
    assert [find_row(rows, name).aim for name in (LOST, UNSURE)] == [2.0, 2.0]


def test_objects_of_one_picture_are_lost_together():
    rows = describe_method("a", [make_shown(n, unsure=12 * (n == 0), held=12) for n in range(10)], [], aims=False)
    assert find_row(rows, UNSURE).value == 10
    # Wilson's for 12 of 120 ends at 16.6 %.
    assert find_row(rows, UNSURE).high >= 30


def test_detail_is_held_against_the_drawn_scene_of_the_same_prompt():
    drawn = [make_shown(n, energy=200.0) for n in range(4)]
    rows = describe_method("a", [make_shown(n, energy=50.0) for n in range(4)], drawn, aims=False)
    assert find_row(rows, "over drawn").value == pytest.approx(0.25, rel=1e-3)


def test_small_parts_are_a_share_of_all_that_the_bases_have():
    rows = describe_method("a", [make_shown(n, parts=3 * (n == 0)) for n in range(10)], [], aims=True)
    row = find_row(rows, SMALL_PARTS)
    assert (row.value, row.n, row.aim, row.met) == (3.0, 100, 2.0, False)
    assert row.high > 5


def test_sharpness_is_of_the_pictures_whose_base_has_edges():
    some = [make_shown(0, contrast=4.0, foggy=0.1), make_shown(1, contrast=8.0, foggy=0.3)]
    rows = describe_method("a", [*some, make_shown(2, contrast=None)], [], aims=False)
    assert (find_row(rows, CONTRAST).value, find_row(rows, CONTRAST).n) == (6.0, 2)
    assert find_row(rows, FOGGY).value == pytest.approx(20.0)
    assert not any(row.name.endswith(CONTRAST) for row in describe_method("a", [make_shown(2)], [], aims=False))


def test_seams_are_what_window_lines_have_beyond_others():
    rows = describe_method("a", [make_shown(n, on=1.5) for n in range(4)], [], aims=True)
    assert find_row(rows, "seam ratio p95 over that of other lines").value == pytest.approx(1.5)
    assert find_row(rows, "seam ratio p95 over that of other lines").met is False
    assert find_row(rows, "colour step p95 less that of other lines").value == pytest.approx(0.2)
    assert find_row(rows, ": seam ratio p95").value == 1.0


def test_whole_clusters_are_resampled():
    same = [np.full(100, float(value)) for value in (0, 10)]
    low, high = cluster_interval(same, lambda values: float(values.mean()), 0)
    assert (low, high) == (0, 10)
    assert all(math.isnan(side) for side in cluster_interval(same, lambda _values: math.nan, 0))
