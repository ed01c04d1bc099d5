"""A report is one page: complete, escaped, and it runs and loads nothing but what its head allows."""

import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fakes import CONTRACT
from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import CohesiveMethod, GobigMethod, ImageSource, RenderRequest
from sfumato.critic.picture.added_objects import Blob
from sfumato.critic.picture.checks import Judged, Verdict
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import StageTrace
from sfumato.workflows.report.before_after import View, find_unlike_boxes, write_crops
from sfumato.workflows.report.frame import BIDI_MARKS, LONGEST_HEADING, write_copy_text, write_heading
from sfumato.workflows.report.page import Report, write_report

HOSTILE = {
    "markup": '<script>alert("x")</script> & "quotes" \'single\' </pre></title></style>',
    "controls": "\n a\r\nb\rc\t\x01\x1b[31m red\x7f\x85 \ufeff",
    "direction": "\u202egnirts a \u2066\u200f \u0645\u0631\u062d\u0628\u0627 abc",
    "long": "a house " * 2500,
    "one long word": "x" * 20_000,
    "entities": "&lt;b&gt; &amp;amp; &#0; &notit;",
}


class Tags(HTMLParser):
    """Collect tags and attributes, and the texts inside `pre`, `h1` and `title`."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.open, self.texts = [], [], [], {"pre": [], "h1": [], "title": []}

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag in self.texts:
            self.open.append(tag)
            self.texts[tag].append("")

    def handle_endtag(self, tag):
        if tag in self.open:
            self.open.remove(tag)

    def handle_data(self, data):
        for tag in self.open:
            self.texts[tag][-1] += data


def store(picture):
    return MemoryPixels(PixelSize(*picture.size), np.asarray(picture))


def make_report(prompt="a house", *, base=True, name="house.png"):
    calm = RenderRequest(prompt="a house", size=PixelSize(256, 128), method=GobigMethod())
    # A plan refuses some of these prompts; a page may show a request that another version stored.
    request = replace(calm, prompt=prompt, negative=prompt)
    plan = plan_render(calm, CONTRACT, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))
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
        picture_path=Path(name),
        seconds={"open the model": 1.0},
        peak_bytes=2**30,
        machine="test",
    )


def read_page(tmp_path, report):
    write_report(tmp_path / "page.html", report)
    # Line ends as they are in the file.
    page = (tmp_path / "page.html").read_bytes().decode("utf-8")
    tags = Tags()
    tags.feed(page)
    return page, tags


def list_pictures(page):
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in found]


@pytest.mark.parametrize("base", [True, False])
def test_a_page_shows_pictures_and_stands_alone(tmp_path, base):
    page, tags = read_page(tmp_path, make_report(base=base))
    # The result, and with a base: the base enlarged and as it is, and pairs of crops.
    count = tags.tags.count("img")
    assert count == len(list_pictures(page)) == 1 if not base else (count >= 5 and count % 2 == 1)
    assert not re.search(r"https?:|<link|@import|url\(", page)
    assert all(value.startswith("data:image/") for name, value in tags.attributes if name == "src")
    assert ("type", "range" if base else "") in [*tags.attributes, ("type", "")]


def test_only_the_style_and_the_script_of_the_page_are_allowed(tmp_path):
    page, tags = read_page(tmp_path, make_report(HOSTILE["markup"]))
    (rules,) = [value for name, value in tags.attributes if name == "content" and "default-src" in value]
    assert rules.startswith("default-src 'none'")
    assert "unsafe" not in rules
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in rules
    # Neither would run under these rules.
    assert not [name for name, _ in tags.attributes if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_prompt_is_escaped_and_copied_to_the_character(tmp_path, kind):
    _, tags = read_page(tmp_path, make_report(HOSTILE[kind]))
    _, calm = read_page(tmp_path, make_report("a house"))
    assert tags.tags == calm.tags
    assert tags.texts["pre"].count("\n" + HOSTILE[kind]) == 2
    for tag in ("h1", "title"):
        (text,) = tags.texts[tag]
        assert len(text) <= LONGEST_HEADING
        assert not any(one in BIDI_MARKS or ord(one) < 32 for one in text)


@settings(max_examples=60)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_is_copied_to_the_character(text):
    tags = Tags()
    tags.feed(write_copy_text(text) + write_heading(text))
    # A browser drops the first line feed.
    assert tags.texts["pre"] == ["\n" + text]
    assert set(tags.tags) <= {"div", "pre", "header", "h1", "em"}


@pytest.mark.parametrize(
    "name", ["a b.png", 'a"b<i>.png', "https:evil.png", "?q#f%20.png", "caf\u00e9.png", "raw\udcff.png"]
)
def test_the_link_leads_to_the_file_beside_the_page(tmp_path, name):
    _, tags = read_page(tmp_path, make_report(name=name))
    (link,) = [value for key, value in tags.attributes if key == "href"]
    assert link.startswith("./")
    assert unquote(link[2:]) == name.replace("\udcff", "?")
    assert not set(link[2:]) & set(':?#"<> ')


def test_a_strip_says_what_it_shows_of_its_base(tmp_path):
    report = make_report(base=True)
    for side, said in ((56, False), (96, True)):
        seen = replace(report, base=Image.new("RGB", (96, side)))
        assert ("middle 96 × 48" in read_page(tmp_path, seen)[0]) is said


def test_large_pictures_are_shown_smaller(tmp_path):
    large = replace(make_report(base=False), picture=store(Image.new("RGB", (4000, 1000))))
    page, _ = read_page(tmp_path, large)
    assert [picture.size for picture in list_pictures(page)] == [(1334, 334)]


@pytest.mark.parametrize("size", [(4000, 40), (40, 4000), (5, 5), (3, 200), (1700, 1300)])
def test_a_picture_of_any_shape_is_compared_with_its_base(size):
    result = Image.effect_noise(size, 80).convert("RGB")
    base = result.resize((max(1, size[0] // 4), max(1, size[1] // 4)))
    crops = list_pictures(write_crops(View(picture=store(result), base=base, canvas=PixelSize(*size), name="a.png")))
    assert crops
    assert [one.size for one in crops[::2]] == [one.size for one in crops[1::2]]
    assert all(one.width <= size[0] and one.height <= size[1] for one in crops)


def test_the_base_is_shown_in_the_place_of_the_result():
    base = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (32, 1, 3)))
    view = View(picture=store(base.resize((256, 128))), base=base, canvas=PixelSize(256, 128), name="a.png")
    box = PixelBox(64, 32, 192, 96)
    part = np.asarray(view.enlarge(box, PixelSize(128, 64)), np.float32)
    assert np.abs(part - np.asarray(view.enlarged, np.float32)[32:96, 64:192]).max() <= 4.0
    # A canvas that was cut: the saved picture shows the left of it.
    cut = View(picture=store(Image.new("RGB", (128, 128))), base=base, canvas=PixelSize(256, 128), name="a.png")
    left = np.asarray(cut.enlarged, np.float32)
    assert np.abs(left - np.asarray(view.enlarged, np.float32)[:, :128]).max() <= 4.0


def test_crops_lie_where_base_and_result_differ():
    difference = np.zeros((120, 200), np.float32)
    difference[90:100, 170:180], difference[20:25, 30:35] = 5.0, 3.0
    first, second = find_unlike_boxes(difference, PixelSize(40, 30), 3)
    assert first.contains(PixelBox(170, 90, 180, 100))
    assert second.contains(PixelBox(30, 20, 35, 25))
    assert find_unlike_boxes(np.zeros((120, 200), np.float32), PixelSize(40, 30), 3) == []


def test_what_was_added_can_be_marked_in_the_picture(tmp_path):
    report = make_report()
    calm, _ = read_page(tmp_path, report)
    verdict = Verdict("added object mass", 300.0, "Delta E px", 263.3, "high")
    judged = Judged((verdict,), (Blob((8, 16, 24, 48), 9, 300.0),))
    page, tags = read_page(tmp_path, replace(report, judged=judged))
    assert '<rect x="8" y="16" width="16" height="32"/>' in page
    assert ("type", "checkbox") in tags.attributes
    assert "id=see-marks" not in calm


def test_a_picture_that_no_option_can_repeat_is_repeated_from_its_file(tmp_path):
    plain, _ = read_page(tmp_path, make_report())
    report = make_report()
    loose = replace(report, request=replace(report.request, method=CohesiveMethod(phrases=False)))
    page, _ = read_page(tmp_path, loose)
    assert "--from" in page
    assert page.count("<pre") == plain.count("<pre") - 1


def test_a_page_without_a_prompt_has_a_heading(tmp_path):
    report = make_report()
    source = ImageSource(path="/a.png", sha256="0" * 64)
    _, tags = read_page(
        tmp_path, replace(report, request=replace(report.request, prompt="", negative="", source=source))
    )
    assert tags.texts["h1"][0]
    assert len(tags.texts["pre"]) == 2
