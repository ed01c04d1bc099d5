"""Faces, persons and hands in real pictures, with the parts that were fetched."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.critic.finders.people import FACES, HANDS, PARTS, PERSONS, PeopleFinder
from sfumato.models.parts.graph import load_graph

DRAWN_HANDS = Path(__file__).parents[4] / "docs" / "pictures" / "mini_hand.webp"
# Of scikit-image's astronaut, by eye: left, top, right, bottom of the face; the middles of eyes and mouth.
FACE, LEFT_EYE, RIGHT_EYE, MOUTH = (171, 62, 281, 176), (203, 101), (247, 103), (223, 147)


def make_store(picture):
    values = np.asarray(picture.convert("RGB"))
    return MemoryPixels(PixelSize(values.shape[1], values.shape[0]), values.copy())


@pytest.fixture(scope="module")
def astronaut():
    return Image.fromarray(skimage.data.astronaut())


@pytest.mark.part(*PARTS[FACES])
@pytest.mark.usefixtures("parts")
def test_the_astronaut_has_one_face_two_eyes_and_a_mouth(astronaut):
    found = PeopleFinder((FACES,)).find(make_store(astronaut))
    assert sorted(one.kind for one in found) == ["eye", "eye", "face", "mouth"]
    by_kind = {one.kind: one for one in found}
    face = by_kind["face"]
    assert (face.box.left, face.box.top, face.box.right, face.box.bottom) == pytest.approx(FACE, abs=8)
    assert face.confidence > 0.9
    eyes = sorted((one for one in found if one.kind == "eye"), key=lambda one: one.box.left)
    for one, middle in ((eyes[0], LEFT_EYE), (eyes[1], RIGHT_EYE), (by_kind["mouth"], MOUTH)):
        assert np.mean(one.points, axis=0) == pytest.approx(middle, abs=4)
        assert one.box.contains(PixelBox(*(int(side) for side in middle), *(int(side) + 1 for side in middle)))
    assert len(face.points) == 6
    assert face.points[0][0] < face.points[1][0]


@pytest.mark.part(*PARTS[PERSONS])
@pytest.mark.usefixtures("parts")
def test_the_box_of_the_astronaut_holds_all_of_her(astronaut):
    (person,) = PeopleFinder((PERSONS,)).find(make_store(astronaut))
    assert (person.kind, person.by, len(person.points)) == ("person", "persons", 33)
    # By eye, without the helmet; cut below. Hair above the points is not all in the box.
    assert (person.box.left, person.box.right, person.box.bottom) == pytest.approx((20, 360, 512), abs=30)
    assert person.box.top < 120
    # Nose and shoulders.
    assert person.points[0] == pytest.approx((222, 125), abs=15)
    assert person.points[12][0] < person.points[0][0] < person.points[11][0]


@pytest.mark.part(*PARTS[FACES])
@pytest.mark.usefixtures("parts")
def test_a_face_of_30_px_in_a_large_picture_is_found_once(astronaut):
    large = Image.new("RGB", (1900, 1100), (120, 130, 110))
    large.paste(astronaut.resize((160, 160), Image.Resampling.LANCZOS), (1411, 633))
    faces = [one for one in PeopleFinder((FACES,)).find(make_store(large)) if one.kind == "face"]
    assert len(faces) == 1
    assert faces[0].box.left == pytest.approx(1411 + FACE[0] * 160 / 512, abs=6)


@pytest.mark.slow
@pytest.mark.part(*PARTS[FACES])
@pytest.mark.usefixtures("parts")
def test_a_face_of_30_px_in_8k_is_found_once(astronaut):
    large = Image.new("RGB", (7680, 4320), (120, 130, 110))
    large.paste(astronaut.resize((144, 144), Image.Resampling.LANCZOS), (5011, 2933))
    assert [one.kind for one in PeopleFinder((FACES,)).find(make_store(large))].count("face") == 1


@pytest.mark.part(*PARTS[HANDS])
@pytest.mark.usefixtures("parts")
def test_nothing_is_found_where_nothing_is():
    finder = PeopleFinder()
    noise = np.random.default_rng(1).integers(0, 256, (300, 200, 3), np.uint8)
    for picture in (Image.fromarray(noise), Image.new("RGB", (90, 700)), Image.new("RGB", (1, 1))):
        assert finder.find(make_store(picture)) == ()


@pytest.mark.part(*PARTS[HANDS])
@pytest.mark.usefixtures("parts")
def test_hands_are_found_with_their_points():
    # Two hands that mini drew; no real hand may be kept here.
    sheet = Image.open(DRAWN_HANDS).convert("RGB").crop((525, 0, 1050, 150))
    found = PeopleFinder((HANDS,)).find(make_store(sheet))
    assert len(found) >= 2
    for one in found:
        assert one.confidence >= 0.85
        assert len(one.points) == 21
        low, high = np.min(one.points, axis=0), np.max(one.points, axis=0)
        assert one.box.left <= max(low[0], 0) + 1
        assert one.box.right >= min(high[0], 525) - 1


@pytest.mark.part("pose-landmarks")
@pytest.mark.usefixtures("parts")
def test_a_network_asked_for_some_outputs_gives_the_same_numbers():
    graph, pictures = load_graph("pose-landmarks"), torch.rand(1, 256, 256, 3)
    every, some = graph.run(pictures), graph.run(pictures, (1, 0))
    assert torch.equal(some[0], every[1])
    assert torch.equal(some[1], every[0])
