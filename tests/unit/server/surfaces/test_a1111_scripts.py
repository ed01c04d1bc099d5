"""Scripts, masks and variations of A1111 become jobs of ours; a fake worker draws. Shapes as AI-Render, SillyTavern and others send."""

import base64
import io
import json

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from servers import ADDRESS, forget_settings, make_context, make_server

SMALL = {"prompt": "a dog", "width": 64, "height": 64, "steps": 2, "seed": 7}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        room = tmp_path_factory.mktemp("server")
        forget_settings(patched, room)
        with TestClient(make_server(make_context(room)), base_url=ADDRESS) as opened:
            yield opened


def encode(size=(64, 64), colour=(9, 8, 7)):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def draw(client, route="txt2img", **more):
    answer = client.post(f"/sdapi/v1/{route}", json=SMALL | more)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    return told["images"], json.loads(told["info"])


def last_jobs(client, most=1):
    return client.get("/api/v1/jobs", params={"most": most}).json()["jobs"]


def test_a_subseed_is_a_variation_that_counts_itself(client):
    _, info = draw(client, subseed="9", subseed_strength=0.25, batch_size=2)
    assert (info["all_seeds"], info["all_subseeds"], info["subseed_strength"]) == ([7, 7], [9, 10], 0.25)
    _, info = draw(client, subseed=9, subseed_strength=0)
    assert (info["all_seeds"], info["subseed_strength"]) == ([7], 0)


def test_masks_are_filled_softened_and_drawn_alone(client):
    body = {"init_images": [encode((100, 80))], "mask": encode((100, 80), (255, 255, 255)), "denoising_strength": 1.0}
    draw(client, "img2img", **body, mask_blur=4, inpainting_fill=0, inpaint_full_res=True, inpaint_full_res_padding=8)
    (job,) = last_jobs(client)
    assert (job["source"], job["request"]["size"]) == ("inpaint", "64x64")
    assert job["request"]["crop"] == {"left": 0, "top": 0, "width": 100, "height": 80}
    draw(client, "img2img", **body)
    assert "crop" not in last_jobs(client)[0]["request"]


def test_adetailer_is_focus_and_says_what_has_no_effect(client):
    units = {"ADetailer": {"args": [True, {"ad_model": "face_yolov8n.pt", "ad_denoising_strength": 0.3}]}}
    _, info = draw(client, alwayson_scripts=units)
    assert last_jobs(client)[0]["request"]["focus"]["words"] == ["face"]
    assert info["sfumato"]["without_effect"] == ["ADetailer.ad_denoising_strength"]
    off = {"ADetailer": {"args": [False, {"ad_model": "face_yolov8n.pt"}]}}
    draw(client, alwayson_scripts=off)
    assert "focus" not in last_jobs(client)[0]["request"]
    strange = {"ADetailer": {"args": [{"ad_model": "car_yolov8.pt"}]}}
    assert client.post("/sdapi/v1/txt2img", json=SMALL | {"alwayson_scripts": strange}).status_code == 422


def test_a_grid_is_a_job_for_each_picture_and_a_sheet_first(client):
    args = [4, "2-4(+1)", None, 7, "dog, cat", None, 0, "", None, True, False, False, False, 0]
    images, info = draw(client, script_name="X/Y/Z plot", script_args=args)
    assert (len(images), info["index_of_first_image"]) == (7, 1)
    assert set(info["all_seeds"]) == {7}
    made = [(job["request"]["steps"], job["request"]["prompt"]) for job in reversed(last_jobs(client, 6))]
    assert made == [(2, "a dog"), (3, "a dog"), (4, "a dog"), (2, "a cat"), (3, "a cat"), (4, "a cat")]
    bad = SMALL | {"script_name": "X/Y/Z plot", "script_args": [5, "1", None]}
    assert client.post("/sdapi/v1/txt2img", json=bad).status_code == 422


def test_matrix_and_prompts_from_a_text(client):
    images, info = draw(client, script_name="Prompt matrix", prompt="a castle|snow", script_args=[False, False])
    assert (len(images), info["all_prompts"]) == (3, ["a castle", "a castle, snow"])
    images, info = draw(client, script_name="prompts from file or textbox", script_args=[False, False, "a\nb\n"])
    assert (len(images), info["all_prompts"]) == (2, ["a", "b"])


@pytest.mark.parametrize(
    ("name", "args", "size"),
    [
        ("SD upscale", ["", 64, 0, 2.0], "128x128"),
        (
            "Ultimate SD upscale",
            ["", 512, 512, 8, 32, 64, 0.35, 32, 0, True, 0, False, 8, 0, 2, 2048, 2048, 3],
            "192x192",
        ),
        ("ultimate sd upscale", ["", 512, 512, 8, 32, 64, 0.35, 32, 0, True, 0, False, 8, 0, 1, 160, 96, 3], "160x96"),
    ],
)
def test_upscaling_scripts_are_the_cohesive_method_on_the_picture(client, name, args, size):
    body = {"init_images": [encode()], "denoising_strength": 0.4, "script_name": name, "script_args": args}
    draw(client, "img2img", **body)
    (job,) = last_jobs(client)
    request = job["request"]
    assert (job["kind"], request["size"], request["method"]["kind"]) == ("upscale", size, "cohesive")
    assert request["method"]["strength"] == 0.4


