"""The proof of focus: what is counted on a face, by way."""

import numpy as np

from sfumato.core.geometry import PixelBox
from sfumato.lab.focus.looks import FaceLook
from sfumato.lab.focus.rows import BEFORE, CLOSE_UP, FOCUS, TRUTH, WAYS, FaceRecord, describe_records
from sfumato.lab.focus.scenes import TrueFace
from sfumato.render.passes.focus_outcome import FocusOutcome
from sfumato.world.people.person import Person

FACE = TrueFace(PixelBox(0, 0, 20, 20), Person(), head_px=30)
CROP = np.zeros((8, 8, 3), np.uint8)
RIGHT = {"hair": 0.9, "glasses": 0.9, "smile": 0.9}
ALL = {"eye_left": 0.9, "eye_right": 0.9, "mouth": 0.9}


def look(*, margins=None, parts=None, is_own=True, beside=1.0):
    margins, parts = RIGHT | (margins or {}), ALL | (parts or {})
    return FaceLook(margins, parts, dict.fromkeys(parts, 1.0), is_own, beside)


def record(*, before=None, after=None, close_up=None, verdict="kept"):
    looks = dict.fromkeys(WAYS, look())
    looks |= {BEFORE: before or look(), FOCUS: after or look(), CLOSE_UP: close_up or look()}
    outcome = FocusOutcome(kind="face", box=FACE.box, verdict=verdict, tries=2, seconds=1.0)
    return FaceRecord(face=FACE, outcome=outcome, words={}, crops=dict.fromkeys(WAYS, CROP), looks=looks)


def test_harm_is_what_was_right_and_is_wrong():
    assert record().list_harmed(FOCUS) == []
    assert record(after=look(margins={"glasses": -0.5})).list_harmed(FOCUS) == ["glasses"]
    assert record(after=look(parts={"eye_left": -0.5})).list_harmed(FOCUS) == ["eye_left"]
    assert record(after=look(is_own=False)).list_harmed(FOCUS) == ["person"]
    assert record(after=look(beside=9.0)).list_harmed(FOCUS) == ["beside"]


def test_what_was_wrong_or_open_before_is_no_harm():
    assert record(before=look(margins={"hair": -0.2}), after=look(margins={"hair": -0.9})).list_harmed(FOCUS) == []
    assert record(before=look(margins={"hair": 0.05}), after=look(margins={"hair": -0.9})).list_harmed(FOCUS) == []
    # Nobody can be asked what not even a close-up shows.
    unseen = record(close_up=look(margins={"hair": 0.0}), after=look(margins={"hair": -0.9}))
    assert unseen.list_harmed(FOCUS) == []


def test_a_face_without_a_mouth_is_not_right_about_its_smile():
    blank = record(before=look(parts={"mouth": -0.9}), after=look(margins={"smile": -0.9}))
    assert blank.list_harmed(FOCUS) == []
    assert record(after=look(margins={"smile": -0.9})).list_harmed(FOCUS) == ["smile"]


def test_rows_count_gap_eyes_and_harm():
    blank = look(margins={"glasses": -0.5, "smile": -0.5}, parts={"eye_left": -0.9})
    half = look(margins={"glasses": -0.5})
    ones = [record(before=blank, after=half), record(after=look(margins={"glasses": -0.5}), verdict="dropped")]
    rows = {row.name: row for row in describe_records(ones)}
    assert rows["gap of attributes closed, focus"].value == 0.0
    assert rows["gap of attributes closed, without a test"].value == 100.0
    assert rows[f"hair, glasses, smile, age right, {TRUTH}"].value == 100.0
    assert rows["two eyes and a mouth, heads of 24 to 72 px, before"].value == 50.0
    assert rows["two eyes and a mouth, heads of 24 to 72 px, focus"].value == 100.0
    assert rows["harm: something right made wrong, focus"].value == 0.0
    assert rows["harm: something right made wrong, focus"].n == 1
    assert rows["tried faces that are kept"].value == 50.0
