"""Edits and variations come as forms: the erased part is drawn anew, several pictures are refused, bad forms too."""

import base64
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
        with TestClient(make_server(make_context(room)), base_url=ADDRESS) as opened:
            yield opened


def pack(mode="RGB", size=(64, 64), hole=False):
    picture, stream = Image.new(mode, size, (9, 8, 7, 255)[: len(mode)]), io.BytesIO()
    if hole:
        picture.paste((0, 0, 0, 0), (16, 16, 48, 48))
    picture.save(stream, "PNG")
    return stream.getvalue()


def test_an_edit_draws_what_is_erased(client):
    files = {"image": ("a.png", pack()), "mask": ("m.png", pack("RGBA", hole=True))}
    data = {"prompt": "0", "n": "2", "model": "gpt-image-1", "seed": "3", "steps": "2", "response_format": "b64_json"}
    answer = client.post("/v1/images/edits", files=files, data=data)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) == 2
    assert Image.open(io.BytesIO(base64.b64decode(answer.json()["data"][0]["b64_json"]))).size == (16, 16)
    (job,) = client.get("/api/v1/jobs", params={"most": 1}).json()["jobs"]
    assert (job["source"], job["request"]["seed"], job["surface"]) == ("inpaint", 3, "openai")


def test_an_edit_streams_under_its_own_name(client):
    files, data = (
        {"image[]": ("a.png", pack())},
        {"prompt": "0.02", "steps": "20", "stream": "true", "partial_images": "1"},
    )
    text = client.post("/v1/images/edits", files=files, data=data).text
    kinds = [json.loads(part.split("data: ")[1])["type"] for part in text.strip().split("\n\n")]
    assert kinds[-1] == "image_edit.completed"


def test_a_variation_needs_no_prompt(client):
    answer = client.post("/v1/images/variations", files={"image": ("a.png", pack())}, data={"size": "64x64"})
    # The fake worker reads its prompt as seconds, and "" is none.
    assert answer.status_code == 200, answer.text
    assert client.get("/api/v1/jobs", params={"most": 1}).json()["jobs"][0]["source"] == "image"


@pytest.mark.parametrize(
    ("files", "data"),
    [
        ({"image": ("a.png", pack())}, {}),
        ({"mask": ("m.png", pack())}, {"prompt": "x"}),
        ({"image": ("a.png", b"<svg/>")}, {"prompt": "x"}),
        ({"image": ("a.png", pack()), "mask": ("m.png", pack())}, {"prompt": "x"}),
        ({"image": ("a.png", pack())}, {"prompt": "x", "n": "1000"}),
        ([("image[]", ("a.png", pack())), ("image[]", ("b.png", pack()))], {"prompt": "x"}),
    ],
)
def test_wrong_forms_are_told_and_not_tried_again(client, files, data):
    answer = client.post("/v1/images/edits", files=files, data=data)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (400, "false")
    assert answer.json()["error"]["message"]


def test_a_body_that_is_no_form_is_refused(client):
    head = {"Content-Type": "multipart/form-data; boundary=x"}
    for content in (b"", b"nonsense", b"--x\r\n" * 1000):
        answer = client.post("/v1/images/edits", content=content, headers=head)
        assert answer.status_code in (400, 415)
