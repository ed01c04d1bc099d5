"""Pictures that look alike are found: colours and layout decide, and what was measured is kept."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sfumato.critic.picture.colour import LOOK_LENGTH, measure_look
from sfumato.server.queue import alike
from sfumato.server.queue.alike import Alike
from sfumato.server.queue.gallery import Gallery, GallerySearch
from sfumato.server.queue.records import NotFoundError, StoredFile
from sfumato.server.queue.store import JobStore
from sfumato.server.views import ViewMaker
from sfumato.world.stream import Wish, make_sample

FILE = StoredFile(id="", path="", media_type="image/png", width=96, height=96, bytes=1, sha256="0" * 64)


def draw(seed, shot):
    return Image.fromarray(make_sample(seed, size=96, wish=Wish(shot=shot, style="photo")).image)


def fill(store, pictures):
    job = store.submit({"prompt": "all", "size": "96x96", "method": {"kind": "native"}}, surface="api")
    assert store.claim("worker") is not None
    files = []
    for number, (name, picture) in enumerate(pictures.items()):
        picture.save(store.folder / f"{name}.png")
        files.append(replace(FILE, id=name, path=f"{name}.png", job_id=job.id, number=number))
    store.finish(job.id, "worker", files)


@pytest.fixture
def store(tmp_path):
    opened = JobStore(tmp_path)
    yield opened
    opened.close()


def test_the_same_picture_at_another_size_is_nearest_whatever_else_is_there(store):
    pictures = {
        f"{shot}{seed}": draw(seed, shot) for shot in ("portrait", "place", "thing", "hand") for seed in (1, 2, 3)
    }
    fill(store, pictures | {"smaller": pictures["portrait2"].resize((48, 48))})
    gallery = Gallery(store, ViewMaker().make_thumbnail)
    for name in ("portrait2", "smaller"):
        found, count = gallery.search(GallerySearch(similar=name), most=3)
        assert count == len(pictures) + 1
        assert {one.file_id for one in found[:2]} == {"portrait2", "smaller"}
        assert found[0].file_id == name
    rest, _ = gallery.search(GallerySearch(similar="smaller"), most=50, skip=3)
    assert len(rest) == len(pictures) + 1 - 3


def test_colour_counts_and_so_does_layout():
    left, wider, right, green = (np.full((64, 64, 3), 230, np.uint8) for _ in range(4))
    left[:, :20], right[:, 44:] = (180, 30, 30), (180, 30, 30)
    wider[:, :22], green[:, :20] = (180, 30, 30), (30, 160, 40)
    look, *others = (measure_look(Image.fromarray(one)) for one in (left, wider, green, right))
    assert look.shape == (LOOK_LENGTH,)
    near, colour, side = (float(np.linalg.norm(look - other)) for other in others)
    assert near < 0.5 * min(colour, side)


def test_a_look_is_measured_once_and_a_file_that_is_gone_is_left_out(store, monkeypatch):
    fill(store, {"one": draw(1, "place"), "two": draw(2, "place"), "lost": draw(3, "place")})
    (store.folder / "lost.png").unlink()
    calls = []
    monkeypatch.setattr(alike, "measure_look", lambda picture: calls.append(1) or measure_look(picture))
    ranked = Alike(store, ViewMaker().make_thumbnail)
    assert ranked.rank("one", ["two", "lost"]) == ["one", "two"]
    assert Alike(store, ViewMaker().make_thumbnail).rank("two", ["one"]) == ["two", "one"]
    assert len(calls) == 2
    with pytest.raises(NotFoundError, match="no such picture"):
        ranked.rank("nobody", ["one"])
