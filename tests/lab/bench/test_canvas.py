"""The table of memory is whole, a process that fails says so, and memory does not follow the area."""

import json

import pytest

from sfumato.core.errors import RequestError, StorageError
from sfumato.lab.bench import canvas as bench_canvas
from sfumato.lab.bench.canvas import KINDS, run_bench_canvas


@pytest.fixture(scope="module")
def bench():
    return run_bench_canvas([1024])


def test_every_kind_is_measured(bench):
    found = json.loads(bench.to_line())
    assert [row["kind"] for row in found["rows"]] == list(KINDS)
    assert found["command"] == "sfumato bench canvas --sides 1024"
    assert all(row["file_bytes"] > 10_000 and row["growth_bytes"] > 0 for row in found["rows"])
    assert all(kind in bench.to_text() for kind in KINDS)


@pytest.mark.slow
def test_memory_does_not_follow_the_area():
    small, large = run_bench_canvas([2048]).rows, run_bench_canvas([8192]).rows
    for before, after in zip(small, large, strict=True):
        # 16 times the area, four times the width: what is held follows the width at most.
        assert after.growth_bytes < 4 * before.growth_bytes + 8 * 2**20, (before, after)


@pytest.mark.parametrize("sides", [[0], [10**6], [63]])
def test_sides_out_of_range_are_refused(sides):
    with pytest.raises(RequestError, match="a side"):
        run_bench_canvas(sides)


def test_a_process_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(bench_canvas, "KINDS", {"png": "a.gif"})
    with pytest.raises(StorageError, match="could not be written") as caught:
        run_bench_canvas([64])
    assert "bands are written to" in caught.value.got
