"""The self-check of a render: which lines its windows leave, and when there is nothing to judge."""

import re
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from fakes import CONTRACT
from sfumato.canvas.pixels import make_small
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import CohesiveMethod, GobigMethod, RenderRequest
from sfumato.critic.picture.added_objects import Blob
from sfumato.critic.picture.checks import MEASURES, Judged, Verdict
from sfumato.critic.picture.limits import LIMITS
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import RenderResult
from sfumato.workflows.report.check_table import MOST_BOXES, WORDS, say_checks, write_checks
from sfumato.workflows.self_check.judge import find_lines, judge_result, say_unjudged


def make_plan(method):
    request = RenderRequest(prompt="x", size=PixelSize(256, 128), method=method)
    return plan_render(request, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))


def test_lines_are_the_borders_of_fixed_windows():
    plan = make_plan(GobigMethod())
    lines = find_lines(plan, CONTRACT.factor)
    edges = {window.left * CONTRACT.factor for window in plan.stages[-1].windows} - {0}
    assert edges
    assert edges <= set(lines.xs)
    assert 0 not in lines.xs + lines.ys
    assert 256 not in lines.xs
    assert 128 not in lines.ys


def test_moving_windows_leave_no_lines():
    assert find_lines(make_plan(CohesiveMethod()), CONTRACT.factor) is None


def test_without_a_base_there_is_nothing_to_judge():
    plan, picture = make_plan(GobigMethod()), Image.new("RGB", (256, 128), (90, 20, 30))
    for base in (None, Image.new("RGB", (32, 16))):
        assert judge_result(RenderResult(shown=picture, base=base, trace=()), plan, CONTRACT.factor) is None
    result = RenderResult(shown=picture, base=picture.resize((64, 32)), trace=())
    judged = judge_result(result, plan, CONTRACT.factor)
    assert say_unjudged(result) == ""
    assert all(verdict.fine is not False for verdict in judged.verdicts)


def test_a_strip_shows_too_little_of_its_base_to_judge():
    plan, strip = make_plan(GobigMethod()), Image.new("RGB", (512, 32), (90, 20, 30))
    result = RenderResult(shown=strip, base=Image.new("RGB", (144, 64), (90, 20, 30)), trace=())
    assert judge_result(result, plan, CONTRACT.factor) is None
    assert "shows 9 px of the short side" in say_unjudged(result)
    assert "shows 9 px of the short side" in write_checks(None, unjudged=say_unjudged(result))
    assert write_checks(None) == ""


class Striped:
    """Pixels of any size that are made when they are read: grey rows, and a white square that the base has not."""

    def __init__(self, size):
        self.size = size

    def read(self, box):
        values = np.empty((box.height, box.width, 3), np.uint8)
        values[:] = (np.arange(box.top, box.bottom) // 128 % 2 * 8 + 90)[:, None, None]
        place = PixelBox(256, 512, 512, 768).find_overlap(box)
        if place is not None:
            values[place.shift(-box.left, -box.top).slices_hw] = 255
        return values


def judge_striped(side):
    size = PixelSize(side, side)
    base = make_small(Striped(size), 128)
    base.paste((94, 94, 94), (0, 0, 128 * 768 // side, 128 * 896 // side))
    tracemalloc.start()
    result = RenderResult(shown=Striped(size), base=base, trace=())
    judged = judge_result(result, make_plan(CohesiveMethod()), CONTRACT.factor)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return judged, peak


def test_a_picture_of_any_size_is_judged_whole_in_the_same_memory():
    some, peak = judge_striped(2048)
    more, higher = judge_striped(4096)
    # Four times the area; only the rows in hand grow, with a side.
    assert higher < 1.3 * peak
    assert set(some.left_out) == set(more.left_out) == {"seam ratio", "colour step", "median colour step"}
    for judged in (some, more):
        left, top, right, bottom = judged.added_objects[0].box
        assert left <= 280 < 480 <= right
        assert top <= 540 < 740 <= bottom


def test_a_report_names_what_to_look_at_in_one_line():
    bad = Verdict("grain", 3.0, "levels", 1.5, "high")
    heavy = Verdict("added object mass", 300.0, "Delta E px", 263.3, "high")
    good = Verdict("colour drift", 1.0, "Delta E", 3.0, "high")
    silent = Verdict("tile shift", float("nan"), "px", 2.0, "high")
    judged = Judged((bad, heavy, good, silent), tuple(Blob((8, 16, 24, 48), 9, 300.0) for _ in range(10)))
    line = say_checks(judged)
    assert WORDS["grain"].fault in line
    assert line.count("16 × 32 px at 8, 16") == MOST_BOXES
    assert WORDS["colour drift"].fault not in line
    assert WORDS["tile shift"].fault not in line
    section = write_checks(judged)
    # What only the author would understand is folded away.
    assert line in section.partition("<details>")[0]
    assert all(verdict.unit not in section.partition("<details>")[0] for verdict in (heavy, good))
    assert all(WORDS[verdict.name].meaning in section.partition("<details>")[2] for verdict in judged.verdicts)
    assert write_checks(None) == write_checks(Judged((), ())) == ""


@pytest.mark.parametrize("name", MEASURES)
def test_a_value_beyond_its_limit_is_shown_beyond_it(name):
    """The unit of the page may run the other way; sign and numbers still tell the same."""
    limit = LIMITS[name].value
    for value in (0.5 * limit, 2.0 * limit):
        section = write_checks(Judged((Verdict(name, value, "", limit, MEASURES[name].bad),), ()))
        found, border = (
            float(text) for text in re.findall(r'<td data-name="(?:Found|Limit)">(?:at \w+ )?([\d.]+)', section)
        )
        sign = "most" if "at most" in section else "least"
        assert (found <= border if sign == "most" else found >= border) == ("look here" not in section)
        assert ("look here" in section) == ((value > limit) == (MEASURES[name].bad == "high"))


def test_every_measure_is_explained():
    assert set(WORDS) == set(MEASURES)
