"""What leads from faces to persons and from persons to heads and hands, without any network."""

import math

import numpy as np
import pytest

from sfumato.core.geometry import PixelSize
from sfumato.critic.finders.faces import Face
from sfumato.critic.finders.hands import Hand, _frame_again, _is_sure, _list_pose_crops, _list_wrist_windows
from sfumato.critic.finders.people import _name_face, _name_persons
from sfumato.critic.finders.poses import BodyPose, list_windows, owns

SIZE = PixelSize(400, 400)


def make_pose(*, presence=0.99, seen=1.0):
    """A person who stands at x = 200 with the arms down: head at 60, shoulders at 120, wrists at 260."""
    points = np.full((33, 2), (200.0, 60.0))
    for number, place in {
        11: (230, 120), 12: (170, 120), 13: (235, 190), 14: (165, 190), 15: (235, 260), 16: (165, 260),
        17: (240, 280), 18: (160, 280), 19: (230, 280), 20: (170, 280), 23: (215, 250), 24: (185, 250),
    }.items():  # fmt: skip
        points[number] = place
    points[7], points[8] = (212, 60), (188, 60)
    return BodyPose(points, np.full(33, seen), np.array((150, 40, 250, 400), np.float32), presence)


def make_face(left, top, side, mesh=None):
    box = np.array((left, top, left + side, top + side), np.float32)
    return Face(box, np.full((6, 2), left + side / 2), mesh, 0.8)


def test_a_person_without_a_face_has_a_head_and_one_with_a_face_has_none():
    alone = list(_name_persons([make_pose()], [], SIZE))
    assert [one.kind for one in alone] == ["person", "head"]
    head = alone[1].box
    assert (head.left + head.right) / 2 == pytest.approx(200, abs=2)
    assert head.width == pytest.approx(48, abs=3)
    faced = list(_name_persons([make_pose()], [make_face(185, 50, 30)], SIZE))
    assert [one.kind for one in faced] == ["person"]


def test_a_face_without_a_pose_still_gives_a_person():
    (person,) = _name_persons([], [make_face(100, 100, 30)], SIZE)
    assert (person.kind, person.confidence, person.by) == ("person", 0.8, "persons")
    assert person.box.height > 200


def test_a_face_belongs_to_the_person_around_it():
    assert owns(make_pose(), make_face(185, 50, 30))
    assert not owns(make_pose(), make_face(300, 50, 30))


def test_a_face_without_a_mesh_has_no_eyes():
    assert [one.kind for one in _name_face(make_face(10, 10, 40), SIZE)] == ["face"]
    mesh = np.random.default_rng(1).uniform(10, 50, (468, 2)).astype(np.float32)
    assert [one.kind for one in _name_face(make_face(10, 10, 40, mesh), SIZE)] == ["face", "eye", "eye", "mouth"]


def test_hands_are_searched_at_both_wrists():
    pose = make_pose()
    windows, crops = list(_list_wrist_windows(pose)), list(_list_pose_crops(pose))
    assert len(windows) == len(crops) == 4
    for square in windows:
        assert min(abs(square.x - 233), abs(square.x - 167)) <= 2
        assert square.y == pytest.approx(280)
    # The fingers hang down, so the crop is turned upside down.
    assert all(abs(abs(square.angle) - math.pi) < 0.3 for square in crops)
    assert list(_list_wrist_windows(make_pose(seen=0.0))) == []


def test_a_hand_at_a_wrist_needs_less_than_one_alone():
    points = np.stack((np.linspace(225, 245, 21), np.linspace(260, 290, 21)), axis=1)
    wrists = [make_pose().points[15]]
    assert _is_sure(Hand(points, 0.9), wrists)
    assert not _is_sure(Hand(points, 0.9), [])
    assert not _is_sure(Hand(points - 150, 0.9), wrists)
    assert _is_sure(Hand(points, 0.96), [])


def test_the_square_of_a_hand_turns_with_it():
    points = np.zeros((21, 2))
    points[:, 0] = np.tile(np.linspace(-10, 10, 7), 3)
    points[:, 1] = -np.repeat((10.0, 20.0, 30.0), 7)
    points[0] = (0, 0)
    points[[5, 9, 13]] = ((-5, -20), (0, -20), (5, -20))
    upright = _frame_again(points + 100)
    assert upright.angle == pytest.approx(0, abs=1e-6)
    quarter = points @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    turned = _frame_again(quarter + 100)
    assert turned.angle == pytest.approx(math.pi / 2, abs=1e-6)
    assert turned.side == pytest.approx(upright.side)


@pytest.mark.parametrize(("width", "height", "count"), [(400, 400, 10), (400, 200, 4), (90, 700, 4), (1, 1, 10)])
def test_the_windows_for_persons_cover_the_picture(width, height, count):
    found = list_windows(PixelSize(width, height))
    assert len(found) == count
    assert found[0].side == max(width, height)
    assert min(square.x - square.side / 2 for square in found[1:]) <= 0
    assert max(square.x + square.side / 2 for square in found[1:]) >= width
    assert max(square.y + square.side / 2 for square in found[1:]) >= height
