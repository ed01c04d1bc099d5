"""What named clients send, as their sources have it, and what they read of the answer; a fake worker draws.

krita-ai-diffusion 1.53 (cloud), auto-sd-paint-ext, Auto-Photoshop 1.4.1, AI-Render 1.1.1, Open WebUI and SillyTavern.
"""

import base64
import io
import json
import time

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from servers import ADDRESS, forget_settings, make_context, make_server
from sfumato.core.prompt.region import make_region_mask


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        room = tmp_path_factory.mktemp("server")
        forget_settings(patched, room)
        with TestClient(make_server(make_context(room)), base_url=ADDRESS) as opened:
            yield opened


def pack(size=(64, 64), colour=(9, 8, 7), mode="RGB", kind="PNG"):
    stream = io.BytesIO()
    Image.new(mode, size, colour).save(stream, kind)
    return stream.getvalue()


def encode(**more):
    return base64.b64encode(pack(**more)).decode()


def last_job(client):
    return client.get("/api/v1/jobs", params={"most": 1}).json()["jobs"][0]


def wait(ask, wanted):
    for _ in range(600):
        found = ask()
        if wanted(found):
            return found
        time.sleep(0.02)
    raise AssertionError(found)


def order(client, workflow):
    told = client.post("/generate", json={"input": {"workflow": workflow, "clientInfo": {}, "options": {}}})
    assert told.status_code == 200, told.text
    job_id = told.json()["id"]
    return wait(lambda: client.post(f"/status/{job_id}", json={}).json(), lambda one: one["status"] == "completed")


SAMPLING = {
    "sampler": "dpmpp_2m",
    "scheduler": "karras",
    "cfg_scale": 5.0,
    "total_steps": 2,
    "start_step": 0,
    "seed": 3,
}
EXTENT = {"extent": {"input": [64, 64], "initial": [64, 64], "desired": [64, 64], "target": [64, 64]}}


def test_krita_signs_in_lists_and_generates(client):
    assert client.post("/auth/confirm", json={"client_id": "x"}).json()["status"] == "authorized"
    assert client.get("/user", params={"plugin_version": "1.53.0"}).json()["credits"] > 0
    assert client.get("/plugin/latest", params={"version": "1.53.0"}).json() == {"version": "1.53.0"}
    resources = client.get("/plugin/resources").json()
    assert resources["checkpoints"]["mini"] == {"filename": "mini", "arch": "sd15", "format": "checkpoint"}
    workflow = {
        "kind": "generate",
        "images": EXTENT,
        "sampling": SAMPLING,
        "models": {"checkpoint": "mini"},
        "conditioning": {"positive": "a dog", "negative": "rain", "style": "oil"},
        "batch_count": 2,
    }
    images = order(client, workflow)["output"]["images"]
    blob, (first, second) = base64.b64decode(images["base64"]), images["offsets"]
    assert Image.open(io.BytesIO(blob[first:second])).size == (16, 16)
    request = last_job(client)["request"]
    assert (request["prompt"], request["sampler"], request["steps"], request["seed"]) == (
        "a dog, oil",
        "DPM++ 2M",
        2,
        3,
    )


def test_krita_refines_a_region_with_pictures_that_it_has_put(client):
    first, second = pack(kind="WEBP"), pack(colour=(255, 255, 255))
    told = client.post("/upload/image", json={}).json()
    put = client.put(told["url"].removeprefix(ADDRESS), content=first + second)
    assert put.status_code == 200
    workflow = {
        "kind": "refine_region",
        "images": EXTENT | {"initial_image": 0, "hires_mask": 1},
        "image_data": {"s3_object": told["object"], "offsets": [0, len(first)]},
        "sampling": SAMPLING | {"total_steps": 4, "start_step": 2},
        "conditioning": {"positive": "a dog"},
        "inpaint": {"mode": "fill", "feather": 8},
    }
    order(client, workflow)
    assert last_job(client)["source"] == "inpaint"
    control = {"regions": [{"positive": "a cat", "mask": 1, "control": [{}]}]}
    for wrong in (
        {"kind": "custom"},
        {"conditioning": control},
        {"conditioning": {"control": [{}]}},
        {"image_data": {"base64": "?"}},
    ):
        assert client.post("/generate", json={"input": {"workflow": workflow | wrong}}).status_code == 422
    assert client.put("/upload/blob/unknown", content=b"x").status_code == 404


