"""Finding in a picture: which finders look, what is joined, and what is said where parts are absent."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from sfumato.canvas.formats.images import save_picture
from sfumato.core.errors import ModelError, RequestError
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox
from sfumato.critic.finders import people
from sfumato.workflows.find.find import find_things, is_drawn, join_found, open_store
from sfumato.workflows.find.finders import FINDERS, list_kinds, make_finders
from sfumato.workflows.find.mark import draw_marks

PORTRAITS = Path(__file__).parents[4] / "docs" / "pictures" / "mini_portrait.webp"


def make_found(kind, left, by, confidence=0.9, side=10):
    return Found(kind=kind, box=PixelBox(left, 0, left + side, side), confidence=confidence, by=by)


@pytest.fixture
def no_parts(tmp_path, monkeypatch):
    monkeypatch.setenv("SFUMATO_PARTS", str(tmp_path / "parts"))
    return tmp_path


@pytest.fixture
def portrait(tmp_path):
    """A picture that says that mini drew it."""
    picture = Image.open(PORTRAITS).convert("RGB").crop((528, 0, 660, 132))
    save_picture(tmp_path / "portrait.png", picture, {"sfumato": json.dumps({"model": "mini"})})
    return tmp_path / "portrait.png"


def test_every_finder_says_its_own_name_and_kinds():
    assert len({row.name for row in FINDERS}) == len(FINDERS)
    assert {"face", "hand", "person", "eye", "mouth"} <= set(list_kinds())
    for row in FINDERS:
        (finder,) = make_finders([row])
        assert (finder.name, finder.kinds) == (row.name, row.kinds)


def test_the_rows_say_of_people_what_their_finder_says():
    rows = {row.name: row for row in FINDERS if row.world == "real"}
    assert {name: row.kinds for name, row in rows.items()} == people.KINDS
    assert {name: row.parts for name, row in rows.items()} == people.PARTS


def test_finders_of_real_pictures_share_one_look():
    finders = make_finders(FINDERS)
    assert [finder.name for finder in finders] == ["people", "drawn"]
    assert finders[0].kinds == {"face", "eye", "mouth", "person", "head", "hand"}


def test_the_same_thing_seen_by_two_finders_is_one():
    found = [make_found("face", 0, "a", 0.7), make_found("face", 1, "b", 0.9), make_found("hand", 1, "b", 0.8)]
    assert [(one.kind, one.by) for one in join_found(found)] == [("face", "b"), ("hand", "b")]
    # One finder knows itself what is one thing.
    assert len(join_found([make_found("eye", 0, "a"), make_found("eye", 1, "a")])) == 2


def test_without_parts_a_real_picture_is_told_the_command(no_parts):
    with pytest.raises(ModelError) as caught:
        find_things(Image.new("RGB", (50, 50)))
    assert "sfumato parts get face-full-range face-mesh pose-landmarks palm hand-landmarks" in caught.value.do


def test_a_picture_of_mini_needs_no_parts(no_parts, portrait):
    assert is_drawn(portrait)
    done = find_things(portrait, kinds=["face"])
    assert done.by == ("drawn",)
    assert [one.kind for one in done.found] == ["face"]
    assert done.to_json()["found"][0]["by"] == "drawn"


@pytest.mark.part("face-full-range", "face-mesh")
@pytest.mark.usefixtures("parts")
def test_one_finder_may_look_alone():
    done = find_things(Image.fromarray(skimage.data.astronaut()), kinds=["eye"], by="faces")
    assert [one.kind for one in done.found] == ["eye", "eye"]
    assert done.missing == ()


@pytest.mark.parametrize(
    "settings", [{"kinds": ["fase"]}, {"by": "nobody"}, {"by": "hands", "kinds": ["face"]}, {"kinds": ["house"]}]
)
def test_what_no_finder_knows_is_refused(settings):
    with pytest.raises(RequestError):
        find_things(Image.new("RGB", (50, 50)), **settings)


def test_pictures_of_others_are_not_of_mini(tmp_path):
    for name, text in (("a.png", "no json"), ("b.png", "[1]"), ("c.png", json.dumps({"model": "sd15.safetensors"}))):
        save_picture(tmp_path / name, Image.new("RGB", (8, 8)), {"sfumato": text})
        assert not is_drawn(tmp_path / name)
    assert not is_drawn(Image.new("RGB", (8, 8)))


def test_what_is_transparent_is_shown_on_white():
    store = open_store(Image.new("RGBA", (4, 4), (9, 9, 9, 0)))
    assert store.read(store.size.box).min() == 255


def test_marks_change_the_picture_where_something_is():
    store = open_store(Image.new("RGB", (200, 100), "black"))
    points = tuple((100.0 + number, 50.0) for number in range(21))
    hand = Found(kind="hand", box=PixelBox(90, 20, 150, 80), confidence=0.97, by="hands", points=points)
    marked = np.asarray(draw_marks(store, [hand, make_found("watch", 0, "x", side=20)]))
    assert marked[20:80, 90:150].any()
    assert marked[:20, :20].any()
    assert not marked[85:, :].any()
