"""Checking pictures: the user's boxes, prompts from files, no parser, marks."""

import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox
from sfumato.critic.anatomy.network import ParserShape
from sfumato.critic.anatomy.parser import make_parser
from sfumato.workflows.check import check as module
from sfumato.workflows.check.check import NO_PARSER, check_picture, read_prompt
from sfumato.workflows.check.evidence_picture import draw_evidence, list_words, save_evidence
from sfumato.workflows.check.mark import draw_verdicts
from sfumato.workflows.find.find import open_store

BOX = PixelBox(20, 20, 80, 90)


@pytest.fixture(scope="module")
def tiny():
    return make_parser(ParserShape(widths=(4, 4, 4, 4), answers=4))


@pytest.fixture
def picture(tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("sfumato", json.dumps({"prompt": "a cartoon hand", "model": "mini"}))
    path = tmp_path / "hand.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 100, 3), np.uint8)).save(path, pnginfo=texts)
    return path


def test_a_box_is_judged_and_the_stored_prompt_allows(picture, tiny):
    checked = check_picture(picture, boxes=[BOX], parser=tiny)
    values = json.loads(json.dumps(checked.to_json()))
    assert values["hands"][0]["box"] == [20, 20, 60, 70]
    assert values["bodies"] == []
    assert checked.licences == ("cartoon",)
    assert values["hands"][0]["verdict"] in ("ok", "licensed")


def test_the_callers_prompt_counts_before_the_stored_one(picture, tiny):
    assert check_picture(picture, boxes=[BOX], prompt="a hand", parser=tiny).licences == ()
    assert read_prompt(picture) == "a cartoon hand"


def test_without_a_parser_nothing_is_countable(picture, monkeypatch):
    monkeypatch.setattr(module, "has_parser", lambda: False)
    checked = check_picture(picture, boxes=[BOX])
    assert checked.to_json()["hands"][0]["verdict"] == "not-countable"
    assert NO_PARSER in checked.to_lines()[1]


def test_tiny_hands_are_not_countable(picture, tiny):
    checked = check_picture(picture, boxes=[PixelBox(0, 0, 9, 9)], parser=tiny)
    assert checked.to_json()["hands"][0]["digits"] is None


def test_a_box_outside_is_refused(picture, tiny):
    with pytest.raises(RequestError, match="outside"):
        check_picture(picture, boxes=[PixelBox(500, 500, 510, 510)], parser=tiny)


def test_a_broken_stored_request_is_no_prompt(tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("sfumato", "{")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=texts)
    assert read_prompt(tmp_path / "a.png") == ""


def test_marks_change_the_picture_near_the_hand_only(picture, tiny):
    store = open_store(picture)
    checked = check_picture(picture, boxes=[PixelBox(60, 60, 80, 80)], parser=tiny)
    before, after = np.asarray(Image.open(picture)), np.asarray(draw_verdicts(store, checked.hands))
    assert after.shape == before.shape
    assert (after[60:80, 60] != before[60:80, 60]).any()
    assert (after[90:] == before[90:]).all()
    assert (after[:30] == before[:30]).all()


def test_a_sheet_shows_the_hand_its_parts_and_the_reasons(picture, tiny, tmp_path):
    store = open_store(picture)
    checked = check_picture(picture, boxes=[BOX], parser=tiny)
    (hand,) = checked.hands
    sheet, beside = draw_evidence(store, hand), draw_evidence(store, hand, repaired=store)
    assert beside.width > sheet.width
    assert hand.verdict.reason in list_words(hand)[0]
    (place,) = save_evidence(tmp_path / "new", "hand", [sheet])
    with Image.open(place) as written:
        assert written.size == sheet.size
