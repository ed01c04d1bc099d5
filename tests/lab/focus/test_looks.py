"""The judge that draws: it sees glasses, smiles, missing eyes and another person in drawings of known people."""

import random
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from sfumato.core.geometry import PixelBox
from sfumato.lab.focus.looks import draw_looks, erase_parts, find_part_masks
from sfumato.lab.focus.scenes import FocusScene, TrueFace
from sfumato.world.compose import make_scene
from sfumato.world.shapes import make_shapes
from sfumato.world.stream import draw_scene

HEIGHT_PX = 224


def draw(scene):
    return draw_scene(scene, make_shapes(scene), height_px=HEIGHT_PX, with_truth=True)


@pytest.fixture(scope="module")
def case():
    scene = make_scene(random.Random(3), shot="full", style="photo")
    (person, where), *rest = scene.people
    person = replace(person, glasses=False, smile=True, age="adult", hair_style="short", hair="brown")
    scene = replace(scene, people=((person, where), *rest))
    drawn, truth = draw(scene)
    left, top, right, bottom = truth.box("person1/head")
    face = TrueFace(PixelBox(left, top, right, bottom), person, 0, bottom - top)
    frame = face.box.grow(10).clip(PixelBox(0, 0, drawn.shape[1], drawn.shape[0]).size)
    known = FocusScene(drawn, drawn, "", scene, truth, (face,))
    return known, face, frame, draw_looks(known, face, frame)


def draw_as(case, **words):
    known, face, frame, _ = case
    people = ((replace(face.person, **words), known.scene.people[0][1]), *known.scene.people[1:])
    return draw(replace(known.scene, people=people))[0][frame.slices_hw]


def test_the_truth_is_right_whole_and_in_its_place(case):
    *_, looks = case
    seen = looks.judge(looks.truth)
    assert all(margin > 0.3 for margin in seen.margins.values())
    assert seen.is_whole
    assert seen.is_own
    assert seen.beside == 0.0
    assert max(seen.moved.values()) == 0.0


def test_another_word_is_read_as_that_word(case):
    *_, looks = case
    for words in ({"glasses": True}, {"smile": False}, {"hair": "blonde"}, {"hair_style": "bald"}):
        (head,) = words
        assert looks.judge(draw_as(case, **words)).margins[head] < -0.5


def test_a_blank_face_has_no_parts_and_a_blurred_one_still_has(case):
    known, face, frame, looks = case
    masks = find_part_masks(known, face, frame)
    assert set(masks) == {"eye_left", "eye_right", "mouth"}
    blank = looks.judge(erase_parts(known, face, frame, masks, looks.truth))
    assert all(margin < -0.5 for margin in blank.parts.values())
    assert not blank.is_whole
    blurred = ndimage.gaussian_filter(looks.truth, (0.5, 0.5, 0.0))
    assert looks.judge(blurred).is_whole


def test_any_mouth_is_a_mouth(case):
    *_, looks = case
    assert looks.judge(draw_as(case, smile=False, glasses=True)).is_whole


def test_somebody_else_is_not_the_own_person_and_a_shift_is_measured(case):
    *_, looks = case
    assert not looks.judge(looks.people[0]).is_own
    moved = looks.judge(np.roll(looks.truth, 1, axis=1)).moved
    assert 0.5 <= float(np.median(list(moved.values()))) <= 1.5
