"""What counts as found, missed and false, the labels themselves, and refusals."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from sfumato.core.errors import RequestError
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox
from sfumato.lab.find.judge import FindCounts, judge_picture
from sfumato.lab.find.labels import LabelledThing, find_pictures, read_labels
from sfumato.lab.find.run import FindEvaluation

LABELS = Path(__file__).parents[2] / "labels" / "real.json"


def find(left, top, side, confidence=0.9, kind="face"):
    box = PixelBox(left, top, left + side, top + side)
    return Found(kind=kind, box=box, confidence=confidence, by="eye")


def label(left, top, side, kind="face", **flags):
    return LabelledThing(kind=kind, box=PixelBox(left, top, left + side, top + side), **flags)


def test_a_thing_is_found_once_and_a_second_find_is_false():
    things = [label(0, 0, 20), label(100, 0, 20)]
    counts = judge_picture("face", [find(2, 2, 20), find(0, 0, 18, 0.5), find(50, 50, 20)], things)
    assert (counts.hits, counts.right, counts.false) == ([True, False], 1, 2)
    assert counts.heights == [20, 20]


def test_skipped_things_are_neither_missed_nor_false():
    counts = judge_picture("face", [find(30, 30, 10), find(300, 300, 10)], [label(0, 0, 100, skipped=True)])
    assert (counts.hits, counts.right, counts.false) == ([], 0, 1)


def test_drawn_things_count_apart_and_other_kinds_not_at_all():
    things = [label(0, 0, 20, drawn=True), label(0, 0, 20, kind="hand")]
    counts = judge_picture("face", [find(0, 0, 20), find(0, 0, 20, kind="hand")], things)
    assert (counts.hits, counts.drawn_hits, counts.right, counts.false) == ([], [True], 1, 0)


def test_each_find_takes_the_thing_that_it_covers_most():
    things = [label(0, 0, 20), label(8, 0, 20)]
    counts = judge_picture("face", [find(8, 0, 20), find(0, 0, 20, 0.5)], things)
    assert (counts.hits, counts.false) == ([True, True], 0)


def test_counts_of_pictures_add_up():
    every = FindCounts()
    for _ in range(2):
        every.add(judge_picture("face", [find(0, 0, 20)], [label(0, 0, 20)]))
    assert (every.hits, every.right) == ([True, True], 2)


def test_the_labels_lie_in_their_pictures_and_halves():
    file = json.loads(LABELS.read_text())
    assert LABELS.stat().st_size < 150_000
    for picture in file["pictures"]:
        name = picture["name"]
        # The others are kept for checks that nobody here has.
        assert hashlib.sha256(name.encode()).hexdigest()[0] in "01234567"
        stem = re.sub(r"-\d+\.webp$", "", name)
        first = hashlib.sha256(f"find 259 {stem}".encode()).hexdigest()[0]
        assert picture["half"] == ("calibrate" if first in "01234567" else "judge")
        width, height = picture["size"]
        for thing in picture["things"]:
            left, top, wide, high = thing["box"]
            assert 0 <= left < left + wide <= width
            assert 0 <= top < top + high <= height
            # Whether a hand is right is asked only where its digits can be counted.
            assert ("digits" in thing) == ("verdict" in thing) == thing.get("countable", False)
    assert {half: len(read_labels(LABELS, half)) for half in ("calibrate", "judge")} == {"calibrate": 64, "judge": 68}


@pytest.mark.parametrize("text", ["[]", "{}", '{"pictures": [{"name": "../a"}]}', "not json", '{"pictures": 1}'])
def test_a_file_that_holds_no_labels_is_refused(tmp_path, text):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(RequestError):
        read_labels(tmp_path / "labels.json", "judge")


def test_another_picture_than_was_labelled_is_refused(tmp_path):
    pictures = read_labels(LABELS, "judge")[:1]
    with pytest.raises(RequestError, match="cannot be opened"):
        find_pictures(pictures, tmp_path)
    (tmp_path / pictures[0].name).write_bytes(b"another")
    with pytest.raises(RequestError, match="another one than was labelled"):
        find_pictures(pictures, tmp_path)


def test_a_half_that_is_none_is_refused():
    with pytest.raises(RequestError, match="two halves"):
        FindEvaluation(half="all")
    assert FindEvaluation().command == "sfumato evaluate find --half judge"
