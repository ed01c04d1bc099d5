"""A plan for people holds the numbers of the plan, in a table and in one line."""

from dataclasses import replace
from pathlib import Path

import pytest

from fakes import CONTRACT
from sfumato.cli.plan_table import write_bytes, write_cost, write_plan, write_seconds
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, NativeMethod, RenderRequest
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.workflows.run_options import RunOptions

REQUEST = RenderRequest(prompt="a house", size=PixelSize(512, 256), steps=10, method=CohesiveMethod())
BUDGET = RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"])
OPTIONS = RunOptions(out=Path("some/beach.png"))


def plan(budget=BUDGET, **changes):
    return plan_render(replace(REQUEST, **changes), CONTRACT, budget)


def totals(plan):
    return [
        write_seconds(plan.seconds + plan.save_s),
        write_bytes(plan.memory_bytes),
        write_bytes(plan.peak_disk_bytes),
    ]


def test_a_table_has_a_row_for_every_stage_and_the_totals():
    made = plan()
    text = write_plan(made)
    rows = {line.split("  ")[0] for line in text.splitlines()}
    assert {stage.name for stage in made.stages} <= rows
    assert all(number in text for number in totals(made))


def test_a_device_with_memory_of_its_own_has_a_number_and_the_host_another():
    made = plan(replace(BUDGET, separate=True, host_bytes=8 * GIB))
    assert made.memory_bytes != made.host_bytes > 0
    for text in (write_plan(made), write_cost(made, OPTIONS)):
        assert write_bytes(made.memory_bytes) in text
        assert write_bytes(made.host_bytes) in text


def test_one_line_says_what_a_large_picture_costs_and_nothing_of_a_small_one():
    said = write_cost(plan(), OPTIONS)
    assert all(number in said for number in ["512x256", "beach.png.work", *totals(plan())])
    assert "2 pictures" in write_cost(plan(batch=2), OPTIONS)
    assert write_cost(plan(size=PixelSize(64, 64), method=NativeMethod()), OPTIONS) is None


@pytest.mark.parametrize(("seconds", "text"), [(3.14, "3.1 s"), (200, "3 min 20 s"), (7300, "2 h 2 min")])
def test_durations_are_written_as_people_read_them(seconds, text):
    assert write_seconds(seconds) == text
