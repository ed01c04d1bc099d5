"""What a request says of hands: boxes and causes in words, ranges, and the same request from its JSON."""

import pytest

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import AnatomySettings, HandBox, InpaintSource, RenderRequest

PLAIN = {"prompt": "a hand", "size": PixelSize(100, 80)}


def test_a_box_is_read_with_and_without_a_cause():
    assert HandBox.parse(" 1, 2,30,40").box == PixelBox(1, 2, 31, 42)
    assert HandBox.parse("1,2,30,40:third-limb").cause == "third-limb"


@pytest.mark.parametrize(
    "text", ["1,2,3", "1,2,0,4", "1,2,3,4:ugly", "a,b,c,d", "1,2,3,4:", "-1,2,3,4", "9" * 9 + ",1,1,1"]
)
def test_a_box_that_is_none_is_refused(text):
    with pytest.raises(RequestError):
        HandBox.parse(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "off"},
        {"unrepaired": "hide"},
        {"strengths": ()},
        {"strengths": (0.5,) * 4},
        {"strengths": (2.0,)},
        {"candidates": 0},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(RequestError):
        AnatomySettings(**wrong)


def test_a_request_keeps_its_anatomy_and_one_without_keeps_its_hash():
    request = RenderRequest(**PLAIN, anatomy=AnatomySettings(mode="repair", boxes=(HandBox.parse("1,2,30,40:fused"),)))
    assert RenderRequest.from_json(request.to_json()) == request
    plain = RenderRequest(**PLAIN)
    assert "anatomy" not in plain.to_json()
    assert request.request_hash() != plain.request_hash()


def test_a_box_outside_and_a_mask_are_refused():
    with pytest.raises(RequestError, match="outside"):
        RenderRequest(**PLAIN, anatomy=AnatomySettings(boxes=(HandBox.parse("90,0,30,40"),)))
    mask = InpaintSource(path="a", sha256="0" * 64, mask="b", mask_sha256="0" * 64)
    with pytest.raises(RequestError, match="mask"):
        RenderRequest(**PLAIN, source=mask, anatomy=AnatomySettings(mode="repair"))
    assert RenderRequest(**PLAIN, source=mask, anatomy=AnatomySettings()).anatomy is not None
