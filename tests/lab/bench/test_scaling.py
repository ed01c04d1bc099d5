"""The table of growth adds up, and what cannot be measured is refused before anything starts."""

import json

import pytest

from sfumato.core.errors import RequestError
from sfumato.lab.bench.scaling import GrowthBench, GrowthTrial, run_bench_growth


def make_row(side_px, renders, growth):
    return GrowthTrial(
        side_px=side_px,
        native_s=0.5,
        processor_s=renders * 0.5 * side_px**2 / 128**2,
        native_renders=renders,
        growth_bytes=growth,
        held_bytes=1,
        again_s=0.0,
        evaluations=1,
    )


def test_ratios_are_those_of_the_rows():
    bench = GrowthBench(rows=(make_row(256, 1.2, 2**20), make_row(512, 0.8, 3 * 2**20)), command="sfumato bench growth")
    found = json.loads(bench.to_line())
    assert (found["cost_ratio"], found["memory_ratio"]) == (1.5, 3.0)
    assert "1.20" in bench.to_text()


@pytest.mark.parametrize("wrong", [{"sides_px": (64,)}, {"steps": 0}, {"suffix": ".jpg"}])
def test_what_cannot_be_measured_is_refused(wrong):
    with pytest.raises(RequestError):
        run_bench_growth(**wrong)


@pytest.mark.slow
def test_a_small_picture_is_measured():
    bench = run_bench_growth((256,), steps=2, suffix=".png")
    assert bench.rows[0].processor_s > 0
    assert bench.rows[0].growth_bytes > 0
