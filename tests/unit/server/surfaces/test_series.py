"""A series over HTTP: jobs of a grid or of sent pictures, their sheet, and their files as a ZIP; a fake worker draws."""

import io
import time
import zipfile

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from servers import ADDRESS, forget_settings, make_context, make_server


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        room = tmp_path_factory.mktemp("server")
        forget_settings(patched, room)
        with TestClient(make_server(make_context(room)), base_url=ADDRESS) as opened:
            opened.room = room
            yield opened


def send(client, colour):
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(stream, "PNG")
    head = {"content-type": "image/png"}
    return client.post("/api/v1/files", content=stream.getvalue(), headers=head).json()["id"]


def order(client, body):
    """Return the jobs of a series once they are done."""
    told = client.post("/api/v1/series", json=body)
    assert told.status_code == 202, told.text
    jobs = []
    for one in told.json()["jobs"]:
        for _ in range(600):
            job = client.get(f"/api/v1/jobs/{one['job']}").json()
            if job["state"] not in ("queued", "running"):
                break
            time.sleep(0.02)
        assert job["state"] == "done", job
        jobs.append(job)
    return jobs


RENDER = {"prompt": "a dog", "size": "64x64", "steps": 1}


def test_a_grid_becomes_jobs_of_one_seed_a_sheet_and_a_zip(client):
    axes = [{"name": "steps", "values": [1, 2]}, {"name": "guidance", "values": [2, 4]}]
    jobs = order(client, {"job": RENDER, "axes": axes})
    assert len({job["request"]["seed"] for job in jobs}) == 1
    assert [(job["request"]["steps"], job["request"]["guidance"]) for job in jobs] == [(1, 2), (2, 2), (1, 4), (2, 4)]
    ids = [job["id"] for job in jobs]
    sheet = client.post("/api/v1/series/sheet", json={"jobs": ids, "columns": 2})
    assert Image.open(io.BytesIO(sheet.content)).width >= 32
    packed = client.post("/api/v1/series/archive", json={"jobs": [*ids, ids[0]]})
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        names = archive.namelist()
        assert len(names) == 8
        picture = archive.read("001-render/picture-0.png")
    assert picture == client.get(jobs[0]["files"][0]["url"]).content
    assert list(client.room.glob("*.zip")) == []


def test_a_folder_of_pictures_is_changed_or_looked_at_one_by_one(client):
    ids = [send(client, colour) for colour in ((9, 8, 7), (90, 80, 70))]
    jobs = order(client, {"job": {**RENDER, "strength": 0.5, "seed": 3}, "pictures": ids})
    assert [(job["source"], job["request"]["seed"]) for job in jobs] == [("image", 3)] * 2
    jobs = order(client, {"job": {"kind": "find"}, "pictures": ids})
    assert [job["kind"] for job in jobs] == ["find", "find"]
    packed = client.post("/api/v1/series/archive", json={"jobs": [job["id"] for job in jobs]})
    assert "001-find/evidence-0.png" in zipfile.ZipFile(io.BytesIO(packed.content)).namelist()


def test_a_series_that_is_wrong_queues_nothing(client):
    picture, before = send(client, (1, 2, 3)), client.get("/api/v1/jobs").json()["counts"]
    for body in (
        {"job": RENDER},
        {"job": RENDER, "matrix": True, "pictures": [picture]},
        {"job": {"kind": "find"}, "matrix": True},
        {"job": {"kind": "find", "picture": picture}, "pictures": [picture]},
        {"job": {"kind": "teach", "concept": "x"}, "pictures": [picture]},
        {"job": RENDER, "pictures": [picture, "../queue.sqlite"]},
        {"job": RENDER, "pictures": [picture] * 1000},
    ):
        assert client.post("/api/v1/series", json=body).status_code in (404, 422), body
    assert client.get("/api/v1/jobs").json()["counts"] == before
    assert client.post("/api/v1/series/archive", json={"jobs": ["nothing"]}).status_code == 404
    assert list(client.room.glob("*.zip")) == []
