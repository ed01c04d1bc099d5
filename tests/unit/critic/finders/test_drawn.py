"""The finder of mini's world: each thing once, also where a large picture is read in pieces."""

import numpy as np
import pytest

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.geometry import PixelSize
from sfumato.critic.finders.drawn import SHARED_PX, DrawnFinder
from sfumato.world.stream import Wish, make_sample


@pytest.fixture(scope="module")
def figure():
    return make_sample(72_000_000, size=192, wish=Wish(shot="full")).image


def put(figure, size, *corners):
    values = np.full((*size.shape_hw, 3), 128, np.uint8)
    for left, top in corners:
        values[top : top + figure.shape[0], left : left + figure.shape[1]] = figure
    return MemoryPixels(size, values)


def test_a_figure_has_one_face_inside_its_person(figure):
    found = DrawnFinder().find(put(figure, PixelSize(192, 192), (0, 0)))
    (face,) = [one for one in found if one.kind == "face"]
    (person,) = [one for one in found if one.kind == "person"]
    assert person.box.grow(4).contains(face.box)
    assert face.by == "drawn"
    assert [one.confidence for one in found] == sorted((one.confidence for one in found), reverse=True)


def test_a_picture_in_pieces_gives_each_thing_once(figure):
    # One figure on the line where two pieces meet, one far from it.
    size = PixelSize(1120, 192)
    pixels = put(figure, size, (900, 0), (60, 0))
    pieces = DrawnFinder(piece_px=2 * SHARED_PX).find(pixels)
    whole = DrawnFinder().find(pixels)
    faces, truth = (sorted(one.box for one in found if one.kind == "face") for found in (pieces, whole))
    assert len(faces) == len(truth) == 2
    for face, true in zip(faces, truth, strict=True):
        assert true.grow(2).contains(face)
        assert face.grow(2).contains(true)
