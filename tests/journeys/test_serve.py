"""`sfumato serve` with mini, as unmodified clients use it: the same job gives the same pixels everywhere.

Start reading at `test_every_way_to_ask_gives_the_same_pixels`.
"""

import base64
import hashlib
import io
import json
import signal
import subprocess
import time
import urllib.request

import openai
import pytest
import webuiapi
from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
from PIL import Image

import sfumato
from processes import command, environment
from sfumato.cli.app import make_app
from sfumato.cli.exit_codes import run_command

JOB = {"prompt": "a photo of a watch", "seed": 7, "steps": 2, "guidance": 4.5, "sampler": "Euler a"}
LONGEST_S = 240
# The same job as a client of ComfyUI writes it; titles are how that client names nodes.
NODES = {
    "CheckpointLoaderSimple": {"ckpt_name": "mini"},
    "CLIPTextEncode": {"text": JOB["prompt"], "clip": ["0", 1]},
    "EmptyLatentImage": {"width": 128, "height": 128, "batch_size": 1},
    "KSampler": {
        "seed": 7,
        "steps": 2,
        "cfg": 4.5,
        "sampler_name": "euler_ancestral",
        "scheduler": "karras",
        "denoise": 1,
        "model": ["0", 0],
        "positive": ["1", 0],
        "negative": ["5", 0],
        "latent_image": ["2", 0],
    },
    "VAEDecode": {"samples": ["3", 0], "vae": ["0", 2]},
}
GRAPH = {
    str(number): {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}
    for number, (kind, inputs) in enumerate(NODES.items())
} | {
    "5": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["0", 1]}, "_meta": {"title": "Negative"}},
    "6": {"class_type": "SaveImage", "inputs": {"images": ["4", 0]}, "_meta": {"title": "Save"}},
}


class Serving:
    """A server process and its address."""

    def __init__(self, room):
        # Each process measures which number type is faster; the same pixels need the same one.
        self.environment = environment(room) | {"SFUMATO_STATE": str(room / "state"), "SFUMATO_DTYPE": "fp32"}
        words = command("serve", "--port", 0)
        self.process = subprocess.Popen(words, env=self.environment, stderr=subprocess.PIPE, text=True)
        line = next(text for text in self.process.stderr if "serves" in text)
        self.address = line.split()[2]
        self.port = int(self.address.rpartition(":")[2])

    def ask(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        head = {"Content-Type": "application/json"} if data else {}
        asked = urllib.request.Request(self.address + path, data, head, method=method)
        with urllib.request.urlopen(asked, timeout=LONGEST_S) as answer:
            packed = answer.read()
        return json.loads(packed) if "json" in answer.headers["content-type"] else packed

    def wait(self, job_id, until=lambda job: job["state"] not in ("queued", "running")):
        began = time.monotonic()
        while not until(job := self.ask(f"/api/v1/jobs/{job_id}")):
            assert time.monotonic() - began < LONGEST_S, job
            time.sleep(0.05)
        return job

    def stop(self, sign=signal.SIGTERM):
        self.process.send_signal(sign)
        self.process.stderr.close()
        return self.process.wait(60)


@pytest.fixture
def serve(tmp_path):
    """Return a function that starts a server; what still runs at the end is killed."""
    started = []

    def start():
        started.append(Serving(tmp_path))
        return started[-1]

    yield start
    for served in started:
        if served.process.poll() is None:
            served.stop(signal.SIGKILL)


def digest(picture):
    return hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()


def open_packed(packed):
    return Image.open(io.BytesIO(packed))


def test_every_way_to_ask_gives_the_same_pixels(serve, tmp_path, monkeypatch):
    serving = serve()
    for name, value in serving.environment.items():
        monkeypatch.setenv(name, value)
    found = {"library": digest(sfumato.load("mini", dtype="fp32").render(**JOB).image)}
    options = [word for name, value in JOB.items() if name != "prompt" for word in (f"--{name}", str(value))]
    line = ["render", JOB["prompt"], *options, "--out", str(tmp_path / "cli.png"), "--no-report"]
    assert run_command(make_app(), line) == 0
    found["command line"] = digest(Image.open(tmp_path / "cli.png"))

    job = serving.wait(serving.ask("/api/v1/jobs", JOB)["id"])
    assert job["state"] == "done", job
    found["own"] = digest(open_packed(serving.ask(job["files"][0]["url"])))

    client = openai.OpenAI(base_url=f"{serving.address}/v1", api_key="unused")
    extra = {name: JOB[name] for name in ("seed", "steps", "guidance", "sampler")}
    told = client.images.generate(model="gpt-image-1", prompt=JOB["prompt"], extra_body=extra)
    found["openai"] = digest(open_packed(base64.b64decode(told.data[0].b64_json)))
    assert [model.id for model in client.models.list()] == ["mini"]
    events = list(client.images.generate(model="mini", prompt=JOB["prompt"], stream=True, extra_body=extra))
    assert digest(open_packed(base64.b64decode(events[-1].b64_json))) == found["openai"]
    with pytest.raises(openai.BadRequestError, match="steps"):
        client.images.generate(prompt="x", extra_body={"steps": 10**6})

    web = webuiapi.WebUIApi(host="127.0.0.1", port=serving.port)
    drawn = web.txt2img(
        prompt=JOB["prompt"], seed=7, steps=2, cfg_scale=4.5, sampler_name="Euler a", width=128, height=128
    )
    found["webuiapi"] = digest(drawn.image)
    comfy = ComfyApiWrapper(f"{serving.address}/")
    drawn_by_graph = comfy.queue_and_wait_images(ComfyWorkflowWrapper(GRAPH), "Save")
    found["comfy-api-simplified"] = digest(open_packed(next(iter(drawn_by_graph.values()))))
    assert (drawn.info["seed"], "Steps: 2" in drawn.info["infotexts"][0]) == (7, True)
    assert len(set(found.values())) == 1, found

    again = web.img2img(images=[drawn.image], prompt="a photo of a watch", seed=3, steps=2, width=128, height=128)
    assert again.image.size == (128, 128)
    assert str(tmp_path) not in json.dumps(again.image.info, default=str)
    assert web.util_get_current_model() == "mini"
    web.set_options({"sd_model_checkpoint": "mini"})
    assert web.get_progress()["state"]["job_count"] == 0
    assert "DPM++ 2M" in [sampler["name"] for sampler in web.get_samplers()]
    assert (web.interrupt(), web.skip()) == ({}, None)
    assert serving.stop() == 0


@pytest.mark.slow
def test_a_canvas_goes_on_after_the_server_was_killed(serve):
    wanted = {"prompt": "a photo of a watch", "seed": 7, "steps": 8, "size": "320x320", "method": "cohesive"}
    first = serve()
    job_id = first.ask("/api/v1/jobs", wanted)["id"]
    first.wait(job_id, lambda job: (job["progress"] or {}).get("stage_index", 0) >= 1)
    first.stop(signal.SIGKILL)
    second = serve()
    job = second.wait(job_id)
    assert (job["state"], job["attempts"]) == ("done", 2), job
    # The same server draws it undisturbed: another process may find another number type faster.
    undisturbed = second.wait(second.ask("/api/v1/jobs", wanted)["id"])
    resumed, whole = (digest(open_packed(second.ask(one["files"][0]["url"]))) for one in (job, undisturbed))
    assert second.stop() == 0
    assert resumed == whole
