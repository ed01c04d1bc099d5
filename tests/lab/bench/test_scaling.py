"""The table of growth adds up, and what cannot be measured is refused before anything starts."""

import json

import numpy as np
import pytest

from fakes import CONTRACT, GaussianModel
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.lab.bench.scaling import GrowthBench, GrowthTrial, run_bench_growth
from sfumato.lab.bench.scaling_redraw import Placed, measure_place
from sfumato.render.engine import run_plan
from sfumato.render.plan.budget import GIB, GUESSES, Budget
from sfumato.render.plan.make_plan import plan_render


def make_row(side_px, renders, growth, place=None):
    return GrowthTrial(
        side_px=side_px,
        native_s=0.5,
        processor_s=renders * 0.5 * side_px**2 / 128**2,
        native_renders=renders,
        growth_bytes=growth,
        held_bytes=1,
        again_s=0.0,
        evaluations=1,
        place=place,
    )


def test_ratios_are_those_of_the_rows():
    bench = GrowthBench(rows=(make_row(256, 1.2, 2**20), make_row(512, 0.8, 3 * 2**20)), command="sfumato bench growth")
    found = json.loads(bench.to_line())
    assert (found["cost_ratio"], found["memory_ratio"]) == (1.5, 3.0)
    assert "1.20" in bench.to_text()


def finish(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_a_place_is_told_where_somebody_asked():
    plain = GrowthBench(rows=(make_row(256, 1.0, 1),), command="")
    placed = Placed(drawn_s=2.5, judged_s=0.44, disk_bytes=3 * 2**20)
    bench = GrowthBench(rows=(make_row(256, 1.0, 1, placed),), command="")
    assert "place" not in plain.to_text()
    assert all(words in bench.to_text() for words in ("place s", "2.5", "0.44", "3.0", "90x110"))
    assert json.loads(bench.to_line())["rows"][0]["place"] == {
        "drawn_s": 2.5,
        "judged_s": 0.44,
        "disk_bytes": 3 * 2**20,
    }


def test_a_place_of_a_finished_render_is_drawn_again_and_the_render_stays(tmp_path):
    request = RenderRequest(prompt="a cat", size=PixelSize(256, 192), steps=2, method=CohesiveMethod(predict=False))
    plan, model = plan_render(request, CONTRACT, Budget(memory_bytes=GIB, cost=GUESSES["mini"])), GaussianModel()
    space = DiskWorkspace(tmp_path / "work", {"request": "one"}, resume=False)
    result = finish(run_plan(plan, request, model, None, space))
    before = np.asarray(result.picture)
    placed = measure_place(result, (request, plan, model, space))
    assert placed.drawn_s > 0
    assert placed.judged_s > 0
    assert placed.disk_bytes > 0
    assert np.array_equal(np.asarray(result.picture), before)


@pytest.mark.parametrize("wrong", [{"sides_px": (64,)}, {"steps": 0}, {"suffix": ".jpg"}])
def test_what_cannot_be_measured_is_refused(wrong):
    with pytest.raises(RequestError):
        run_bench_growth(**wrong)


@pytest.mark.slow
def test_a_small_picture_is_measured():
    bench = run_bench_growth((256,), steps=2, suffix=".png", place=True)
    assert bench.rows[0].place.drawn_s > 0
    assert bench.rows[0].processor_s > 0
    assert bench.rows[0].growth_bytes > 0
