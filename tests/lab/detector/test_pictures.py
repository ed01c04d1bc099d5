"""What a detector is asked for in drawn pictures: boxes from the truth, cuts, scattered scenes, tables."""

import random

import numpy as np
import pytest
import torch

from sfumato.critic.detector.network import KINDS
from sfumato.lab.detector.pictures import TABLES, MarkedPicture, draw_scattered, draw_training, draw_view, draw_whole
from sfumato.lab.detector.scenes import make_scattered
from sfumato.lab.detector.truth import TrueBox, find_objects, find_owner, list_marks
from sfumato.world.stream import Wish, make_sample
from sfumato.world.truth import Truth

PATHS = ("", "person1/torso", "person1/head", "person1/head/hair", "person1/arm_left/hand/palm", "house1/wall")


def cover(*boxes, side=200, facts=None):
    """Return the truth of a picture with the path of each number in its box."""
    ids = np.zeros((side, side), np.uint16)
    for number, (left, top, right, bottom) in boxes:
        ids[top:bottom, left:right] = number
    return Truth(ids, PATHS, facts or {})


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        ("person2/head", {"person": "person2", "face": "person2/head"}),
        ("person2/head/eye_left", {"person": "person2", "face": "person2/head"}),
        ("person2/head/hair", {"person": "person2"}),
        ("person2/arm_extra/hand/index/segment1", {"person": "person2", "hand": "person2/arm_extra/hand"}),
        ("person2/held_ball/ball", {}),
        ("hand1/palm", {"hand": "hand1"}),
        ("hand1_arm/sleeve", {}),
        ("watch1/face", {}),
        ("watch1/hour_hand", {}),
        ("house1/window1/frame", {"house": "house1"}),
        ("place/building", {}),
        ("bench1/seat", {}),
    ],
)
def test_parts_belong_to_objects(path, owners):
    assert {kind: find_owner(path, kind) for kind in KINDS if find_owner(path, kind)} == owners


def test_boxes_are_those_of_what_shows():
    truth = cover((1, (20, 60, 60, 180)), (2, (30, 30, 50, 60)), (3, (28, 26, 52, 40)), (5, (100, 100, 160, 140)))
    found = {mark.kind: mark.box for mark in list_marks(truth)}
    assert found == {"person": (20, 26, 60, 180), "face": (30, 40, 50, 60), "house": (100, 100, 160, 140)}


def test_a_head_without_skin_has_no_face():
    assert {kind for kind, _, _ in find_objects(cover((3, (0, 0, 20, 20)))).values()} == {"person"}


@pytest.mark.parametrize(("right", "answer"), [(110, None), (140, False), (170, True)])
def test_what_the_frame_cuts_counts_when_most_of_it_shows(right, answer):
    whole = cover((5, (100, 100, 200, 150)))
    boxes = {name: box for name, (_, box, _) in find_objects(whole).items()}
    part = Truth(whole.ids[:, :right], PATHS, {})
    marks = list_marks(part, whole=boxes)
    assert [mark.counts for mark in marks] == ([] if answer is None else [answer])


@pytest.mark.parametrize(("side", "answer"), [(7, False), (8, True), (100, True), (120, False), (150, None)])
def test_nobody_is_asked_beyond_the_sizes(side, answer):
    marks = list_marks(cover((5, (10, 10, 10 + side, 10 + side))), most_px=100)
    assert [mark.counts for mark in marks] == ([] if answer is None else [answer])


def test_a_hand_that_hides_its_fingers_is_not_asked_for():
    hand = "person1/arm_left/hand"
    box = (4, (10, 10, 30, 30))
    shown = {f"{hand}/index": {"state": "visible"}, f"{hand}/little": {"state": "out-of-frame"}}
    hidden = shown | {f"{hand}/ring": {"state": "occluded"}}
    asked = [{m.kind: m.counts for m in list_marks(cover(box, facts=facts))}["hand"] for facts in (shown, hidden)]
    assert asked == [True, False]


def test_a_speck_of_something_is_not_asked_for():
    truth = cover((5, (0, 0, 100, 1)), (5, (0, 0, 1, 100)))
    assert [mark.counts for mark in list_marks(truth)] == [False]


def test_marks_move_and_grow():
    assert TrueBox("face", (1.0, 2.0, 3.0, 6.0)).move(1, 0, 2.0) == TrueBox("face", (4.0, 4.0, 8.0, 12.0))


def test_a_group_has_everybody():
    sample = make_sample(3, size=256, wish=Wish(shot="group", with_truth=True))
    marks = draw_whole(3, 256, shot="group").marks
    for kind in ("person", "face"):
        assert sum(mark.kind == kind for mark in marks) == len(sample.scene.people)
    assert sum(mark.kind == "hand" for mark in marks) >= len(sample.scene.people)


def test_scattered_scenes_have_all_kinds_everywhere():
    marks = [mark for seed in range(12) for mark in draw_scattered(seed, 128).marks if mark.counts]
    assert {mark.kind for mark in marks} == set(KINDS)
    middles = [(mark.box[1] + mark.box[3]) / 2 for mark in marks if mark.kind == "person"]
    assert min(middles) < 45
    assert make_scattered(random.Random(4)) == make_scattered(random.Random(4))


@pytest.mark.parametrize("side", [128, 256])
def test_views_show_objects_of_the_trained_sizes_inside_themselves(side):
    views = [draw_view(110_000_000 + number, side) for number in range(24)]
    assert {view.picture.shape for view in views} == {(side, side, 3)}
    counted = [mark for view in views for mark in view.marks if mark.counts]
    assert len(counted) > 20
    assert all(8 <= mark.side <= 128.01 for mark in counted)
    assert all(mark.box[0] >= 0 and mark.box[2] <= side + 0.01 and mark.box[3] <= side + 0.01 for mark in counted)
    again = draw_view(110_000_003, side)
    assert np.array_equal(again.picture, views[3].picture)
    assert again.marks == views[3].marks


class Darkening:
    """An autoencoder that can be told from none at all."""

    def encode_image(self, pixels):
        return pixels

    def decode(self, latents):
        return torch.full_like(latents, -1.0)


def test_drawing_goes_on_where_it_ended_and_decodes_about_half(tmp_path):
    draw_training(tmp_path / "a", TABLES[0], 3)
    store = draw_training(tmp_path / "a", TABLES[0], 5)
    assert np.array_equal(store.open_rows(), draw_training(tmp_path / "b", TABLES[0], 5).open_rows())
    assert isinstance(draw_view(1, 64), MarkedPicture)
    decoded = draw_training(tmp_path / "c", TABLES[0], 24, autoencoder=Darkening()).open_rows()
    assert 4 <= sum(not picture.any() for picture in decoded) <= 20
