"""What a render says of itself: forecasts are held against what this run did, and against nothing else."""

from pathlib import Path

import pytest

from fakes import CONTRACT
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.write import WeightDigests
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import StageTrace
from sfumato.workflows.job import Picture

REQUEST = RenderRequest(prompt="a house", size=PixelSize(192, 128), steps=3, method=CohesiveMethod())
PLAN = plan_render(REQUEST, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))


def tell(**more):
    stages = (
        StageTrace(name="base", size="64x64", steps=3, evaluations=6, planned_s=4.0, seconds=0.001, **more),
        StageTrace(name="level 1", size="192x128", steps=3, evaluations=6, planned_s=4.0, seconds=2.0),
    )
    return Picture(
        request=REQUEST, plan=PLAN, digests=WeightDigests(), path=Path("a.png"), trace=stages, seconds=2.0
    ).to_json()


def test_what_an_earlier_run_did_says_nothing_of_the_forecast():
    said = tell(is_resumed=True)
    assert said["seconds_error"] is None
    assert [stage["seconds_error"] for stage in said["stages"]] == [None, 1.0]


def test_a_render_in_one_go_is_held_against_its_forecast():
    said = tell()
    assert said["seconds_error"] == pytest.approx((PLAN.seconds + PLAN.save_s - 2.0) / 2.0, abs=1e-3)
    assert [stage["seconds_error"] for stage in said["stages"]] == [3999.0, 1.0]
