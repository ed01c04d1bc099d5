"""Finished pictures are found again, marked, deleted and brought back; a file tells its settings."""

import io
import json
import time
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from PIL import Image, PngImagePlugin

from servers import ADDRESS, forget_settings, make_context, make_server
from sfumato import api
from sfumato.server.before import keep_base
from sfumato.server.queue.gallery import UNDO_S, Gallery, GallerySearch
from sfumato.server.queue.records import StoredFile
from sfumato.server.queue.store import JobStore
from sfumato.server.views import ViewMaker

JOBS = (
    {"prompt": "a red house", "size": "64x64", "steps": 1, "seed": 7, "batch": 2},
    {"prompt": "a 100% blue house", "size": "64x64", "steps": 1, "seed": 9},
)
A1111 = "a lamp\nNegative prompt: dust\nSteps: 12, Sampler: Euler a, CFG scale: 5, Seed: 18446744073709551615, Size: 256x128"


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        room = tmp_path_factory.mktemp("server")
        forget_settings(patched, room)
        yield make_context(room)


@pytest.fixture(scope="module")
def client(context):
    with TestClient(make_server(context), base_url=ADDRESS) as opened:
        yield opened


@pytest.fixture(scope="module")
def drawn(client):
    for body in JOBS:
        job_id = client.post("/api/v1/jobs", json=body).json()["id"]
        for _ in range(600):
            job = client.get(f"/api/v1/jobs/{job_id}").json()
            if job["state"] == "done":
                break
            time.sleep(0.02)
    return [one["id"] for one in find(client)["pictures"]]


