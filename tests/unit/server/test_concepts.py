"""Concepts are made from pictures that were sent, listed, and shown small; no path of the machine is told."""

import io
import json

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from servers import ADDRESS, forget_settings, make_context, make_server


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        room = tmp_path_factory.mktemp("server")
        forget_settings(patched, room)
        patched.setenv("SFUMATO_CONCEPTS", str(room / "concepts"))
        with TestClient(make_server(make_context(room)), base_url=ADDRESS) as opened:
            yield opened


@pytest.fixture(scope="module")
def sent(client):
    ids = []
    for shade in range(3):
        stream = io.BytesIO()
        Image.new("RGB", (80, 64), (shade * 60, 40, 90)).save(stream, "PNG")
        answer = client.post("/api/v1/files", content=stream.getvalue(), headers={"Content-Type": "image/png"})
        ids.append(answer.json()["id"])
    return ids


def test_a_concept_is_made_and_listed(client, sent):
    assert client.get("/api/v1/concepts").json() == {"concepts": []}
    answer = client.post("/api/v1/concepts", json={"name": "tom", "noun": "cat", "trigger": "zork", "pictures": sent})
    assert answer.status_code == 201, answer.text
    told = client.get("/api/v1/concepts").json()["concepts"]
    assert [answer.json()] == told
    assert (told[0]["name"], told[0]["class"], told[0]["pictures"], told[0]["bases"]) == ("tom", "cat", 3, [])
    assert "/" not in json.dumps(told)
    shown = client.get("/api/v1/concepts/tom/pictures/2")
    assert Image.open(io.BytesIO(shown.content)).size == (80, 64)
    assert client.get("/api/v1/concepts/tom/pictures/3").status_code == 404
    assert client.get("/api/v1/concepts/..%2Ftom/pictures/0").status_code == 404


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"name": "../tom"}, 422),
        ({"pictures": ["nothing"] * 3}, 404),
        ({"noun": ""}, 422),
        ({"pictures": []}, 422),
        ({"folder": "/etc"}, 422),
        ({"name": "tom"}, 422),
    ],
)
def test_a_wrong_concept_is_refused_and_nothing_is_told_of_the_disk(client, sent, changes, status):
    body = {"name": "other", "noun": "dog", "pictures": sent} | changes
    answer = client.post("/api/v1/concepts", json=body)
    assert answer.status_code == status
    assert "/tmp" not in answer.text
    assert "/concepts" not in answer.text
