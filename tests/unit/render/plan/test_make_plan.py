"""A plan counts what will run, says what it costs, and refuses what does not fit."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fakes import CONTRACT
from sfumato.core.errors import BudgetError, RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import (
    CohesiveMethod,
    GobigMethod,
    ImageSource,
    InpaintSource,
    MultidiffusionMethod,
    NativeMethod,
    RenderRequest,
)
from sfumato.core.resampling import fit_box
from sfumato.models.upscaler.detect_shape import UpscalerShape
from sfumato.nn.schedules import first_step
from sfumato.render import layout as layout_module
from sfumato.render.layout import choose_base_size
from sfumato.render.plan.budget import GIB, GUESSES, MIB, RenderBudget
from sfumato.render.plan.make_plan import draft_plan, find_largest_size, plan_render

BASE_BYTES = 900 * MIB
BUDGET = RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"], base_bytes=BASE_BYTES)
NATIVE = RenderRequest(prompt="a house", size=PixelSize(64, 64), steps=10, sampler="Euler")
DIGEST = "0" * 64
LITTLE = BASE_BYTES + 40 * MIB


def plan(request, budget=BUDGET):
    return plan_render(request, CONTRACT, budget)


def test_native_is_one_window_and_guidance_counts_twice():
    (stage,) = plan(NATIVE).stages
    assert (stage.name, len(stage.windows), stage.evaluations, stage.ticks) == ("native", 1, 20, 10)


@pytest.mark.parametrize(
    ("changes", "evaluations"),
    [
        ({"guidance": 1.0}, 10),
        ({"sampler": "Heun"}, 2 * 19),
        ({"prompt": "a house AND a tree"}, 30),
        ({"prompt": "a house AND a tree", "guidance": 1.0}, 30),
        ({"source": ImageSource(path="a.png", sha256=DIGEST, strength=0.35)}, 6),
        ({"source": ImageSource(path="a.png", sha256=DIGEST, strength=0.01)}, 2),
        ({"batch": 3}, 20),
    ],
)
def test_evaluations_follow_the_request(changes, evaluations):
    assert plan(replace(NATIVE, **changes)).evaluations == evaluations


def test_the_same_request_gives_the_same_plan():
    request = replace(NATIVE, size=PixelSize(256, 128), method=GobigMethod())
    assert plan(request) == plan(request)


def test_gobig_grows_by_at_most_its_step_and_ends_at_the_target():
    made = plan(replace(NATIVE, size=PixelSize(512, 288), method=GobigMethod(upscale=2.0)))
    sizes = [stage.canvas for stage in made.stages]
    assert sizes[-1] == PixelSize(512, 288)
    assert [stage.noise_stage for stage in made.stages] == list(range(len(sizes)))
    assert all(new.width <= 2.01 * old.width + 8 for old, new in pairwise(sizes))
    assert 0.6 < sizes[0].area / CONTRACT.native.area < 1.6


def test_gobig_counts_its_slices():
    made = plan(replace(NATIVE, size=PixelSize(128, 128), method=GobigMethod(overlap=0.25, strength=0.35)))
    base, round_ = made.stages
    assert len(round_.windows) == 9
    # 35 % of 10 steps is 3 steps, both halves of guidance.
    assert round_.evaluations == 9 * 3 * 2
    assert round_.ticks == 3 * 3
    assert base.evaluations == 20


def test_cohesive_doubles_up_to_the_target():
    drawn = plan(replace(NATIVE, size=PixelSize(400, 256), method=CohesiveMethod(strength=0.4), steps=10))
    base, *levels = drawn.stages
    assert [stage.moving for stage in drawn.stages] == [False, *[True] * len(levels)]
    assert levels[-1].canvas == PixelSize(400, 256)
    sizes = [base.canvas, *(stage.canvas for stage in levels)]
    assert all(after.width <= 2 * before.width + 8 for before, after in pairwise(sizes))
    assert all(stage.steps - stage.first_step == 4 for stage in levels)
    # Windows move, so a step may have one more row or column of them, never fewer than cover the canvas.
    assert all(stage.evaluations >= 2 * 4 * len(stage.windows) for stage in levels)


@pytest.mark.parametrize("method", [CohesiveMethod(), GobigMethod()])
@pytest.mark.parametrize(
    "size", [PixelSize(1024, 576), PixelSize(304, 1216), PixelSize(768, 512), PixelSize(1024, 128)]
)
def test_what_a_stage_takes_and_shows_ends_with_the_part_of_the_base_that_has_the_aspect_asked_for(method, size):
    base, *stages = plan(replace(NATIVE, size=size, method=method)).stages
    assert stages[-1].shown == fit_box(base.canvas, size)
    assert stages[0].taken == stages[0].shown
    for before, after in pairwise(stages):
        same = before.shown == after.shown
        assert (after.taken == (0, 0, before.canvas.width, before.canvas.height)) is same
        assert same or min(before.canvas.width, before.canvas.height) == 64


def test_multidiffusion_covers_the_canvas_with_windows_of_the_asked_size():
    method = MultidiffusionMethod(window=PixelSize(64, 64), overlap=0.5)
    (stage,) = plan(replace(NATIVE, size=PixelSize(160, 96), method=method)).stages
    assert {box.size.to_pixels(8) for box in stage.windows} == {PixelSize(64, 64)}
    assert len(stage.windows) == 4 * 2
    assert stage.ticks == 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": PixelSize(100, 64)}, "multiple of 8"),
        ({"size": PixelSize(16, 64)}, "at least 32"),
        ({"method": GobigMethod()}, "nothing to enlarge"),
        ({"method": GobigMethod(strength=0.0), "size": PixelSize(256, 256)}, "not re-rendered"),
        ({"source": ImageSource(path="a.png", sha256=DIGEST, strength=0.0)}, "changes nothing"),
        ({"sampler": "Eulr"}, "unknown sampler"),
        ({"schedule": "krras"}, "unknown schedule"),
        (
            {
                "method": GobigMethod(),
                "size": PixelSize(256, 256),
                "source": InpaintSource(path="a", sha256=DIGEST, mask="b", mask_sha256=DIGEST),
            },
            "outside a mask",
        ),
        ({"method": MultidiffusionMethod(window=PixelSize(60, 64))}, "multiple of 8"),
        ({"prompt": "a house [:" + "(" * 200 + "x" + ")" * 200 + ":0.9]"}, "nest"),
    ],
)
def test_what_cannot_be_rendered_is_refused(changes, words):
    with pytest.raises(RequestError) as caught:
        plan(replace(NATIVE, **changes))
    assert words in str(caught.value)


def test_native_is_refused_when_memory_is_too_small_and_the_answer_fits():
    budget = replace(BUDGET, memory_bytes=BASE_BYTES + 200 * 2**20)
    huge = replace(NATIVE, size=PixelSize(4096, 2048))
    with pytest.raises(BudgetError) as caught:
        plan(huge, budget)
    largest = find_largest_size(huge, CONTRACT, budget)
    assert str(largest) in caught.value.do
    assert plan(replace(huge, size=largest), budget).size == largest
    bigger = PixelSize(largest.width + 16, largest.height + 16)
    with pytest.raises(BudgetError):
        plan(replace(huge, size=bigger), budget)


def test_what_is_needed_and_what_there_is_are_told_apart():
    needed = plan(NATIVE).memory_bytes
    with pytest.raises(BudgetError) as caught:
        plan_render(NATIVE, CONTRACT, replace(BUDGET, memory_bytes=needed - 2000))
    found = re.search(r"needs ([\d.]+) GiB of ([\d.]+) GiB", caught.value.got)
    assert float(found[1]) > float(found[2])


def test_the_loaded_model_counts_in_every_stage():
    request = replace(NATIVE, size=PixelSize(256, 256), method=CohesiveMethod())
    plain, larger = (plan(request, replace(BUDGET, base_bytes=base)) for base in (BASE_BYTES, BASE_BYTES + GIB))
    more = [b.memory_bytes - a.memory_bytes for a, b in zip(plain.stages, larger.stages, strict=True)]
    assert set(more) == {GIB}


def test_windows_fit_where_native_does_not():
    budget = replace(BUDGET, memory_bytes=BASE_BYTES + 250 * 2**20)
    large = replace(NATIVE, size=PixelSize(1024, 1024))
    with pytest.raises(BudgetError):
        plan(large, budget)
    assert plan(replace(large, method=MultidiffusionMethod()), budget).stages


def test_nothing_fits_a_budget_below_the_runtime():
    with pytest.raises(BudgetError) as caught:
        plan(NATIVE, replace(BUDGET, memory_bytes=2**20))
    assert "no size fits" in caught.value.what


def budget_for(request, window_batch):
    """Allow just what a plan takes that denoises so many windows in one call."""
    return replace(BUDGET, memory_bytes=draft_memory(request, replace(BUDGET, window_batch=window_batch)))


def draft_memory(request, budget):
    return draft_plan(request, CONTRACT, budget).plan.memory_bytes


@pytest.mark.parametrize("method", [MultidiffusionMethod(), GobigMethod(), CohesiveMethod()])
@pytest.mark.parametrize("batch", [4, 2, 1])
def test_fewer_windows_in_one_call_where_more_do_not_fit(method, batch):
    request = replace(NATIVE, size=PixelSize(256, 256), method=method)
    fitted = plan(request, budget_for(request, batch))
    assert fitted.window_batch == batch
    assert fitted.memory_bytes <= budget_for(request, batch).memory_bytes
    assert fitted.evaluations == plan(request).evaluations
    # The windows of the last batch are ready at once, so a slice round reports more often.
    assert all(stage.ticks >= roomy.ticks for stage, roomy in zip(fitted.stages, plan(request).stages, strict=True))


def test_what_one_window_at_a_time_does_not_fit_is_refused_and_the_advice_counts_on_it():
    request = replace(NATIVE, size=PixelSize(512, 512), method=MultidiffusionMethod())
    budget = replace(BUDGET, memory_bytes=budget_for(request, 1).memory_bytes - 1)
    with pytest.raises(BudgetError) as caught:
        plan(request, budget)
    largest = find_largest_size(request, CONTRACT, budget)
    assert str(largest) in caught.value.do
    assert plan(replace(request, size=largest), budget).window_batch < 4


def test_more_calls_for_the_same_windows_take_longer():
    request = replace(NATIVE, size=PixelSize(256, 256), method=CohesiveMethod())
    slow = plan(request, budget_for(request, 1))
    calls = (slow.seconds - plan(request).seconds) / BUDGET.cost.call_s
    assert calls > len(plan(request).stages[-1].windows)


def test_a_device_with_memory_of_its_own_has_two_limits():
    request = replace(NATIVE, size=PixelSize(1024, 1024), method=MultidiffusionMethod())
    separate = replace(BUDGET, separate=True, base_bytes=MIB, host_base_bytes=BASE_BYTES + GIB)
    shared, apart = plan(request), plan(request, separate)
    assert shared.host_bytes == 0
    assert BASE_BYTES + GIB < apart.host_bytes < BASE_BYTES + GIB + 20 * request.size.area
    assert apart.memory_bytes < shared.memory_bytes - BASE_BYTES
    assert apart.to_json()["memory_is"] == "separate"
    with pytest.raises(BudgetError, match="of the host's memory"):
        plan(request, replace(separate, host_bytes=GIB))


@pytest.mark.parametrize(
    ("method", "room", "words"),
    [
        (NativeMethod(), 250 * 2**20, "`method` multidiffusion"),
        (MultidiffusionMethod(), 48 * 2**20, "Shrink the picture and its mask to"),
        (NativeMethod(), -(2**20), "a smaller model, or raise `budget_gb`"),
    ],
)
def test_a_picture_to_inpaint_is_not_told_to_take_another_size(method, room, words):
    source = InpaintSource(path="a", sha256=DIGEST, mask="b", mask_sha256=DIGEST)
    request = replace(NATIVE, size=PixelSize(1024, 1024), source=source, method=method)
    with pytest.raises(BudgetError) as caught:
        plan(request, replace(BUDGET, memory_bytes=BASE_BYTES + room))
    assert "`size`" not in caught.value.do
    assert words in caught.value.do


def test_disk_counts_the_whole_batch():
    budget = replace(BUDGET, disk_bytes=2**20)
    assert plan(NATIVE, budget)
    with pytest.raises(BudgetError) as caught:
        plan(replace(NATIVE, batch=64), budget)
    assert "disk" in str(caught.value)


@pytest.mark.parametrize("pyramid", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_most_disk_at_once_is_what_is_refused(pyramid, batch):
    request = replace(NATIVE, size=PixelSize(512, 384), method=CohesiveMethod(), batch=batch)
    drawn = plan(request, replace(BUDGET, pyramid=pyramid))
    last = drawn.peak_disk_bytes - (batch - 1) * drawn.disk_bytes
    assert drawn.work_bytes <= last <= drawn.work_bytes + drawn.disk_bytes
    roomy = replace(BUDGET, pyramid=pyramid, disk_bytes=drawn.peak_disk_bytes)
    assert plan(request, roomy) == drawn
    with pytest.raises(BudgetError) as caught:
        plan(request, replace(roomy, disk_bytes=drawn.peak_disk_bytes - 1))
    assert "of disk" in caught.value.got


@pytest.mark.parametrize("method", [NativeMethod(), MultidiffusionMethod()])
def test_a_picture_to_inpaint_keeps_its_size_and_its_canvas_is_whole_cells(method):
    source = InpaintSource(path="a", sha256=DIGEST, mask="b", mask_sha256=DIGEST)
    drawn = plan(replace(NATIVE, size=PixelSize(75, 101), source=source, method=method))
    assert drawn.size == PixelSize(75, 101)
    assert [stage.canvas for stage in drawn.stages] == [PixelSize(80, 104)]
    with pytest.raises(RequestError, match="multiple of 8"):
        plan(replace(NATIVE, size=PixelSize(75, 101), source=ImageSource(path="a", sha256=DIGEST), method=method))


@pytest.mark.parametrize("method", [GobigMethod(upscaler="x4.safetensors"), CohesiveMethod(upscaler="x4.safetensors")])
def test_what_a_network_enlarges_beyond_the_canvas_counts(method):
    request = replace(NATIVE, size=PixelSize(2048, 2048), method=method)
    plain = plan(request)
    network = UpscalerShape(architecture="ESRGAN", scale=4, channels=64, parameters=16_700_000)
    drawn = plan(request, replace(BUDGET, upscaler=network))
    # The last level but one has 1024 px; four times that at 10 bytes a pixel, and the weights stay.
    assert drawn.memory_bytes >= BASE_BYTES + 4096**2 * 10 + network.parameters * 4
    assert drawn.memory_bytes > plain.memory_bytes
    assert drawn.stages[0].memory_bytes == plain.stages[0].memory_bytes + network.parameters * 4


@pytest.mark.parametrize(("strength", "first"), [(1.0, 0), (0.7, 3), (0.35, 7), (0.01, 9)])
def test_strength_is_the_share_of_steps_taken(strength, first):
    assert first_step(10, strength) == first


def test_json_says_windows_steps_and_totals():
    value = plan(replace(NATIVE, size=PixelSize(128, 128), method=GobigMethod(), batch=2)).to_json()
    assert value["stages"][1]["windows"] == 9
    each = value["seconds"] + value["save_seconds"]
    assert value["total_seconds"] == pytest.approx(value["open_seconds"] + 2 * each, abs=0.04)
    assert value["peak_disk_bytes"] == value["total_disk_bytes"] == 2 * value["disk_bytes"]
    assert (value["memory_is"], value["host_bytes"]) == ("shared", value["memory_bytes"])
    assert value["stages"][1]["window_batch"] == value["window_batch"] == 4


@pytest.mark.parametrize("memory_bytes", [GIB, 2**44])
@pytest.mark.parametrize("method", [MultidiffusionMethod(), GobigMethod(), CohesiveMethod()])
def test_what_is_over_budget_is_refused_and_the_largest_size_found_without_listing_a_window(
    monkeypatch, method, memory_bytes
):
    monkeypatch.setattr(layout_module, "cover", lambda *_given: pytest.fail("listed"))
    budget = replace(BUDGET, memory_bytes=memory_bytes, disk_bytes=2**40)
    with pytest.raises(BudgetError) as caught:
        plan(replace(NATIVE, size=PixelSize(1_000_000, 1_000_000), method=method), budget)
    assert "Ask for `size`" in caught.value.do


@settings(deadline=None, max_examples=60)
@given(
    st.builds(
        PixelSize, st.integers(8, 90).map(lambda cells: cells * 8), st.integers(8, 90).map(lambda cells: cells * 8)
    ),
    st.sampled_from([NativeMethod(), MultidiffusionMethod(overlap=0.3), GobigMethod(), CohesiveMethod(overlap=0.6)]),
)
def test_a_draft_without_windows_costs_the_same_as_one_that_lists_them(size, method):
    request = replace(NATIVE, size=size, method=method)
    assume(not isinstance(method, GobigMethod | CohesiveMethod) or choose_base_size(size, CONTRACT) != size)
    listed = plan(request)
    drawn = draft_plan(request, CONTRACT, BUDGET).plan
    assert [replace(stage, windows=()) for stage in drawn.stages] == [
        replace(stage, windows=()) for stage in listed.stages
    ]
    for short, stage in zip(drawn.stages, listed.stages, strict=True):
        assert short.windows[0].size == stage.windows[0].size
        evaluated = stage.evaluations / (2 * (stage.steps - stage.first_step))
        assert evaluated == len(stage.windows) or isinstance(method, CohesiveMethod)


@pytest.mark.parametrize("method", [MultidiffusionMethod(), GobigMethod(), CohesiveMethod()])
@pytest.mark.parametrize("room", [range(5, 40, 5)])
def test_advice_that_is_followed_is_not_refused(method, room):
    request = replace(NATIVE, size=PixelSize(2048, 1024), method=method)
    for more in room:
        budget = replace(BUDGET, memory_bytes=BASE_BYTES + more * 2**20)
        with pytest.raises(BudgetError) as caught:
            plan(request, budget)
        advised = re.search(r"`size` (\d+)x(\d+)( with `method` native)?", caught.value.do)
        if advised is None:
            assert "no size fits" in caught.value.what
            continue
        size = PixelSize(int(advised[1]), int(advised[2]))
        followed = replace(request, size=size, method=NativeMethod() if advised[3] else method)
        assert plan(followed, budget).memory_bytes <= budget.memory_bytes


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"memory_bytes": LITTLE}, "raise `budget_gb`"),
        ({"memory_bytes": LITTLE, "free_bytes": LITTLE}, "free some memory"),
        ({"free_bytes": LITTLE}, "free some memory"),
        ({"disk_bytes": GIB // 8}, "give another `out`"),
        ({"disk_bytes": 2**20}, "give another `out`"),
        ({"separate": True, "host_base_bytes": GIB, "host_bytes": GIB // 2}, "of the host"),
    ],
)
def test_what_is_short_is_what_the_advice_is_about(limits, words):
    request = replace(NATIVE, size=PixelSize(8192, 8192), method=CohesiveMethod())
    with pytest.raises(BudgetError) as caught:
        plan(request, replace(BUDGET, **limits))
    assert caught.value.do.endswith((f"{words}.", f"{words}, or use a smaller model."))


def test_a_disk_too_small_for_a_huge_canvas_is_told_as_such():
    huge = replace(NATIVE, size=PixelSize(100_000, 100_000), method=MultidiffusionMethod())
    with pytest.raises(BudgetError) as caught:
        plan(huge, RenderBudget(memory_bytes=2**60, cost=GUESSES["mini"], disk_bytes=GIB // 64))
    assert "of disk" in caught.value.got
