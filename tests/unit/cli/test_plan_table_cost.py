"""One line says beforehand what a large render will cost, in the numbers of the plan."""

from dataclasses import replace
from pathlib import Path

import pytest

from fakes import CONTRACT
from sfumato.cli.plan_table import write_bytes, write_cost, write_seconds
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, GobigMethod, NativeMethod, PictureSource, RenderRequest
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.workflows.run_options import RunOptions

REQUEST = RenderRequest(prompt="a house", size=PixelSize(512, 256), steps=10, method=CohesiveMethod())
PLAN = plan_render(REQUEST, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))
OPTIONS = RunOptions(out=Path("some/beach.png"))


def plan(**changes):
    return plan_render(replace(REQUEST, **changes), CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))


def test_a_picture_that_is_grown_says_levels_windows_time_memory_and_disk():
    windows = sum(len(stage.windows) for stage in PLAN.stages[1:])
    assert write_cost(PLAN, OPTIONS) == (
        f"512x256 in 3 levels, {windows} windows: about {write_seconds(PLAN.seconds + PLAN.save_s)}, "
        f"{write_bytes(PLAN.memory_bytes)} of memory, {write_bytes(PLAN.peak_disk_bytes)} of disk in beach.png.work"
    )


def test_what_goes_on_costs_less():
    assert write_cost(PLAN, replace(OPTIONS, resume=True)).endswith("beach.png.work, less what is done already")


@pytest.mark.parametrize("size", [PixelSize(64, 64), PixelSize(56, 72)])
def test_nothing_is_said_at_native_size(size):
    assert write_cost(plan(size=size, method=NativeMethod()), OPTIONS) is None


def test_a_given_picture_is_no_level():
    source = PictureSource(path="a.png", sha256="0" * 64, size=PixelSize(64, 64))
    assert write_cost(plan(size=PixelSize(128, 128), source=source), OPTIONS).startswith("128x128 in 1 level, ")


def test_each_picture_of_a_batch_has_a_folder_and_its_time():
    said = write_cost(plan(batch=2), OPTIONS)
    assert " for each of 2 pictures, " in said
    assert said.endswith(" of disk beside the pictures")


def test_other_methods_have_no_levels_and_no_work():
    said = write_cost(plan(method=GobigMethod()), OPTIONS)
    assert said.startswith("512x256, ")
    assert said.endswith(" of disk")


def test_a_device_with_memory_of_its_own_has_a_number_of_its_own():
    said = write_cost(replace(PLAN, host_bytes=3 * GIB), OPTIONS)
    assert f"{write_bytes(PLAN.memory_bytes)} on the device, 3.00 GiB on the host" in said
