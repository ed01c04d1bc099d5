"""Every surface turns what its clients send into a job, and the job into what they read. A fake worker draws."""

import base64
import io
import json
import threading
import time
import zlib

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from servers import ADDRESS, forget_settings, make_context, make_server

SMALL = {"size": "64x64", "steps": 2, "seed": 7}
SDAPI = {"width": 64, "height": 64, "steps": 2, "seed": 7}


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


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    forget_settings(monkeypatch, tmp_path)


def packed(size=(64, 64), colour=(9, 8, 7), kind="PNG", **more):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, kind, **more)
    return stream.getvalue()


def encode(data):
    return base64.b64encode(data).decode()


def wait(client, job_id):
    for _ in range(600):
        job = client.get(f"/api/v1/jobs/{job_id}").json()
        if job["state"] not in ("queued", "running"):
            return job
        time.sleep(0.02)
    raise AssertionError(job)


def last_request(client):
    return client.get("/api/v1/jobs", params={"most": 1}).json()["jobs"][0]["request"]


def test_health_says_that_a_worker_is_there(client):
    health = client.get("/healthz").json()
    assert (health["status"], health["worker"]["deaths"]) == ("ok", 0)


def test_a_job_is_queued_drawn_and_its_file_served(client):
    answer = client.post("/api/v1/jobs", json={"prompt": "0", "batch": 2, **SMALL})
    assert answer.status_code == 202
    job = wait(client, answer.json()["id"])
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert (job["state"], [file["seed"] for file in job["files"]]) == ("done", [7, 8])
    file = client.get(job["files"][0]["url"])
    assert file.headers["content-type"] == "image/png"
    assert file.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in file.headers["content-security-policy"]
    assert Image.open(io.BytesIO(file.content)).size == (16, 16)


def test_the_same_order_is_one_job(client):
    told = [
        client.post("/api/v1/jobs", json={"prompt": "0", **SMALL}, headers={"Idempotency-Key": "one"}) for _ in "ab"
    ]
    assert told[0].json()["id"] == told[1].json()["id"]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"prompt": "x", "brightness": 3}, 422, "brightness"),
        ({"prompt": "x", "picture": "y"}, 422, "picture"),
        ({"prompt": "x", "focus": "sorcery"}, 422, "sorcery"),
        ({"prompt": "x", "concepts": ["/etc/bo.concept"]}, 404, "concept"),
        ({"kind": "focus"}, 422, "picture"),
        ({"kind": "check", "picture": "../queue.sqlite"}, 404, "file"),
        ({"kind": "teach", "concept": "../x"}, 404, "concept"),
        ({"kind": "rebase", "concept": "../x", "model": "mini"}, 404, "concept"),
        ({"kind": "magic", "prompt": "x"}, 422, "kind"),
        ({"prompt": "x", "steps": 10**9}, 422, "steps"),
        ({"prompt": "x", "batch": 10**6}, 422, "pictures"),
        ({"prompt": "x", "seed": 1.5}, 422, "seed"),
        ({"prompt": "x", "size": "1000000000x8"}, 422, "size"),
        ({"prompt": "x", "size": "999999999x8"}, 422, "side"),
        ({"prompt": "x", "size": "4096x4096"}, 422, "2048x2048"),
        ({"prompt": "x" * 10**5}, 422, "20000"),
        ({"prompt": "a\0b"}, 422, "stored"),
        ({"prompt": "x", "model": "/etc/passwd"}, 404, "checkpoint"),
        ({"prompt": "x", "model": "../mini"}, 404, "checkpoint"),
        ({"prompt": "x", "vae": "~/secret.safetensors"}, 404, "vae"),
        ({"prompt": "x", "upscaler": "/tmp/x.safetensors", "method": "cohesive"}, 404, "upscaler"),
        ({"prompt": "x", "loras": ["/tmp/x.safetensors:0.5"]}, 404, "lora"),
        ({"prompt": "x", "embeddings": ["../x"]}, 404, "embedding"),
        ({"prompt": "<lora:../../x:1>"}, 422, "without folder"),
        ({"prompt": "x", "init": "/etc/passwd"}, 404, "file"),
        ({"prompt": "x", "init": "../queue.sqlite"}, 404, "file"),
        ({"negative": "x"}, 422, "nothing to draw"),
    ],
)
def test_what_is_wrong_is_refused_at_once_and_nothing_is_queued(client, context, body, status, word):
    # A job of another test may end meanwhile; how many there are stays.
    before = sum(context.store.count_jobs().values())
    answer = client.post("/api/v1/jobs", json=body)
    told = answer.json()
    assert (answer.status_code, set(told) >= {"error", "what", "got", "do"}) == (status, True), told
    assert word in json.dumps(told)
    assert len(answer.text) < 4000
    assert sum(context.store.count_jobs().values()) == before