def test_krita_gives_layers_words_of_their_own(client):
    left = Image.new("L", (64, 64))
    left.paste(255, (0, 0, 32, 64))
    stream = io.BytesIO()
    left.save(stream, "PNG")
    first, second, empty = stream.getvalue(), pack((16, 64), (255, 255, 255)), pack((64, 64), (0, 0, 0))
    offsets = [0, len(first), len(first) + len(second)]
    regions = [
        {"mask": 0, "bounds": [0, 0, 32, 64], "positive": "a cat"},
        {"mask": 1, "bounds": [48, 0, 16, 64], "positive": "a tree"},
        {"mask": 2, "bounds": [0, 0, 64, 64], "positive": "nowhere"},
        {"mask": 0, "bounds": [0, 0, 64, 64], "positive": ""},
    ]
    workflow = {
        "kind": "generate",
        "images": EXTENT,
        "image_data": {"base64": base64.b64encode(first + second + empty).decode(), "offsets": offsets},
        "sampling": SAMPLING,
        "conditioning": {"positive": "a field", "style": "oil", "regions": regions},
    }
    order(client, workflow)
    request = last_job(client)["request"]
    assert [one["words"] for one in request["regions"]] == ["a cat, oil", "a tree, oil"]
    masks = [make_region_mask(one["region"], 8, 8)[0].tolist() for one in request["regions"]]
    assert masks == [[1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1]]
    assert request["method"]["kind"] == "native"


GRAPH = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 5,
            "steps": 2,
            "cfg": 4,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "mini"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "rain", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["8", 0]}},
}


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_a_graph_of_comfyui_is_drawn_under_the_id_of_its_client(client, prefix):
    told = client.post(f"{prefix}/prompt", json={"prompt": GRAPH, "client_id": "c", "prompt_id": f"mine{prefix[1:]}"})
    prompt_id = told.json()["prompt_id"]
    assert prompt_id == f"mine{prefix[1:]}"
    history = wait(lambda: client.get(f"{prefix}/history/{prompt_id}").json(), bool)[prompt_id]
    image = history["outputs"]["9"]["images"][0]
    assert Image.open(io.BytesIO(client.get(f"{prefix}/view", params=image).content)).size == (16, 16)
    request = last_job(client)["request"]
    assert (request["prompt"], request["negative"], request["sampler"], request["guidance"]) == (
        "a dog",
        "rain",
        "Euler",
        4,
    )


# The test client has another name for us otherwise.
SOCKETS = ADDRESS.replace("http", "ws")


def hear(client, graph, *, name, path="/ws", **more):
    """Return what a client hears of a graph until it ends, texts and pictures apart, and the status at its begin."""
    with client.websocket_connect(f"{SOCKETS}{path}?clientId={name}") as socket:
        first = socket.receive_json()
        told = client.post("/prompt", json={"prompt": graph, "client_id": name, **more}).json()
        heard, pictures = [], []
        while not heard or heard[-1] != {"type": "executing", "data": {"node": None, "prompt_id": told["prompt_id"]}}:
            message = socket.receive()
            if message.get("bytes"):
                pictures.append(message["bytes"])
            else:
                heard.append(json.loads(message["text"]))
        return first, heard, pictures


def write_graph(prompt, steps=2):
    words = {"class_type": "CLIPTextEncode", "inputs": {"text": prompt, "clip": ["4", 1]}}
    return GRAPH | {"6": words, "3": GRAPH["3"] | {"inputs": GRAPH["3"]["inputs"] | {"steps": steps}}}


@pytest.mark.parametrize("path", ["/ws", "/api/ws"])
def test_a_client_of_comfyui_hears_its_graph_in_the_order_of_that_server(client, path):
    first, heard, pictures = hear(client, write_graph("0.3", steps=6), name=f"hears{len(path)}", path=path)
    assert (first["type"], first["data"]["sid"]) == ("status", f"hears{len(path)}")
    kinds = list(dict.fromkeys(message["type"] for message in heard if message["type"] != "status"))
    order = ["execution_start", "execution_cached", "executing", "progress_state", "progress", "executed"]
    assert (kinds, pictures) == ([*order, "execution_success"], [])
    bars = [message["data"] for message in heard if message["type"] == "progress"]
    assert {(bar["node"], bar["max"]) for bar in bars} == {("3", 6)}
    assert [bar["value"] for bar in bars] == sorted({bar["value"] for bar in bars})
    nodes = [message["data"]["node"] for message in heard if message["type"] == "executing"]
    assert nodes == ["3", "9", None]
    output = next(message["data"]["output"] for message in heard if message["type"] == "executed")
    assert client.get("/view", params=output["images"][0]).status_code == 200
    # The usual client stops at this, and reads the history next.
    assert [one["data"]["status"]["exec_info"]["queue_remaining"] for one in heard if one["type"] == "status"][-1] == 0


