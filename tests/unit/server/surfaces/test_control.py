"""Control through every surface becomes the same part of a job; a fake worker draws."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw

from checkpoints import write_folder
from control_networks import write_control_file
from servers import ADDRESS, forget_settings, make_context, make_server
from sfumato.server.surfaces.comfy_graph import compile_graph

SMALL = {"prompt": "a dog", "width": 64, "height": 64, "steps": 2, "seed": 7}
OWN = {"prompt": "a dog", "size": "64x64", "steps": 2, "seed": 7, "model": "tiny"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        room = tmp_path_factory.mktemp("server")
        forget_settings(patched, room)
        write_folder(room / "models" / "Stable-diffusion" / "tiny", "sd15")
        write_control_file(room / "models" / "ControlNet" / "edges.safetensors")
        write_control_file(room / "models" / "ControlNet" / "wide.safetensors", "sd21-base")
        patched.setenv("SFUMATO_MODELS", str(room / "models"))
        with TestClient(make_server(make_context(room)), base_url=ADDRESS) as opened:
            yield opened


def make_png(size=(64, 64)):
    picture = Image.new("RGB", size, "black")
    ImageDraw.Draw(picture).rectangle((16, 16, 40, 48), fill="white")
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def encode(size=(64, 64)):
    return base64.b64encode(make_png(size)).decode()


def last_controls(client):
    (job,) = client.get("/api/v1/jobs", params={"most": 1}).json()["jobs"]
    return job["request"].get("controls")


def draw(client, *units, route="txt2img", **more):
    scripts = {"alwayson_scripts": {"ControlNet": {"args": list(units)}}}
    body = SMALL | {"override_settings": {"sd_model_checkpoint": "tiny"}} | scripts | more
    return client.post(f"/sdapi/v1/{route}", json=body)


def test_our_own_interface_takes_units_by_ids_and_names(client):
    sent = client.post("/api/v1/files", content=make_png(), headers={"Content-Type": "image/png"}).json()["id"]
    unit = {"network": "edges", "picture": sent, "weight": 0.5, "end": 0.8}
    answer = client.post("/api/v1/jobs", json=OWN | {"controls": [unit]})
    assert answer.status_code == 202, answer.text
    (ref,) = last_controls(client)
    assert (ref["network"], ref["weight"], ref["end"], ref["sha256"]) == ("edges", 0.5, 0.8, sent)
    assert ref["picture"] == f"uploads/{sent}.png"
    plan = client.post("/api/v1/plan", json=OWN | {"controls": [unit | {"module": "canny"}]}).json()
    assert plan["accepted"], plan


@pytest.mark.parametrize(
    ("unit", "status"),
    [
        ({"network": "/etc/passwd"}, 404),
        ({"network": "none"}, 404),
        ({"network": "edges", "picture": "../../etc/passwd"}, 404),
        ({"network": "edges", "module": "openpose"}, 422),
        ({"network": "edges", "weight": 9}, 422),
        ({"network": "edges", "colour": 1}, 422),
    ],
)
def test_our_own_interface_refuses(client, unit, status):
    sent = client.post("/api/v1/files", content=make_png(), headers={"Content-Type": "image/png"}).json()["id"]
    answer = client.post("/api/v1/jobs", json=OWN | {"controls": [{"picture": sent} | unit]})
    assert answer.status_code in (status, 400), answer.text


def test_a_network_that_does_not_fit_queues_nothing(client):
    sent = client.post("/api/v1/files", content=make_png(), headers={"Content-Type": "image/png"}).json()["id"]
    answer = client.post("/api/v1/jobs", json=OWN | {"controls": [{"network": "wide", "picture": sent}]})
    assert answer.status_code >= 400
    assert "does not fit" in answer.text


def test_units_of_a1111_become_controls(client):
    unit = {"image": encode(), "model": "edges [1234abcd]", "module": "None", "weight": 0.6}
    unit |= {"guidance_start": 0.1, "guidance_end": 0.7, "control_mode": "ControlNet is more important"}
    unit |= {"pixel_perfect": True, "resize_mode": "Crop and Resize", "enabled": True, "low_vram": False}
    answer = draw(client, unit, {"enabled": False, "model": "edges"}, {"model": "None"})
    assert answer.status_code == 200, answer.text
    (ref,) = last_controls(client)
    assert (ref["network"], ref["weight"], ref["start"], ref["end"], ref["mode"]) == ("edges", 0.6, 0.1, 0.7, "control")
    two = {"input_image": {"image": encode()}, "model": "edges", "module": "canny", "resize_mode": 0, "control_mode": 1}
    assert draw(client, unit, two | {"mask": encode()}).status_code == 200
    first, second = last_controls(client)
    assert (first["mode"], second["mode"]) == ("control", "prompt")
    assert first["sha256"] != second["sha256"]
    told = json.loads(draw(client, two | {"mask": encode()}).json()["info"])
    assert told["sfumato"]["without_effect"] == ["ControlNet.mask"]


def test_a_unit_without_a_picture_takes_the_starting_picture(client):
    unit = {"model": "edges", "module": "canny"}
    assert draw(client, unit, route="img2img", init_images=[encode()]).status_code == 200
    assert len(last_controls(client)) == 1
    assert draw(client, unit).status_code in (400, 422)


def test_a_module_that_is_not_here_is_refused_by_name(client):
    answer = draw(client, {"image": encode(), "model": "edges", "module": "openpose_full"})
    assert answer.status_code == 422
    assert "openpose_full" in answer.text
    body = {"controlnet_module": "depth_midas", "controlnet_input_images": [encode()]}
    answer = client.post("/controlnet/detect", json=body)
    assert answer.status_code == 422
    assert "depth_midas" in answer.text


def test_lists_of_the_extension(client):
    assert client.get("/controlnet/model_list").json() == {"model_list": ["edges", "wide"]}
    assert client.get("/controlnet/module_list").json()["module_list"] == ["none", "canny"]
    assert client.get("/controlnet/control_types").json()["control_types"]["Canny"]["module_list"] == ["canny", "none"]
    body = {"controlnet_module": "canny", "controlnet_input_images": [encode()], "controlnet_threshold_a": 50}
    (packed,) = client.post("/controlnet/detect", json=body).json()["images"]
    lines = np.asarray(Image.open(io.BytesIO(base64.b64decode(packed))))
    assert lines.shape == (64, 64, 3)
    assert 0 < (lines > 0).mean() < 0.2


def make_graph(kind="ControlNetApplyAdvanced", *, canny=False):
    """Return the usual graph with a control node between the words and the sampler."""
    graph = {
        "1": ("CheckpointLoaderSimple", {"ckpt_name": "tiny"}),
        "2": ("CLIPTextEncode", {"clip": ["1", 1], "text": "a dog"}),
        "3": ("CLIPTextEncode", {"clip": ["1", 1], "text": "blurry"}),
        "4": ("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}),
        "5": ("ControlNetLoader", {"control_net_name": "edges"}),
        "6": ("LoadImage", {"image": "lines.png"}),
        "7": ("Canny", {"image": ["6", 0], "low_threshold": 0.2, "high_threshold": 0.6}),
        "9": ("VAEDecode", {"samples": ["10", 0], "vae": ["1", 2]}),
        "11": ("SaveImage", {"images": ["9", 0], "filename_prefix": "x"}),
    }
    image = ["7" if canny else "6", 0]
    more = {"control_net": ["5", 0], "image": image, "strength": 0.7}
    if kind == "ControlNetApply":
        graph["8"] = (kind, more | {"conditioning": ["2", 0]})
        words = {"positive": ["8", 0], "negative": ["3", 0]}
    else:
        more |= {"start_percent": 0.0, "end_percent": 0.5, "positive": ["2", 0], "negative": ["3", 0]}
        graph["8"] = (kind, more)
        words = {"positive": ["8", 0], "negative": ["8", 1]}
    sampling = {"seed": 7, "steps": 2, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    graph["10"] = ("KSampler", sampling | words | {"model": ["1", 0], "latent_image": ["4", 0]})
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in graph.items()}


@pytest.mark.parametrize("kind", ["ControlNetApply", "ControlNetApplyAdvanced"])
@pytest.mark.parametrize("canny", [False, True])
def test_the_nodes_of_comfyui_become_a_control(kind, canny):
    settings = compile_graph(make_graph(kind, canny=canny), lambda name: f"id of {name}").settings
    wanted = {"network": "edges", "picture": "id of lines.png", "module": "canny" if canny else "none", "weight": 0.7}
    wanted |= {"start": 0.0, "end": 0.5} if kind == "ControlNetApplyAdvanced" else {}
    wanted |= {"thresholds": [51.0, 153.0]} if canny else {}
    assert settings["controls"] == [wanted]
    assert (settings["prompt"], settings["negative"]) == ("a dog", "blurry")


def test_a_graph_of_comfyui_is_queued(client):
    form = {"image": ("lines.png", make_png(), "image/png")}
    name = client.post("/upload/image", files=form).json()["name"]
    graph = make_graph(canny=True)
    graph["6"]["inputs"]["image"] = name
    answer = client.post("/prompt", json={"prompt": graph})
    assert answer.status_code == 200, answer.text
    (ref,) = last_controls(client)
    assert (ref["network"], ref["weight"], ref["end"]) == ("edges", 0.7, 0.5)
    nodes = client.get("/object_info").json()
    assert nodes["ControlNetLoader"]["input"]["required"]["control_net_name"] == [["edges", "wide"]]