def test_extras_enlarge_one_or_many_and_describe_nothing(client):
    body = {"image": encode((32, 20)), "upscaler_1": "None", "upscaling_resize": 2}
    told = client.post("/sdapi/v1/extra-single-image", json=body).json()
    assert Image.open(io.BytesIO(base64.b64decode(told["image"]))).size == (64, 40)
    more = {"imageList": [{"data": encode((32, 20)), "name": "a"}] * 2, "resize_mode": 1, "upscaling_resize_w": 16}
    told = client.post("/sdapi/v1/extra-batch-images", json=more | {"upscaling_resize_h": 16}).json()
    assert [Image.open(io.BytesIO(base64.b64decode(one))).size for one in told["images"]] == [(16, 16)] * 2
    assert "ESRGAN_4x" in [row["name"] for row in client.get("/sdapi/v1/upscalers").json()]
    assert client.post("/sdapi/v1/interrogate", json={"image": encode(), "model": "clip"}).status_code == 404
    assert client.post("/sdapi/v1/extra-single-image", json={"image": "http://x/y.png"}).status_code == 422


def test_our_own_series_are_jobs_and_a_sheet(client):
    body = {"job": {"prompt": "a dog", "size": "64x64", "steps": 2}, "axes": [{"name": "steps", "values": [2, 3]}]}
    told = client.post("/api/v1/series", json=body).json()
    assert (told["columns"], [one["labels"] for one in told["jobs"]]) == (2, [["steps: 2"], ["steps: 3"]])
    ids = [one["job"] for one in told["jobs"]]
    for job_id in ids:
        with client.stream("GET", f"/api/v1/jobs/{job_id}/events") as stream:
            "".join(stream.iter_text())
    assert len({client.get(f"/api/v1/jobs/{job_id}").json()["request"]["seed"] for job_id in ids}) == 1
    sheet = client.post("/api/v1/series/sheet", json={"jobs": ids, "columns": 2, "column_labels": ["2", "3"]})
    assert Image.open(io.BytesIO(sheet.content)).width == 2 * 24
    before = len(last_jobs(client, 100))
    for wrong in (
        {"job": {"prompt": "x"}},
        body | {"matrix": True},
        body | {"axes": [{"name": "steps", "values": [2, -3]}]},
    ):
        assert client.post("/api/v1/series", json=wrong).status_code == 422
    assert len(last_jobs(client, 100)) == before
    assert client.get("/api/v1/styles").json() == {"styles": [], "wildcards": []}


def test_the_queue_is_moved_paused_and_pruned_over_http(client):
    assert client.post("/api/v1/queue/pause").json()["paused"] is True
    body = {"prompt": "0", "size": "64x64", "steps": 1, "seed": 1}
    ids = [client.post("/api/v1/jobs", json=body).json()["id"] for _ in range(2)]
    assert client.get("/api/v1/queue").json()["waiting"] == ids
    moved = client.post(f"/api/v1/jobs/{ids[1]}/move", json={"before": ids[0]}).json()
    assert moved["waiting"] == ids[::-1]
    assert client.post("/api/v1/jobs/nobody/move", json={}).status_code == 404
    assert client.post("/api/v1/queue/prune", json={}).status_code == 422
    assert client.post("/api/v1/queue/resume").json()["paused"] is False
    with client.stream("GET", f"/api/v1/jobs/{ids[0]}/events") as stream:
        "".join(stream.iter_text())
    assert client.post("/api/v1/queue/prune", json={"most_jobs": 0}).json()["jobs"] > 1


def test_jobs_that_look_or_change_name_a_picture(client):
    file = client.post(
        "/api/v1/files", content=base64.b64decode(encode()), headers={"Content-Type": "image/png"}
    ).json()
    for kind, more in (
        ("check", {"hand_boxes": ["4,4,20,20"]}),
        ("find", {"kinds": ["face"]}),
        ("upscale", {"scale": 2}),
    ):
        job = client.post("/api/v1/jobs", json={"kind": kind, "picture": file["id"]} | more).json()
        with client.stream("GET", f"/api/v1/jobs/{job['id']}/events") as stream:
            "".join(stream.iter_text())
        told = client.get(f"/api/v1/jobs/{job['id']}").json()
        assert (told["kind"], told["state"], told["files"]) == (kind, "done", [])
        assert told["evidence"][0]["id"] == told["result"]["marked"]
        assert "/" not in json.dumps(told["request"])
    plan = client.post("/api/v1/plan", json={"kind": "focus", "picture": file["id"], "focus_boxes": ["4,4,20,20"]})
    assert (plan.status_code, plan.json()["accepted"]) == (200, True)
    box = {"left": 4, "top": 4, "width": 200, "height": 20}
    wrong = client.post("/api/v1/jobs", json={"kind": "focus", "picture": file["id"], "focus_boxes": [box]})
    assert (wrong.status_code, "outside" in wrong.text) == (422, True)