def test_a_client_of_comfyui_gets_pictures_on_the_way_when_it_asks(client):
    more = {"extra_data": {"preview_method": "auto"}}
    _, _, pictures = hear(client, write_graph("0.4", steps=8), name="looks", **more)
    assert pictures
    assert pictures[0][:8] == bytes([0, 0, 0, 1, 0, 0, 0, 1])
    assert Image.open(io.BytesIO(pictures[0][8:])).format == "JPEG"


def test_a_client_of_comfyui_that_comes_late_hears_all_and_errors_have_words(client):
    told = client.post("/prompt", json={"prompt": write_graph("refuse"), "client_id": "late"}).json()
    wait(lambda: client.get(f"/history/{told['prompt_id']}").json(), bool)
    with client.websocket_connect(f"{SOCKETS}/ws?clientId=late") as socket:
        heard = [socket.receive_json() for _ in range(6)]
    assert [one["type"] for one in heard[:4]] == ["execution_start", "execution_cached", "executing", "execution_error"]
    error = heard[3]["data"]
    assert (error["node_id"], error["node_type"], error["traceback"]) == ("3", "KSampler", [])
    assert "gave no numbers" in error["exception_message"]
    assert heard[5] == {"type": "executing", "data": {"node": None, "prompt_id": told["prompt_id"]}}


def test_a_graph_is_interrupted_by_its_name(client):
    with client.websocket_connect(f"{SOCKETS}/ws?clientId=stops") as socket:
        told = client.post("/prompt", json={"prompt": write_graph("0.1", steps=50), "client_id": "stops"}).json()
        while socket.receive_json()["type"] != "progress":
            pass
        running = client.get("/queue").json()["queue_running"]
        assert running[0][1] == told["prompt_id"]
        client.post("/interrupt", json={"prompt_id": "another"})
        assert client.get("/queue").json()["queue_running"]
        client.post("/interrupt", json={"prompt_id": told["prompt_id"]})
        while (message := socket.receive_json())["type"] != "execution_interrupted":
            assert message["type"] != "execution_success"
    assert message["data"]["prompt_id"] == told["prompt_id"]


def test_other_nodes_are_refused_by_name_and_pictures_come_from_uploads(client):
    strange = GRAPH | {"10": {"class_type": "IPAdapter", "inputs": {}}}
    told = client.post("/prompt", json={"prompt": strange})
    assert (told.status_code, "IPAdapter" in told.json()["error"]["details"]) == (400, True)
    assert set(told.json()["node_errors"]) == {"10"}
    assert "name" not in client.post("/upload/image", json={}).json()
    bare = client.post("/upload/image", files={"image": ("a.png", pack())}).json()
    sent = client.post("/api/upload/image", files={"image": ("a.png", pack())}).json()
    assert sent == bare
    graph = GRAPH | {
        "5": {"class_type": "VAEEncode", "inputs": {"pixels": ["11", 0], "vae": ["4", 2]}},
        "11": {"class_type": "LoadImage", "inputs": {"image": sent["name"]}},
    }
    assert client.post("/prompt", json={"prompt": graph}).status_code == 200
    assert last_job(client)["source"] == "image"
    ring = GRAPH | {"4": {"class_type": "LoraLoader", "inputs": {"model": ["4", 0], "lora_name": "x"}}}
    for wrong in (ring, {"9": GRAPH["9"]}, {}, {str(number): {} for number in range(300)}):
        assert client.post("/prompt", json={"prompt": wrong}).status_code == 400
    assert client.get("/view", params={"filename": "../queue.sqlite"}).status_code == 404
    assert client.get("/object_info/CheckpointLoaderSimple").json()["CheckpointLoaderSimple"]["input"]["required"]


