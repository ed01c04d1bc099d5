"""What is compared: same words, seed and base by each method; the sheet shows where they differ."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fakes import CONTRACT, GaussianModel
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.write import WeightDigests
from sfumato.core.request import CohesiveMethod, NativeMethod, RenderRequest
from sfumato.critic.picture.checks import Judged, Verdict
from sfumato.render.engine import run_plan
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.workflows.compare.compare import NAMES, check_resume, list_methods, list_requests
from sfumato.workflows.compare.page import describe_checks, list_rows, write_comparison
from sfumato.workflows.compare.sheet import CROP_PX, SheetPicture, draw_sheet, find_unlike
from sfumato.workflows.job import Picture
from sfumato.workflows.report.check_table import WORDS
from sfumato.workflows.values import RequestValues

REQUEST = RenderRequest(prompt="a house", size=PixelSize(192, 128), steps=3, seed=5)


def run(request):
    plan = plan_render(request, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))
    steps = run_plan(plan, request, GaussianModel())
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("names", [["cohesive"], ["cohesive", "cohesive"], ["cohesive", "demofusion"]])
def test_other_names_are_refused(names):
    with pytest.raises(RequestError):
        list_requests(RequestValues(prompt="a house", size=(256, 256)), methods=names)


def test_methods_or_models_are_compared_with_one_random_seed():
    with pytest.raises(RequestError, match="or of"):
        list_requests(RequestValues(prompt="a house"), methods=NAMES[:2], models=["a", "b"])
    requests = list_requests(RequestValues(prompt="a house", size=(256, 256)), methods=NAMES)
    assert len({one.seed for one in requests.values()}) == 1


def test_all_are_asked_for_the_same_but_the_method():
    asked = list_methods(REQUEST, NAMES, CONTRACT)
    assert [one.method.kind for one in asked.values()] == list(NAMES)
    assert {(one.prompt, one.seed, one.steps, one.sampler) for one in asked.values()} == {
        (REQUEST.prompt, REQUEST.seed, REQUEST.steps, REQUEST.sampler)
    }
    assert {name: one.size for name, one in asked.items() if name != "native"} == dict.fromkeys(NAMES[:3], REQUEST.size)


def test_native_is_the_base_that_the_others_grow_from():
    asked = list_methods(REQUEST, ("cohesive", "gobig", "native"), CONTRACT)
    assert isinstance(asked["native"].method, NativeMethod)
    assert isinstance(asked["cohesive"].method, CohesiveMethod)
    native = run(asked["native"]).picture
    for name in ("cohesive", "gobig"):
        assert np.array_equal(np.asarray(run(asked[name]).base), np.asarray(native))


def test_at_native_size_there_is_nothing_to_compare():
    with pytest.raises(RequestError, match="all methods are the same"):
        list_methods(RenderRequest(prompt="a house", size=CONTRACT.native), NAMES, CONTRACT)


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
    sheet = draw_sheet([SheetPicture("one", first), SheetPicture("two", second)], "a house")
    assert sheet.width >= 2 * min(CROP_PX, size[0])
    assert (np.asarray(sheet) == (250, 20, 20)).all(axis=2).sum() >= 40 * 40


def test_the_self_check_is_told_in_a_line():
    good = Verdict("base consistency", 40.0, "dB", 30.0, "low")
    bad = Verdict("colour drift", 4.0, "Delta E", 3.0, "high")
    said = [describe_checks(judged) for judged in (None, Judged((good,), ()), Judged((good, bad), ()))]
    assert len(set(said)) == 3
    assert [WORDS["colour drift"].fault in line for line in said] == [False, False, True]
    assert not any(WORDS["base consistency"].fault in line for line in said)


def test_there_is_nothing_to_go_on_with_without_the_cohesive_method():
    check_resume(list_methods(REQUEST, ("native", "cohesive"), CONTRACT), resume=True)
    check_resume(list_methods(REQUEST, ("native", "gobig"), CONTRACT), resume=False)
    with pytest.raises(RequestError, match="only the cohesive method"):
        check_resume(list_methods(REQUEST, ("native", "gobig"), CONTRACT), resume=True)


def test_a_picture_that_was_kept_is_not_said_to_have_taken_no_time(tmp_path):
    plan = plan_render(REQUEST, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))
    kept = Picture(request=REQUEST, plan=plan, digests=WeightDigests(), path=tmp_path / "cohesive.png")
    _, row = list_rows({"cohesive": kept})
    assert (row[2], row[-1]) == ("kept", "-")


def test_clutter_does_not_choose_the_crops():
    calm = make_pictures(((150, 700),))
    clutter = Image.effect_noise(calm[0].size, 200).convert("RGB")
    shown = [SheetPicture("a", calm[0]), SheetPicture("b", calm[1]), SheetPicture("m", clutter, chooses_crops=False)]
    places = find_unlike([one.picture for one in shown if one.chooses_crops])
    assert any(box.left <= 150 < box.right and box.top <= 700 < box.bottom for box in places)


@pytest.mark.parametrize("size", [(384, 216), (60, 1000), (2000, 1500)])
def test_the_page_shows_every_picture_and_the_places_where_they_differ(tmp_path, size):
    first, second = make_pictures(((size[0] // 2, size[1] // 2),), size)
    plan = plan_render(REQUEST, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))
    drawn = Picture(request=REQUEST, plan=plan, digests=WeightDigests(), path=tmp_path / "a?b.png")
    request = replace(REQUEST, prompt="<b>")
    shown = [SheetPicture("<i>one", first), SheetPicture("two", second)]
    write_comparison(tmp_path / "page.html", request, {"one": drawn, "two": drawn}, shown)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<i>" not in page
    assert "<b>" not in page
    assert page.count('href="./a%3Fb.png"') == 2
    packed = re.findall(r'src="data:image/webp;base64,([^"]+)"', page)
    crops = [Image.open(io.BytesIO(base64.b64decode(text))) for text in packed[2:]]
    red = [bool(np.asarray(one.convert("RGB"))[..., 0].max() > 200) for one in crops]
    assert crops
    assert all(one.width * one.height < size[0] * size[1] / 3 for one in crops)
    # The square is in the crops of the second picture alone.
    assert red == [False, True] * (len(crops) // 2)
