"""What a request says of focus: boxes are read as they are typed, it round-trips, and nonsense is refused."""

from dataclasses import replace

import pytest

from sfumato.core.errors import RequestError
from sfumato.core.focus import FocusBox, FocusSettings
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import InpaintSource, PictureMethod, PictureSource, RenderRequest

DIGEST = "0" * 64
BASE = RenderRequest(prompt="a cat", size=PixelSize(256, 128))


@pytest.mark.parametrize(
    ("text", "box", "prompt"),
    [
        ("10,20,30,40", PixelBox(10, 20, 40, 60), ""),
        (" 10, 20 ,30,40 : a face, with a (hat:1.2) ", PixelBox(10, 20, 40, 60), "a face, with a (hat:1.2)"),
        ("0,0,1,1:", PixelBox(0, 0, 1, 1), ""),
    ],
)
def test_a_box_is_read_as_typed(text, box, prompt):
    read = FocusBox.parse(text)
    assert (read.box, read.prompt) == (box, prompt)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "-1,2,3,4", "1,2,0,4", "a,b,c,d", "1.5,2,3,4", "9" * 40])
def test_what_is_no_box_is_refused(text):
    with pytest.raises(RequestError):
        FocusBox.parse(text)


def test_a_request_with_focus_round_trips_and_one_without_keeps_its_hash():
    focus = FocusSettings(
        words=("face", "person"), boxes=(FocusBox(left=1, top=2, width=30, height=40, prompt="a hat"),)
    )
    asked = replace(BASE, focus=focus)
    assert RenderRequest.from_json(asked.to_json()) == asked
    assert "focus" not in BASE.to_json()
    assert asked.request_hash() != BASE.request_hash()


def test_a_request_that_keeps_a_picture_round_trips():
    source = PictureSource(path="a.png", sha256=DIGEST, size=BASE.size)
    asked = replace(BASE, source=source, method=PictureMethod(), focus=FocusSettings())
    assert RenderRequest.from_json(asked.to_json()) == asked


@pytest.mark.parametrize(
    "settings",
    [
        {"words": ()},
        {"words": ("auto", "face")},
        {"words": ("",)},
        {"strength": 0.0},
        {"context": 4.0},
        {"lock": 2.0},
        {"tries": 0},
        {"depth": 9},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(RequestError):
        FocusSettings(**settings)


def test_a_box_outside_the_picture_and_a_mask_are_refused():
    outside = FocusSettings(words=(), boxes=(FocusBox(left=250, top=0, width=10, height=10),))
    with pytest.raises(RequestError, match="outside"):
        replace(BASE, focus=outside)
    masked = InpaintSource(path="a.png", sha256=DIGEST, mask="m.png", mask_sha256=DIGEST)
    with pytest.raises(RequestError, match="mask"):
        replace(BASE, source=masked, focus=FocusSettings())
