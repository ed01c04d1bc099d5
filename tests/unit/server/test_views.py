"""A page gets a small copy of a picture, its facts, and what draws it again."""

import io
import json
import time

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from servers import ADDRESS, forget_settings, make_context, make_server
from sfumato.server.views import name_facts

JOB = {"prompt": "0", "size": "64x64", "steps": 2, "seed": 7, "batch": 2}


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
def job(client):
    job_id = client.post("/api/v1/jobs", json=JOB).json()["id"]
    for _ in range(600):
        found = client.get(f"/api/v1/jobs/{job_id}").json()
        if found["state"] == "done":
            return found
        time.sleep(0.02)
    raise AssertionError(found)


def test_a_small_copy_is_a_jpeg(client, job):
    answer = client.get(f"{job['files'][0]['url']}/thumbnail")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (16, 16)
    assert client.get(f"{job['files'][0]['url']}/thumbnail").content == answer.content


def test_a_large_picture_has_a_small_copy(client):
    stream = io.BytesIO()
    Image.new("RGBA", (1000, 500), (9, 8, 7, 255)).save(stream, "PNG")
    sent = client.post("/api/v1/files", content=stream.getvalue(), headers={"Content-Type": "image/png"}).json()
    copy = Image.open(io.BytesIO(client.get(f"{sent['url']}/thumbnail").content))
    assert (copy.size, copy.mode) == ((192, 96), "RGB")
    assert client.get(f"{sent['url']}/recipe").status_code == 404


def test_each_picture_of_a_batch_has_its_own_recipe(client, job):
    recipes = [client.get(f"{file['url']}/recipe").json() for file in job["files"]]
    assert ["--seed 7" in recipes[0]["command"], "--seed 8" in recipes[1]["command"]] == [True, True]
    assert "--batch" not in recipes[1]["command"]
    assert "seed=8" in recipes[1]["python"]


def test_facts_are_those_beside_the_picture(client, context, job):
    url = job["files"][0]["url"]
    assert client.get(f"{url}/facts").status_code == 404
    facts = {"self_check": "fine", "checks": {"measures": {"grain": {"value": float("nan")}}}}
    name_facts(context.intake.find_path(job["files"][0]["id"])).write_text(json.dumps(facts))
    assert client.get(f"{url}/facts").json()["checks"]["measures"]["grain"]["value"] is None


def test_a_picture_is_cut_into_tiles(client):
    stream = io.BytesIO()
    colours = np.arange(600 * 300 * 3, dtype=np.uint32).reshape(300, 600, 3) // 1000 % 256
    picture = Image.fromarray(colours.astype(np.uint8))
    picture.save(stream, "PNG")
    sent = client.post("/api/v1/files", content=stream.getvalue(), headers={"Content-Type": "image/png"}).json()
    assert client.get(f"{sent['url']}/tiles/picture_files/10/0_0.jpg").status_code == 404
    described = client.get(f"{sent['url']}/tiles/picture.dzi")
    assert 'Width="600" Height="300"' in described.text
    first = Image.open(io.BytesIO(client.get(f"{sent['url']}/tiles/picture_files/10/0_0.jpg").content)).convert("RGB")
    wanted = picture.crop((0, 0, *first.size))
    assert np.abs(np.asarray(first, int) - np.asarray(wanted, int)).mean() < 4
    for place in ("10/9_9.jpg", "99/0_0.jpg", "10/0_-1.jpg", "10/..%2f0_0.jpg", "10/0_0.png"):
        assert client.get(f"{sent['url']}/tiles/picture_files/{place}").status_code in (404, 422)


@pytest.mark.parametrize("name", ["thumbnail", "facts", "recipe", "tiles/picture.dzi"])
def test_a_picture_that_is_not_there_has_none(client, name):
    assert client.get(f"/api/v1/files/none/{name}").status_code == 404