def test_auto_sd_paint_gets_its_lists_and_a_mask_as_transparency(client):
    config = client.get("/sdapi/interpause/config").json()
    assert all(config[name] for name in ("upscalers", "samplers", "samplers_img2img", "face_restorers", "sd_models"))
    assert config["scripts_txt2img"] == {"None": []}
    body = {"prompt": "a dog", "orig_width": 64, "orig_height": 64, "steps": 2, "seed": 3, "sampler_name": "Euler a"}
    told = client.post("/sdapi/interpause/txt2img", json=body).json()
    assert json.loads(told["info"])["all_seeds"] == [3]
    body |= {"src_img": encode(), "mask_img": encode(colour=(255, 255, 255)), "is_inpaint": True, "inpainting_fill": 1}
    told = client.post("/sdapi/interpause/img2img", json=body | {"denoising_strength": 0.5}).json()
    assert Image.open(io.BytesIO(base64.b64decode(told["outputs"][0]))).mode == "RGBA"
    hidden = client.post("/sdapi/interpause/txt2img", json=body, headers={"X-Encrypted-Body": "XOR"})
    assert hidden.status_code == 415


def test_auto_photoshop_finds_its_routes(client):
    base = "/sdapi/auto-photoshop-sd"
    assert client.get(f"{base}/heartbeat").json() == {"heartbeat": True}
    assert client.get(f"{base}/vae/list").json() == []
    grown = client.post(f"{base}/mask/expansion/", json={"mask": encode(), "mask_expansion": 4}).json()
    assert Image.open(io.BytesIO(base64.b64decode(grown["mask"]))).size == (64, 64)
    assert client.post(f"{base}/search/image/", json={"keywords": "dog"}).status_code == 501
    assert client.get("/controlnet/model_list").json() == {"model_list": []}
    assert client.get("/controlnet/module_list", params={"alias_names": True}).json()["module_list"] == [
        "none",
        "canny",
    ]
    body = {"prompt": "a dog", "seed": "7", "sampler_index": "Euler a", "width": 64, "height": 64, "steps": 2}
    told = client.post("/sdapi/v1/txt2img", json=body | {"mask_blur": 4, "selection_info": {}, "uniqueDocumentId": "x"})
    picture = {"image": "data:image/png;base64," + told.json()["images"][0]}
    assert client.post("/sdapi/v1/png-info", json=picture).json()["info"]


def test_ai_render_draws_and_enlarges(client):
    body = {
        "prompt": "a dog",
        "width": 64,
        "height": 64,
        "image_similarity": 0.4,
        "seed": 7,
        "steps": 2,
        "cfg_scale": 7,
    }
    body |= {"sampler": "Euler a", "denoising_strength": 0.6, "sampler_index": "Euler a"}
    body |= {"init_images": ["data:image/png;base64," + encode()]}
    assert client.post("/sdapi/v1/img2img", json=body).json()["images"]
    names = [row["name"] for row in client.get("/sdapi/v1/upscalers").json()]
    assert {"ESRGAN_4x", "None"} <= set(names)
    wrong = client.post("/sdapi/v1/img2img", json=body | {"sampler_index": "Nobody"})
    assert (wrong.status_code, wrong.json()["detail"]) == (404, "Sampler not found")


def test_open_webui_and_sillytavern_ask_and_draw(client):
    options = client.get("/sdapi/v1/options").json()
    assert client.post("/sdapi/v1/options", json=options | {"sd_model_checkpoint": "mini"}).status_code == 200
    body = {"prompt": "a dog", "batch_size": 1, "width": 64, "height": 64, "steps": 2}
    told = client.post("/sdapi/v1/txt2img", json=body, headers={"authorization": ""}).json()
    assert json.loads(told["info"])["all_seeds"]
    for name in ("upscalers", "latent-upscale-modes", "sd-vae", "samplers", "schedulers", "sd-models"):
        assert client.get(f"/sdapi/v1/{name}").status_code == 200
    tavern = body | {"override_settings": {"CLIP_stop_at_last_layers": 1, "sd_vae": ""}, "save_images": True}
    tavern |= {"enable_hr": False, "hr_upscaler": "Latent", "hr_scale": 2, "denoising_strength": 0.7}
    assert client.post("/sdapi/v1/txt2img", json=tavern).status_code == 200
    assert client.get("/sdapi/v1/progress").json()["state"]["job_count"] == 0
