"""A report is one page: complete, escaped, without a link to anywhere."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import CONTRACT
from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.geometry import PixelSize
from sfumato.core.request import GobigMethod, RenderRequest
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import StageTrace
from sfumato.workflows.report.page import Report, list_settings, write_report

HOSTILE = '<script>alert("x")</script> & "quotes" \'single\''


class Tags(HTMLParser):
    """Collect tags and attributes, and whether they nest."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


def store(picture):
    return MemoryPixels(PixelSize(*picture.size), np.asarray(picture))


def make_report(prompt="a house", *, base=True):
    request = RenderRequest(prompt=prompt, negative=prompt, size=PixelSize(256, 128), method=GobigMethod())
    plan = plan_render(request, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))
    stages = [
        StageTrace(name=stage.name, size=str(stage.canvas), steps=1, evaluations=2, planned_s=1.0, seconds=2.0)
        for stage in plan.stages
    ]
    return Report(
        request=request,
        plan=plan,
        trace=tuple(stages),
        picture=store(Image.new("RGB", (256, 128), (90, 20, 30))),
        base=Image.new("RGB", (96, 64)) if base else None,
        picture_path=Path(f"{prompt[:5].replace('/', '')}.png"),
        seconds={"open the model": 1.0},
        peak_bytes=2**30,
        machine="test",
    )


def read_page(tmp_path, report):
    write_report(tmp_path / "page.html", report)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    return page, tags


@pytest.mark.parametrize("base", [True, False])
def test_a_page_shows_pictures_and_stands_alone(tmp_path, base):
    page, tags = read_page(tmp_path, make_report(base=base))
    assert tags.tags.count("img") == (5 if base else 1)
    assert not re.search(r"https?:|//[a-z]|<link|<script|@import|url\(", page)
    assert all(value.startswith("data:image/") for name, value in tags.attributes if name == "src")


def test_a_strip_says_what_it_shows_of_its_base(tmp_path):
    report = make_report(base=True)
    for side, said in ((48, False), (96, True)):
        seen = Report(**{**vars(report), "base": Image.new("RGB", (96, side))})
        assert ("the result shows the middle 96 × 48 of it" in read_page(tmp_path, seen)[0]) is said


def test_every_text_is_escaped(tmp_path):
    _, tags = read_page(tmp_path, make_report(HOSTILE))
    assert "script" not in tags.tags
    assert HOSTILE in "".join(tags.text)


def test_large_pictures_are_shown_smaller(tmp_path):
    report = make_report(base=False)
    large = Report(**{**vars(report), "picture": store(Image.new("RGB", (4000, 1000)))})
    _, tags = read_page(tmp_path, large)
    assert ("width", "1334") in tags.attributes


def test_settings_leave_out_what_is_not_used():
    names = [name for name, _ in list_settings(make_report().request)]
    assert "LoRA" not in names
    assert "sampler" in names
