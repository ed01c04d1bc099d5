"""What is compared: same words, seed and base by each method; the sheet shows where they differ."""

import numpy as np
import pytest
from PIL import Image

from fakes import CONTRACT, GaussianModel
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, NativeMethod, RenderRequest
from sfumato.critic.picture.checks import Judged, Verdict
from sfumato.render.engine import run_plan
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.workflows.compare.compare import NAMES, check_resume, list_requests, read_methods
from sfumato.workflows.compare.page import describe_checks, list_rows
from sfumato.workflows.compare.sheet import CROP_PX, Shown, draw_sheet, find_unlike
from sfumato.workflows.generate import Generated

REQUEST = RenderRequest(prompt="a house", size=PixelSize(192, 128), steps=3, seed=5)


def run(request):
    plan = plan_render(request, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))
    steps = run_plan(plan, request, GaussianModel())
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_names_are_read_in_the_order_they_were_typed():
    assert read_methods(" native, cohesive,") == ("native", "cohesive")


@pytest.mark.parametrize("text", ["", "cohesive", "cohesive,cohesive", "cohesive,demofusion"])
def test_other_names_are_refused(text):
    with pytest.raises(RequestError):
        read_methods(text)


def test_all_are_asked_for_the_same_but_the_method():
    asked = list_requests(REQUEST, NAMES, CONTRACT)
    assert [one.method.kind for one in asked.values()] == list(NAMES)
    assert {(one.prompt, one.seed, one.steps, one.sampler) for one in asked.values()} == {
        (REQUEST.prompt, REQUEST.seed, REQUEST.steps, REQUEST.sampler)
    }
    assert {name: one.size for name, one in asked.items() if name != "native"} == dict.fromkeys(NAMES[:3], REQUEST.size)


def test_native_is_the_base_that_the_others_grow_from():
    asked = list_requests(REQUEST, ("cohesive", "gobig", "native"), CONTRACT)
    assert isinstance(asked["native"].method, NativeMethod)
    assert isinstance(asked["cohesive"].method, CohesiveMethod)
    native = run(asked["native"]).picture
    for name in ("cohesive", "gobig"):
        assert np.array_equal(np.asarray(run(asked[name]).base), np.asarray(native))


def test_at_native_size_there_is_nothing_to_compare():
    with pytest.raises(RequestError, match="all methods are the same"):
        list_requests(RenderRequest(prompt="a house", size=CONTRACT.native), NAMES, CONTRACT)


def make_pictures(places, size=(1200, 900)):
    """Return two pictures that differ in squares around some places."""
    first, second = Image.new("RGB", size, (90, 90, 90)), Image.new("RGB", size, (90, 90, 90))
    for x, y in places:
        second.paste((250, 20, 20), (x - 20, y - 20, x + 20, y + 20))
    return first, second


def test_crops_lie_where_pictures_differ():
    places = ((150, 700), (1100, 120))
    boxes = find_unlike(make_pictures(places))
    assert len(boxes) == 2
    for x, y in places:
        assert any(box.left <= x < box.right and box.top <= y < box.bottom for box in boxes)


@pytest.mark.parametrize("size", [(1200, 900), (400, 1000), (100, 60)])
def test_the_sheet_has_a_column_for_each_picture_and_its_crops_are_not_resampled(size):
    first, second = make_pictures(((60, 40),), size)
    sheet = draw_sheet([Shown("one", first), Shown("two", second)], "a house")
    assert sheet.width >= 2 * min(CROP_PX, size[0])
    assert (np.asarray(sheet) == (250, 20, 20)).all(axis=2).sum() >= 40 * 40


def test_the_self_check_is_told_in_a_line():
    good = Verdict("base consistency", 40.0, "dB", 30.0, "low")
    bad = Verdict("colour drift", 4.0, "Delta E", 3.0, "high")
    assert describe_checks(None) == "nothing to hold it against"
    assert describe_checks(Judged((good,), ())) == "fine (1 measures)"
    assert describe_checks(Judged((good, bad), ())) == "look at colour drift"


def test_there_is_nothing_to_go_on_with_without_the_cohesive_method():
    check_resume(("native", "cohesive"), resume=True)
    check_resume(("native", "gobig"), resume=False)
    with pytest.raises(RequestError, match="only the cohesive method"):
        check_resume(("native", "gobig"), resume=True)


def test_a_picture_that_was_kept_is_not_said_to_have_taken_no_time(tmp_path):
    plan = plan_render(REQUEST, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))
    kept = Generated(
        path=tmp_path / "cohesive.png",
        report_path=None,
        seed=5,
        plan=plan,
        trace=(),
        seconds=0.0,
        peak_bytes=None,
        sha256="",
    )
    _, row = list_rows({"cohesive": kept})
    assert (row[2], row[-1]) == ("kept", "-")
