"""Progress by planned cost, and an ETA that leans on the plan first and on the clock later."""

from dataclasses import replace
from itertools import pairwise

import pytest

from fakes import CONTRACT
from sfumato.core.geometry import PixelSize
from sfumato.core.request import GobigMethod, RenderRequest
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import Stopwatch

REQUEST = RenderRequest(prompt="a house", size=PixelSize(512, 288), steps=10, method=GobigMethod())
PLAN = plan_render(
    REQUEST, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=replace(GUESSES["mini"], start_s=0.0).scaled(1.0))
)


def run(plan, slowness):
    """Return (time left in truth, ETA) after each tick, where stage i takes `slowness[i]` times its forecast."""
    now = 0.0
    watch = Stopwatch(plan, clock=lambda: now)
    total = sum(stage.seconds * slow for stage, slow in zip(plan.stages, slowness, strict=True))
    seen = []
    for stage, slow in zip(plan.stages, slowness, strict=True):
        for step in range(1, stage.ticks + 1):
            now += stage.seconds * slow / stage.ticks
            seen.append((total - now, watch.tick(stage, step).eta_s))
        watch.close(stage)
    return seen


def largest_jump(seen):
    """Return the largest change of the predicted end between two ticks, as a share of the time then left."""
    ends = [(eta - left, left) for left, eta in seen]
    return max(abs(new[0] - old[0]) / old[1] for old, new in pairwise(ends) if old[1] > 0)


def test_a_plan_that_is_right_is_believed_to_the_end():
    for left, eta in run(PLAN, [1.0] * len(PLAN.stages)):
        assert eta == pytest.approx(left, abs=1e-9)


@pytest.mark.parametrize("first", [0.3, 1.0, 8.0])
@pytest.mark.parametrize("rest", [0.5, 1.0, 3.0])
def test_the_eta_does_not_jump_when_stages_differ_in_speed(first, rest):
    seen = run(PLAN, [first] + [rest] * (len(PLAN.stages) - 1))
    assert largest_jump(seen) < 0.5


@pytest.mark.parametrize("slow", [0.2, 5.0])
@pytest.mark.parametrize("basis", ["measured", "guess"])
def test_half_way_the_clock_counts_more_than_the_plan(slow, basis):
    seen = run(replace(PLAN, basis=basis), [slow] * len(PLAN.stages))
    left, eta = seen[len(seen) // 2]
    as_planned = left / slow
    assert abs(eta - left) < 0.4 * abs(as_planned - left)
    left, eta = seen[-2]
    assert eta == pytest.approx(left, rel=0.2)


def test_a_slow_base_does_not_make_the_rounds_look_slow():
    seen = run(PLAN, [8.0] + [1.0] * (len(PLAN.stages) - 1))
    middle = PLAN.stages[0].ticks + (len(seen) - PLAN.stages[0].ticks) // 2
    left, eta = seen[middle]
    assert eta < 1.6 * left


@pytest.mark.parametrize("slow", [0.3, 4.0])
@pytest.mark.parametrize("known", [3, 12])
def test_after_a_resume_only_what_is_left_counts(slow, known):
    """What an earlier run did took no time here, and must not make the rest look fast."""
    now, done, seen = 0.0, known, []
    watch = Stopwatch(PLAN, clock=lambda: now)
    left = sum(stage.seconds for stage in PLAN.stages)
    for stage in PLAN.stages:
        before = min(done, stage.ticks)
        watch.go_on(stage, before)
        done -= before
        left -= stage.seconds * before / stage.ticks
        for step in range(before + 1, stage.ticks + 1):
            now += slow * stage.seconds / stage.ticks
            left -= stage.seconds / stage.ticks
            seen.append((slow * left, watch.tick(stage, step).eta_s, left))
        watch.close(stage)
    for truth, eta, planned in seen:
        assert min(truth, planned) - 1e-9 <= eta <= max(truth, planned) + 1e-9
    truth, eta, _ = seen[-2]
    assert eta == pytest.approx(truth, rel=0.2)


def test_a_stage_that_an_earlier_run_began_says_so():
    watch = Stopwatch(PLAN, clock=lambda: 0.0)
    for stage, before in zip(PLAN.stages, (3, *(0 for _ in PLAN.stages[1:])), strict=True):
        watch.go_on(stage, before)
        watch.close(stage)
    assert [stage.is_resumed for stage in watch.trace] == [True, *(False for _ in PLAN.stages[1:])]


def test_a_plan_without_times_says_nothing():
    free = replace(PLAN, seconds=0.0, stages=tuple(replace(stage, seconds=0.0) for stage in PLAN.stages))
    assert run(free, [1.0] * len(free.stages))[0][1] is None