def test_numbers_that_are_none_are_refused(client):
    for text in ('{"prompt": "x", "guidance": NaN}', '{"prompt": "x", "guidance": Infinity}', "[" * 20_000):
        answer = client.post("/api/v1/jobs", content=text, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500


def test_a_thousand_open_brackets_take_no_time(client):
    began = time.monotonic()
    client.post("/api/v1/plan", json={"prompt": "(" * 20_000})
    assert time.monotonic() - began < 5


def test_events_tell_progress_and_end_with_the_job(client):
    job = client.post("/api/v1/jobs", json={"prompt": "0.05", **SMALL, "steps": 30}).json()
    with client.stream("GET", f"/api/v1/jobs/{job['id']}/events") as stream:
        text = "".join(stream.iter_text())
    events = [part.split("\ndata: ") for part in text.strip().split("\n\n")]
    kinds = [kind.removeprefix("event: ") for kind, _ in events]
    assert kinds[-1] == "state"
    assert json.loads(events[-1][1])["state"] == "done"
    assert {"progress", "preview"} <= set(kinds)
    told = [json.loads(value) for kind, value in events if kind == "event: progress"]
    assert [one["step"] for one in told] == sorted(one["step"] for one in told)
    assert {"steps", "left_s", "done_frac"} <= told[0].keys()


def test_a_job_is_cancelled_and_tried_again(client):
    job = client.post("/api/v1/jobs", json={"prompt": "0.02", **SMALL, "steps": 1000}).json()
    while client.get(f"/api/v1/jobs/{job['id']}").json()["progress"] is None:
        time.sleep(0.01)
    client.delete(f"/api/v1/jobs/{job['id']}")
    assert wait(client, job["id"])["state"] == "cancelled"
    assert client.post(f"/api/v1/jobs/{job['id']}/retry").status_code == 202
    client.delete(f"/api/v1/jobs/{job['id']}")
    assert wait(client, job["id"])["state"] == "cancelled"


def test_pictures_are_encoded_anew_and_the_same_one_has_the_same_id(client, context):
    data = packed(kind="JPEG")
    sent = [client.post("/api/v1/files", content=data, headers={"Content-Type": "image/jpeg"}).json() for _ in "ab"]
    assert sent[0] == sent[1]
    job = client.post("/api/v1/jobs", json={"prompt": "0", "init": sent[0]["id"], "strength": 0.5, **SMALL}).json()
    assert (job["source"], "source" in job["request"]) == ("image", False)
    assert str(context.store.folder) not in json.dumps(wait(client, job["id"]))
    # Nor in the request, which the worker stores in the picture.
    assert str(context.store.folder) not in json.dumps(context.store.find(job["id"]).request)


def test_a_plan_says_what_it_costs_and_a_refusal_what_fits(client):
    plan = client.post("/api/v1/plan", json={"prompt": "a red castle", "size": "256x256"}).json()
    assert (plan["accepted"], plan["unknown_words"], plan["method"]) == (True, ["castle"], "cohesive")
    assert plan["seconds"] > 0
    assert plan["memory_bytes"] > 0
    refused = client.post("/api/v1/plan", json={"prompt": "x", "size": "8192x4096"}).json()
    assert refused["accepted"] is False
    assert "2896x1448" in refused["refusal"]["do"]


def test_models_and_words_are_listed_without_paths(client):
    models = client.get("/api/v1/models").json()
    assert [model["name"] for model in models["models"]] == ["mini"]
    assert "/" not in "".join(str(value) for value in models["models"][0].values() if "path" in str(value))
    assert client.get("/api/v1/words", params={"prompt": "a red castle"}).json()["unknown"] == ["castle"]
    assert {"house", "red"} <= set(client.get("/api/v1/words").json()["known"])


def test_a_file_of_no_id_is_not_found(client):
    for path in ("../queue.sqlite", "%2e%2e%2fqueue.sqlite", "..%5cqueue.sqlite", "/etc/passwd", "%00"):
        assert client.get(f"/api/v1/files/{path}").status_code == 404


def test_openai_pictures_come_as_base64_or_addresses(client):
    body = {"model": "gpt-image-1", "prompt": "0", "size": "64x64", "n": 2, "steps": 2, "seed": 7, "quality": "high"}
    told = client.post("/v1/images/generations", json=body).json()
    assert len(told["data"]) == 2
    assert Image.open(io.BytesIO(base64.b64decode(told["data"][0]["b64_json"]))).size == (16, 16)
    assert last_request(client)["steps"] == 2
    told = client.post("/v1/images/generations", json=body | {"model": "dall-e-3", "output_format": "webp"}).json()
    assert client.get(told["data"][0]["url"]).status_code == 200
    assert client.get("/v1/models").json()["data"][0]["id"] == "mini"


def test_openai_streams_previews_and_the_picture_or_an_error(client):
    body = {"prompt": "0.03", "size": "64x64", "steps": 40, "stream": True, "partial_images": 2}
    text = client.post("/v1/images/generations", json=body).text
    events = [json.loads(part.split("data: ")[1]) for part in text.strip().split("\n\n")]
    kinds = [event["type"].removeprefix("image_generation.") for event in events]
    assert kinds[-1] == "completed"
    assert set(kinds[:-1]) == {"partial_image"}
    assert Image.open(io.BytesIO(base64.b64decode(events[-1]["b64_json"]))).size == (16, 16)
    text = client.post("/v1/images/generations", json=body | {"prompt": "refuse"}).text
    assert (text.startswith("event: error"), "no numbers" in text) == (True, True)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"size": "big"}, 400),
        ({"n": 100}, 400),
        ({"model": "../x"}, 404),
        ({"background": "transparent"}, 400),
        ({"prompt": "refuse"}, 500),
    ],
)
def test_openai_errors_have_their_shape_and_are_not_tried_again(client, more, status):
    answer = client.post("/v1/images/generations", json={"prompt": "0", "steps": 1, "size": "64x64"} | more)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (status, "false")
    assert {"message", "type", "param", "code"} == set(answer.json()["error"])


