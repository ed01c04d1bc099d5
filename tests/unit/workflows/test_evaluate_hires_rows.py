"""Numbers of the comparison, their intervals, and what is compared with what."""

import math

import numpy as np
import pytest

from sfumato.workflows.evaluate_hires_rows import (
    LOST,
    NONE_SEEN,
    UNSURE,
    Shown,
    cluster_interval,
    describe_difference,
    describe_method,
)


def make_shown(prompt: int, *, phantoms: int = 0, lost: int = 0, unsure: int = 0, **measured: float) -> Shown:
    psnr, energy, on = (measured.get(name, usual) for name, usual in (("psnr", 30.0), ("energy", 100.0), ("on", 1.0)))
    judged = {
        "phantoms": [["person", 0, 0, 1, 1, 0.9]] * phantoms,
        "lost": [["person", 0, 0, 1, 1, 0.9]] * lost,
        "unsure": [["person", 0, 0, 1, 1, 0.9]] * unsure,
        "held": 2,
        "excess": phantoms,
        "blobs": 0,
        "lattice": 1.0,
        "psnr_db": psnr,
        "drift": 0.5,
        "octaves": [energy],
        "seams": [[1.0, 0.1], [1.0, None]],
        "seams_last": [[on, 0.3]] * 2,
        "seams_off": [[1.0, 0.1]] * 3,
    }
    made = {"seconds": 2.0, "peak_bytes": 2**20}
    return Shown(prompt, "crowd", made, judged, {}, 1.25)


def find(rows, end):
    return next(row for row in rows if row.name.endswith(end))


def test_nothing_seen_still_allows_something():
    rows = describe_method("a", [make_shown(n) for n in range(10)], [], aims=True)
    row = find(rows, "phantoms per picture")
    assert (row.value, row.high, row.aim) == (0.0, NONE_SEEN / 10, 0.02)
    assert row.met
    assert find(rows, LOST).n == 20


def test_phantoms_are_named_by_kind_and_fail_the_aim():
    rows = describe_method("a", [make_shown(n, phantoms=n % 2) for n in range(10)], [], aims=True)
    row = find(rows, "phantoms per picture")
    assert (row.value, row.note, row.met) == (0.5, "person 5", False)
    assert find(rows, "pictures with a phantom").value == 50
    assert find(describe_method("a", [make_shown(0)], [], aims=False), "phantoms per picture").aim is None


def test_what_is_broken_is_told_from_what_is_gone():
    rows = describe_method("a", [make_shown(n, lost=n == 0, unsure=n < 3) for n in range(10)], [], aims=True)
    assert (find(rows, LOST).value, find(rows, UNSURE).value) == (5.0, 15.0)
    assert [find(rows, name).aim for name in (LOST, UNSURE)] == [2.0, 2.0]


def test_detail_is_held_against_the_drawn_scene_of_the_same_prompt():
    drawn = [make_shown(n, energy=200.0) for n in range(4)]
    rows = describe_method("a", [make_shown(n, energy=50.0) for n in range(4)], drawn, aims=False)
    assert find(rows, "over drawn").value == pytest.approx(0.25, rel=1e-3)


def test_seams_are_what_window_lines_have_beyond_others():
    rows = describe_method("a", [make_shown(n, on=1.5) for n in range(4)], [], aims=True)
    assert find(rows, "seam ratio p95 over that of other lines").value == pytest.approx(1.5)
    assert find(rows, "seam ratio p95 over that of other lines").met is False
    assert find(rows, "colour step p95 less that of other lines").value == pytest.approx(0.2)
    assert find(rows, ": seam ratio p95").value == 1.0


def test_differences_pair_the_prompts_that_both_have():
    ours = [make_shown(n, phantoms=4, psnr=20.0) for n in range(6)]
    theirs = [make_shown(n, phantoms=2, psnr=30.0) for n in range(2, 9)]
    rows = describe_difference("a", ours, "b", theirs)
    assert [row.n for row in rows] == [4] * 4
    assert find(rows, "less b: phantoms per picture").value == 2
    assert find(rows, "over b: phantoms").value == 2
    assert find(rows, "base consistency").value == -10


def test_a_ratio_to_nothing_takes_the_most_that_nothing_allows():
    rows = describe_difference("a", [make_shown(0, phantoms=4)], "b", [make_shown(0)])
    row = find(rows, "over b: phantoms")
    assert row.value == pytest.approx(4 / NONE_SEEN)
    assert "at least" in row.note


def test_whole_clusters_are_resampled():
    same = [np.full(100, float(value)) for value in (0, 10)]
    low, high = cluster_interval(same, lambda values: float(values.mean()), 0)
    assert (low, high) == (0, 10)
    assert all(math.isnan(side) for side in cluster_interval(same, lambda _values: math.nan, 0))