def find(client, **wanted):
    answer = client.get("/api/v1/gallery", params=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()


def pack(kind="PNG", **texts):
    stream, held = io.BytesIO(), PngImagePlugin.PngInfo()
    for name, text in texts.items():
        held.add_text(name, text)
    Image.new("RGB", (64, 32), (1, 2, 3)).save(stream, kind, **({"pnginfo": held} if kind == "PNG" else {}))
    return stream.getvalue()


def read(client, packed):
    return client.post("/api/v1/settings", content=packed, headers={"Content-Type": "image/png"})


def test_pictures_are_found_by_words_model_and_date(client, drawn):
    assert len(drawn) == 3
    assert find(client)["models"] == ["mini"]
    assert find(client, words="house red")["count"] == 2
    assert find(client, words="100%")["pictures"][0]["seed"] == 9
    assert find(client, words="1__%")["count"] == 0
    assert find(client, model="another")["count"] == 0
    now = time.time()
    assert (find(client, since=now - 600)["count"], find(client, until=now - 600)["count"]) == (3, 0)
    paged = find(client, most=1, skip=2)
    assert (paged["count"], [one["id"] for one in paged["pictures"]]) == (3, drawn[2:])


def test_a_favourite_stays_one_until_it_is_not(client, drawn):
    assert client.put(f"/api/v1/gallery/{drawn[1]}/favourite").status_code == 204
    assert [one["id"] for one in find(client, favourites=True)["pictures"]] == [drawn[1]]
    assert client.delete(f"/api/v1/gallery/{drawn[1]}/favourite").status_code == 204
    assert find(client, favourites=True)["count"] == 0
    assert client.put("/api/v1/gallery/nothing/favourite").status_code == 404


def test_a_deleted_picture_is_out_of_sight_and_comes_back(client, context, drawn):
    told = client.delete(f"/api/v1/gallery/{drawn[0]}").json()
    assert told["undo_until_s"] > time.time()
    assert find(client)["count"] == 2
    assert [one["id"] for one in find(client, deleted=True)["pictures"]] == [drawn[0]]
    assert client.get(f"/api/v1/jobs/{drawn[0].rsplit('-', 1)[0]}").json()["files"] == []
    assert client.post(f"/api/v1/gallery/{drawn[0]}/restore").status_code == 204
    assert find(client)["count"] == 3


def test_a_file_goes_when_the_time_to_undo_is_over(client, context, drawn):
    picture = context.intake.find_path(drawn[2])
    beside, neighbour = picture.with_suffix(".facts.json"), context.intake.find_path(drawn[1])
    beside.write_text("{}")
    tomorrow = Gallery(context.store, ViewMaker().make_thumbnail, clock=lambda: time.time() + UNDO_S + 1)
    client.delete(f"/api/v1/gallery/{drawn[2]}")
    assert tomorrow.purge() == 1
    assert not picture.exists()
    assert not beside.exists()
    assert neighbour.exists()
    assert client.post(f"/api/v1/gallery/{drawn[2]}/restore").status_code == 404
    assert tomorrow.purge() == 0


def test_a_picture_is_compared_with_what_was_before_it(client, context, drawn):
    place = f"/api/v1/files/{drawn[0]}/before"
    assert client.get(place).json() == {"before": []}
    assert client.get(f"{place}/base").status_code == 404
    base = Image.new("RGB", (8, 8), (200, 10, 10))
    base.putpixel((0, 0), (10, 10, 200))
    keep_base(context.intake.find_path(drawn[0]), base)
    assert client.get(place).json() == {"before": ["base", "lanczos"]}
    squares, smooth = (Image.open(io.BytesIO(client.get(f"{place}/{kind}").content)) for kind in ("base", "lanczos"))
    assert squares.size == smooth.size == (1024, 1024)
    assert squares.getpixel((60, 60))[2] > 180 > 60 > squares.getpixel((200, 60))[2]
    assert client.get(f"{place}/other").status_code == 422


def test_what_was_changed_is_shown_beside_the_change(client, context, drawn):
    sent = client.post("/api/v1/files", content=pack(), headers={"Content-Type": "image/png"}).json()
    job = client.post("/api/v1/jobs", json=JOBS[1] | {"init": sent["id"], "size": "64x32"}).json()
    for _ in range(600):
        if client.get(f"/api/v1/jobs/{job['id']}").json()["state"] == "done":
            break
        time.sleep(0.02)
    place = f"/api/v1/files/{job['id']}-0/before"
    assert client.get(place).json() == {"before": ["source"]}
    assert Image.open(io.BytesIO(client.get(f"{place}/source").content)).size == (64, 32)


def test_a_file_tells_its_settings(client):
    told = read(client, pack(parameters=A1111)).json()
    assert told["origin"] == "other"
    assert (told["settings"]["prompt"], told["settings"]["negative"]) == ("a lamp", "dust")
    assert (told["settings"]["size"], told["settings"]["seed"]) == ("256x128", 18446744073709551615)
    assert read(client, pack()).json() == {"origin": None, "size": "64x32", "settings": {}, "left": []}
    assert read(client, pack("JPEG")).json()["size"] == "64x32"
    refused = read(client, b"no picture")
    assert refused.status_code == 422
    assert "/tmp" not in json.dumps(refused.json())


def test_our_own_file_tells_all_of_them(client):
    request = api.RenderRequest(
        prompt="a tree", size=api.PixelSize(64, 32), seed=5, sampler="Euler", schedule="automatic"
    )
    told = read(client, pack(sfumato=json.dumps(request.to_json()), parameters=A1111)).json()
    assert (told["origin"], told["settings"]["prompt"], told["settings"]["method"]) == ("sfumato", "a tree", "native")
    assert (told["settings"]["size"], told["settings"]["seed"], told["settings"]["sampler"]) == ("64x32", 5, "Euler")
    other = read(client, pack(sfumato="{}")).json()
    assert (other["origin"], len(other["left"])) == (None, 1)


@pytest.mark.parametrize(("method", "told"), [(None, ""), ("lanczos", "lanczos"), ({"kind": "native"}, "native")])
def test_pictures_of_every_kind_of_job_are_listed(tmp_path, method, told):
    store = JobStore(tmp_path)
    job = store.submit({"kind": "enlarge", "size": "64x64", "method": method}, surface="api", kind="upscale")
    assert store.claim("worker") is not None
    file = StoredFile(
        id="one", path="one.png", media_type="image/png", width=64, height=64, bytes=1, sha256="0" * 64, job_id=job.id
    )
    store.finish(job.id, "worker", [file, replace(file, id="two", number=1, role="evidence")])
    found, count = Gallery(store, ViewMaker().make_thumbnail).search(GallerySearch(), most=5)
    assert ([one.file_id for one in found], count) == (["one"], 1)
    assert found[0].method == told
    store.close()
