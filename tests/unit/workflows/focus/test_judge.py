"""What puts a part back: same place, same count, same colours, nothing beside it, the same person."""

from dataclasses import replace

import numpy as np
import pytest

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.render.passes.focus_part import DrawnPart, FocusTarget, make_mask
from sfumato.workflows.focus.judge import LEAST_MIRROR, PartJudge, compare_person, measure_mirror
from sfumato.workflows.focus.read_face import Reading

SIZE, FRAME, BOX = PixelSize(200, 200), PixelBox(70, 70, 130, 130), PixelBox(80, 80, 120, 120)
RNG = np.random.default_rng(0)
PICTURE = np.full((*SIZE.shape_hw, 3), 120, np.uint8)


class BrightFinder:
    """Finds one face, the box of all that is brighter than 200, and a hand where anything is black."""

    name, kinds = "bright", frozenset(("face", "hand"))

    def find(self, pixels):
        values = pixels.read(pixels.size.box)
        found = []
        for kind, there in (("face", (values > 200).all(axis=2)), ("hand", (values < 10).all(axis=2))):
            rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
            if len(rows):
                box = PixelBox(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
                found.append(Found(kind=kind, box=box, confidence=0.9, by=self.name))
        return tuple(found)


def make_part(change):
    """Return a bright square that a change was made to, as a picture and a part."""
    values = PICTURE.copy()
    values[BOX.slices_hw] = 220
    before = values[FRAME.slices_hw].copy()
    share = make_mask(FRAME, BOX)
    after = change(before.copy())
    after = np.where(share[..., None] > 0, after, before)
    target = FocusTarget(kind="face", box=BOX, core=BOX, context=2.5, prompt="")
    part = DrawnPart(
        target=target, frame=FRAME, share=share, before=before, after=after, parent=before, drawn=after, strength=0.5
    )
    return MemoryPixels(SIZE, values), part


def add_detail(crop):
    crop[16:44:2, 16:44] = 235
    return crop


def move(crop):
    crop[10:50, 10:50] = 120
    crop[10:50, 32:54] = 220
    return crop


def darken(crop):
    crop[10:50, 10:50] = 205
    return crop


def add_hand(crop):
    crop[28:32, 28:32] = 0
    return crop


def add_line(crop):
    crop = add_detail(crop)
    crop[5, 10:50] = 170
    return crop


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (add_detail, ""),
        (lambda crop: crop, "nothing changed"),
        (darken, "moved by"),
        (add_hand, "a hand is new"),
        (add_line, "new beside it"),
    ],
)
def test_what_is_kept_and_what_is_dropped(change, words):
    pixels, part = make_part(change)
    reason = PartJudge(finders=(BrightFinder(),)).judge(pixels, part)
    assert (words in reason) if words else reason == ""


def test_a_face_that_is_somewhere_else_is_dropped():
    pixels, part = make_part(move)
    # The colours are let through, so that the finder has to see it.
    part = replace(part, drawn=part.before)
    assert "not where it was" in PartJudge(finders=(BrightFinder(),)).check_things(pixels, part)


def read_as(**words):
    return Reading(words, dict.fromkeys(words, 0.95), np.zeros(3, np.float32))


def test_only_what_was_legible_makes_another_person():
    before, after = read_as(hair="red", smile=0, glasses=0), read_as(hair="grey", smile=1, glasses=1)
    assert compare_person(before, after, 20) == "hair was red, is grey"
    assert "glasses" in compare_person(before, after, 30)
    assert "smile" in compare_person(before, after, 41)
    assert compare_person(before, before, 41) == ""
    unsure = Reading(before.words, dict.fromkeys(before.words, 0.6), before.features)
    assert compare_person(unsure, after, 41) == ""


def test_a_head_is_put_back_if_one_face_came_out_in_it():
    pixels, part = make_part(add_detail)
    # Nobody saw a face before.
    pixels.write(BOX, np.full((40, 40, 3), 190, np.uint8))
    part = replace(part, target=replace(part.target, kind="head"), before=pixels.read(FRAME))
    judge = PartJudge(finders=(BrightFinder(),))
    assert judge.check_things(pixels, part) == ""
    blank = replace(part, after=part.before)
    assert "no face came out" in judge.check_things(pixels, blank)


def test_halves_that_do_not_match_are_no_face():
    crop, box = np.full((60, 60, 3), 180, np.uint8), PixelBox(18, 18, 42, 42)
    crop[26:29, 22:26] = crop[26:29, 34:38] = 40
    crop[36:38, 26:34] = 90
    assert measure_mirror(crop, box) > 0.95
    # The axis of a face may lie beside the middle of its box.
    assert measure_mirror(np.roll(crop, 1, axis=1), box) > 0.9
    melted = crop.copy()
    melted[26:29, 34:38] = 180
    melted[31:34, 36:40] = 40
    assert measure_mirror(melted, box) < LEAST_MIRROR
    # At the edge of a picture one half is narrower.
    assert 0.0 <= measure_mirror(crop[:, 30:], box.shift(-30, 0).clip(PixelSize(30, 60))) <= 1.0