def test_txt2img_takes_what_clients_send(client):
    junk = {"selection_info": {}, "sampler_index": "DPM++ 2M Karras", "scheduler": "automatic", "s_tmax": 0, "eta": 1.0}
    junk |= {"seed": "7", "tiling": True, "restore_faces": True}
    told = client.post("/sdapi/v1/txt2img", json={"prompt": "0", **SDAPI, **junk}).json()
    info = json.loads(told["info"])
    assert Image.open(io.BytesIO(base64.b64decode(told["images"][0]))).size == (16, 16)
    assert (info["seed"], info["all_seeds"], info["width"], info["sampler_name"]) == (7, [7], 64, "DPM++ 2M")
    assert info["infotexts"][0].startswith("a colour")
    assert info["sfumato"]["without_effect"] == ["restore_faces"]
    assert told["parameters"]["selection_info"] == {}
    assert (last_request(client)["guidance"], last_request(client)["seamless"]) == (4.0, "both")
    again = client.post("/sdapi/v1/png-info", json={"image": "data:image/png;base64," + told["images"][0]}).json()
    assert again["info"] == info["infotexts"][0]


def test_hires_is_the_cohesive_method_and_sides_are_cut_to_cells(client):
    body = {"prompt": "0", **SDAPI, "width": 70, "enable_hr": True, "hr_scale": 3, "denoising_strength": 0.4}
    assert client.post("/sdapi/v1/txt2img", json=body).json()["images"]
    request = last_request(client)
    assert (request["size"], request["method"]["kind"], request["method"]["strength"]) == ("192x192", "cohesive", 0.4)
    assert client.post("/sdapi/v1/txt2img", json=body | {"hr_scale": 2}).json()["images"]
    assert last_request(client)["method"]["kind"] == "native"


