"""The table of memory is whole, a process that fails says so, and memory follows a row of tiles, not the picture."""

import json

import pytest

from sfumato.core.errors import RequestError, StorageError
from sfumato.workflows import bench_canvas
from sfumato.workflows.bench_canvas import KINDS, run_bench_canvas


@pytest.fixture(scope="module")
def bench():
    return run_bench_canvas([1024])


def test_every_kind_is_measured(bench):
    found = json.loads(bench.to_line())
    assert [row["kind"] for row in found["rows"]] == list(KINDS)
    assert found["command"] == "sfumato bench canvas --sides 1024"
    assert all(row["file_bytes"] > 10_000 for row in found["rows"])
    assert all(kind in bench.to_text() for kind in KINDS)


def test_memory_is_a_few_rows_of_tiles(bench):
    # A picture twenty times as high would take the same; all of this one would be 3 MiB, and its levels one more.
    assert all(0 < row.growth_bytes < 24 * 2**20 for row in bench.rows)


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
