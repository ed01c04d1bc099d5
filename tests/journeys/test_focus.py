"""Focus from the command line: a box of a picture is drawn anew or not, the rest stays, and the picture says so."""

import numpy as np
import pytest
from PIL import Image

from bundles import tiny_mini
from sfumato.core.focus import FocusBox, FocusSettings
from sfumato.core.geometry import PixelSize
from sfumato.core.request import RenderRequest
from sfumato.workflows.prepare import list_warnings
from sfumato.world.stream import Wish, make_sample

USUAL = ("--model", tiny_mini, "--dtype", "fp32", "--steps", "4", "--seed", "3")


@pytest.fixture
def picture(room):
    Image.fromarray(make_sample(72_000_000, size=150, wish=Wish(shot="full")).image[:149, :147]).save(room / "a.png")
    return room / "a.png"


def focus(sfumato, *arguments):
    usual = [tiny_mini() if one is tiny_mini else one for one in USUAL]
    return sfumato("focus", "a.png", *usual, *arguments)


def test_a_box_is_drawn_anew_or_dropped_and_the_picture_tells_how(sfumato, picture):
    done = focus(sfumato, "--focus-box", "40,30,24,24:a face", "--out", "b.png", "--json")
    assert done.code == 0
    (outcome,) = done.json["focus"]
    assert outcome["box"] == [40, 30, 24, 24]
    assert outcome["verdict"] in ("kept", "dropped")
    assert 1 <= outcome["tries"] <= 3
    before, after = (np.asarray(Image.open(path).convert("RGB")) for path in (picture, "b.png"))
    assert before.shape == after.shape
    outside = np.ones(before.shape[:2], bool)
    outside[20:64, 30:74] = False
    assert np.array_equal(before[outside], after[outside])
    assert "picture" in sfumato("show", "b.png").out
    again = sfumato("render", "--from", "b.png", "--dtype", "fp32", "--out", "c.png", "--json").json
    assert again["sha256"] == done.json["sha256"]


def test_a_deep_level_is_larger_and_holds_the_picture(sfumato, picture):
    done = focus(sfumato, "--focus-box", "40,30,24,24:a face", "--focus-detail", "4", "--out", "deep.tif", "--json")
    assert done.code == 0
    assert done.json["request"]["focus"]["detail"] == 4
    with Image.open("deep.tif") as file, Image.open(picture) as before:
        deep, flat = file.convert("RGB"), before.convert("RGB")
    assert deep.size == (flat.width * 4, flat.height * 4)
    outside = (0, 0, 30 * 4, 20 * 4)
    large = flat.resize(deep.size, Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(deep.crop(outside)), np.asarray(large.crop(outside)))


def test_a_dry_run_lists_every_part_and_its_cost(sfumato, picture):
    done = focus(sfumato, "--dry-run", "--json", "--focus", "face,hand", "--focus-box", "40,30,24,24")
    assert done.code == 0
    parts = done.json["focus"]["parts"]
    assert done.json["focus"]["complete"]
    assert {part["kind"] for part in parts} >= {"box", "face", "person"}
    assert all((part["seconds"] > 0) == part["taken"] and part["reason"] for part in parts)


def test_a_render_plans_and_runs_focus(render, room):
    asked = ("a man", "--size", "64x64", "--focus", "face", "--focus-box", "8,8,16,16")
    assert "each part that is found" in render(*asked, command="plan").out
    done = render(*asked, "--json")
    assert [one["kind"] for one in done.json["focus"]][:1] == ["box"]
    assert done.json["request"]["focus"]["words"] == ["face"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("focus", "a.png"), "needs a --model"),
        (("focus", "none.png", "--model", "mini"), "no such picture"),
        (("focus", "a.png", "--model", "mini", "--focus", "off"), "nothing would be drawn anew"),
        (("focus", "a.png", "--model", "mini", "--focus-box", "140,0,40,10"), "outside the picture"),
        (("focus", "a.png", "--model", "mini", "--focus", "car"), "nothing here finds car"),
        (("focus", "a.png", "--model", "mini", "--focus-detail", "4", "--out", "b.png"), "no level for the detail"),
        (("focus", "a.png", "--model", "mini", "--focus", "eyes"), "nothing here finds eye"),
        (("focus", "a.png", "--model", "mini", "--focus-detail", "3", "--out", "b.tif"), "whole factor"),
        (("upscale", "a.png", "--focus", "auto"), "no effect without"),
    ],
)
def test_wrong_requests_leave_with_2(sfumato, picture, arguments, words):
    done = sfumato(*arguments)
    assert done.code == 2
    assert words in done.err


def test_the_command_tells_what_became_of_the_parts(sfumato, picture):
    done = focus(sfumato, "--focus-box", "40,30,24,24:a face", "--out", "told.png", "--no-report")
    assert done.code == 0
    (line,) = [line for line in done.out.splitlines() if line.startswith("focus")]
    assert line.split(maxsplit=1)[1] in ("1 drawn anew", "1 tried and dropped")


def test_the_prompt_of_a_box_is_checked_before_anything_is_drawn(sfumato, picture):
    done = focus(sfumato, "--focus-box", "40,30,24,24:<lora:nowhere:1> a face", "--out", "b.png", "--json")
    assert (done.code, done.json["error"]) == (2, "request")
    assert "LoRA" in done.json["what"]


def test_the_words_of_a_box_that_mini_does_not_know_are_named():
    boxes = (FocusBox(left=0, top=0, width=9, height=9, prompt="a castle"),)
    request = RenderRequest(
        prompt="a photo of a watch", size=PixelSize(128, 128), seed=1, focus=FocusSettings(words=(), boxes=boxes)
    )
    assert any("castle" in said for said in list_warnings(request))