def test_img2img_takes_pictures_in_base64_and_nothing_else(client, context):
    body = {"prompt": "0", **SDAPI, "init_images": ["data:image/png;base64," + encode(packed((80, 40)))]}
    body |= {"denoising_strength": 0.5, "mask": encode(packed((30, 30), (255, 255, 255)))}
    info = json.loads(client.post("/sdapi/v1/img2img", json=body).json()["info"])
    assert (info["denoising_strength"], info["width"], info["height"]) == (0.5, 64, 64)
    assert client.post("/sdapi/v1/img2img", json={"prompt": "0"}).status_code == 404
    for bad in ("http://169.254.169.254/x.png", "file:///etc/passwd", encode(b"<svg/>"), encode(packed(kind="GIF"))):
        answer = client.post("/sdapi/v1/img2img", json=body | {"init_images": [bad]})
        assert (answer.status_code, "detail" in answer.json()) == (422, True)


def test_a_bomb_is_refused_from_its_header(client):
    # 60000 x 60000 in a header, and hardly any pixels behind it.
    head = packed((8, 8))
    bomb = head[:16] + (60000).to_bytes(4, "big") * 2 + head[24:]
    bomb = bomb[:29] + zlib.crc32(bomb[12:29]).to_bytes(4, "big") + bomb[33:]
    began = time.monotonic()
    answer = client.post("/api/v1/files", content=bomb, headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.json()["error"]) == (422, "unsafe_file")
    assert time.monotonic() - began < 1


def test_a1111_errors_are_the_words_that_clients_compare(client):
    post = {"prompt": "0", **SDAPI}
    assert (
        client.post("/sdapi/v1/txt2img", json=post | {"sampler_name": "Nobody"}).json()["detail"] == "Sampler not found"
    )
    assert client.post("/sdapi/v1/txt2img", json=post | {"script_name": "Loopback"}).status_code == 422
    units = {"ControlNet": {"args": [{"enabled": True, "model": "canny"}]}}
    assert client.post("/sdapi/v1/txt2img", json=post | {"alwayson_scripts": units}).status_code == 422
    units = {"ControlNet": {"args": [False, {"enabled": False}]}, "ADetailer": {"args": []}}
    assert client.post("/sdapi/v1/txt2img", json=post | {"alwayson_scripts": units}).status_code == 200
    answer = client.post("/sdapi/v1/txt2img", json=post | {"prompt": "refuse"})
    assert (answer.status_code, "no numbers" in answer.json()["detail"]) == (500, True)
    assert client.get("/sdapi/v1/nothing").json() == {"detail": "Not Found"}


def test_options_go_round_and_no_answer_is_empty(client):
    options = client.get("/sdapi/v1/options").json()
    answer = client.post("/sdapi/v1/options", json=options | {"unknown": 1})
    assert (answer.status_code, answer.text) == (200, "null")
    assert client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "nobody"}).status_code == 404
    assert client.get("/sdapi/v1/options").json() == options
    for name in ("samplers", "schedulers", "upscalers", "sd-models", "sd-vae", "scripts", "loras", "embeddings"):
        assert client.get(f"/sdapi/v1/{name}").json()
        break
    for name in ("face-restorers", "hypernetworks", "prompt-styles", "latent-upscale-modes", "cmd-flags", "loras"):
        assert client.get(f"/sdapi/v1/{name}").status_code == 200
    assert client.post("/sdapi/v1/skip").text == "null"
    assert client.post("/sdapi/v1/refresh-checkpoints").text == "null"


def test_idle_is_0_and_a_running_job_can_be_followed_and_interrupted(client):
    idle = client.get("/sdapi/v1/progress").json()
    assert (idle["progress"], idle["state"]["job_count"]) == (0, 0)
    told = {}
    body = {"prompt": "0.02", **SDAPI, "steps": 1000}
    thread = threading.Thread(target=lambda: told.update(client.post("/sdapi/v1/txt2img", json=body).json()))
    thread.start()
    while not (seen := client.get("/sdapi/v1/progress").json())["state"]["sampling_step"]:
        time.sleep(0.02)
    assert (0 < seen["progress"] < 1, seen["state"]["job_count"], seen["state"]["sampling_steps"]) == (True, 1, 1000)
    assert client.post("/sdapi/v1/interrupt").json() == {}
    thread.join(20)
    assert (told["images"], json.loads(told["info"])["sfumato"]["state"]) == ([], "cancelled")


def test_a_death_of_the_worker_drops_no_connection(client):
    answer = client.post("/sdapi/v1/txt2img", json={"prompt": "die", **SDAPI})
    assert (answer.status_code, "died twice" in answer.json()["detail"]) == (500, True)
    assert client.post("/sdapi/v1/txt2img", json={"prompt": "0", **SDAPI}).status_code == 200
