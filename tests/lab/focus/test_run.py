"""The proof of focus: what is counted on a face, and refusals."""

from dataclasses import replace

import numpy as np
import pytest

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox
from sfumato.lab.focus.run import BEFORE, FOCUS, HEADS, LASTING, TRUTH, FaceRecord, FocusEvaluation, describe_records
from sfumato.lab.focus.scenes import TrueFace
from sfumato.render.passes.focus import FocusOutcome
from sfumato.workflows.focus.read_face import Reading
from sfumato.world.people.person import Person

FACE = TrueFace(PixelBox(0, 0, 20, 20), Person())
CROP = np.zeros((8, 8, 3), np.uint8)


def read_as(features, **changes):
    words = FACE.list_words() | changes
    return Reading(words, dict.fromkeys(words, 0.9), np.array(features, np.float32))


def make_record(verdict="kept"):
    readings = {
        BEFORE: read_as((3.0, 4.0), smile=0),
        FOCUS: read_as((5.0, 0.0), hair="black"),
        TRUTH: read_as((5.0, 0.0)),
        "without a test": read_as((5.0, 0.0)),
    }
    outcome = FocusOutcome(kind="face", box=FACE.box, verdict=verdict, tries=2, seconds=1.0)
    return FaceRecord(FACE, outcome, dict.fromkeys(readings, CROP), readings)


def test_a_record_counts_words_distance_and_harm():
    record = make_record()
    assert (record.count_right(BEFORE, HEADS), record.count_right(FOCUS, HEADS)) == (7, 7)
    assert record.count_right(BEFORE, LASTING) == 6
    assert record.list_harmed() == ["hair"]
    assert record.measure_distance(FOCUS) == 0.0
    assert record.measure_distance(BEFORE) == pytest.approx(np.hypot(2, 4) / 5)


def test_rows_count_kept_and_harmed_faces():
    rows = {row.name: row for row in describe_records([make_record(), make_record("dropped")])}
    assert rows["tried faces that are kept"].value == 50.0
    assert rows["kept faces with a lasting word made wrong"].value == 100.0
    assert rows["tries of a face"].value == 2.0


@pytest.mark.parametrize("change", [{"scenes": 0}, {"scenes": 10**6}, {"seed": -1}])
def test_an_evaluation_out_of_range_is_refused(change):
    with pytest.raises(RequestError):
        replace(FocusEvaluation(), **change)
