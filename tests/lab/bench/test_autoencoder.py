"""The table of coding adds up, both ways of a small autoencoder are measured, and what cannot be is refused first."""

import json

import pytest

from bundles import tiny_mini
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.lab.bench.autoencoder import CodingBench, CodingTrial, run_bench_coding


def test_seconds_are_told_by_the_megapixel():
    row = CodingTrial(way="decode", size="2000x1000", processor_s=3.0, growth_bytes=25 * 2**20)
    text = CodingBench(rows=(row,), command="").to_text()
    assert row.each_s == pytest.approx(1.5)
    assert all(words in text for words in ("decode", "2000x1000", "25", "1.50"))


def test_both_ways_are_measured():
    bench = run_bench_coding([PixelSize(128, 64)], model=str(tiny_mini()))
    found = json.loads(bench.to_line())
    assert [(row["way"], row["size"]) for row in found["rows"]] == [("decode", "128x64"), ("encode", "128x64")]
    assert all(row["processor_s"] > 0 for row in found["rows"])
    assert found["command"].startswith("sfumato bench coding --sizes 128x64 --model ")


@pytest.mark.parametrize("size", [PixelSize(32, 64), PixelSize(64, 10**6), PixelSize(100, 64)])
def test_sizes_that_cannot_be_coded_are_refused(size):
    with pytest.raises(RequestError):
        run_bench_coding([size], model=str(tiny_mini()))
