"""One logical job is one request, whichever surface it came through: settings are drawn at random and compared.

The same request has the same pixels; `tests/journeys/test_serve.py` draws one. Start reading at `make_all`.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sfumato
from servers import forget_settings, make_context
from sfumato import api
from sfumato.cli.options import RenderOptions
from sfumato.cli.read_options import make_request as make_typed
from sfumato.server.surfaces.a1111.bodies import TextBody
from sfumato.server.surfaces.comfy_graph import compile_graph
from sfumato.server.surfaces.job_body import JobBody
from sfumato.server.surfaces.krita import read_workflow
from sfumato.server.surfaces.openai import ImageBody
from sfumato.server.surfaces.paint import PaintBody

SIDES = st.sampled_from([64, 128, 136, 256, 512])
JOBS = st.fixed_dictionaries(
    {
        "prompt": st.sampled_from(["a red house", "a (red:1.2) house AND a tree", "a watch, [a:b:0.5]"]),
        "seed": st.integers(0, 2**64 - 5),
        "width": SIDES,
        "height": SIDES,
    },
    optional={
        "steps": st.integers(1, 60),
        "guidance": st.floats(1.5, 20),
        "negative": st.sampled_from(["blur", "a dark sky"]),
        "sampler": st.sampled_from(["Euler a", "DPM++ 2M Karras", "UniPC", "k_euler_a", "DDIM"]),
        "batch": st.integers(1, 4),
    },
)
# our name -> the name in txt2img and in the Images API
A1111 = {"guidance": "cfg_scale", "negative": "negative_prompt", "sampler": "sampler_name", "batch": "batch_size"}
OPENAI = {"negative": "negative_prompt", "batch": "n"}


@pytest.fixture(scope="module")
def intake(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        room = tmp_path_factory.mktemp("server")
        forget_settings(patched, room)
        yield make_context(room).intake


def make_all(intake, job):
    """Return the request that each way makes of one job."""
    size = f"{job['width']}x{job['height']}"
    ours = {name: value for name, value in job.items() if name not in ("width", "height")} | {"size": size}
    typed = {name: value for name, value in ours.items() if name != "seed"} | {"seed": str(ours["seed"])}
    theirs = {A1111.get(name, name): value for name, value in job.items()} | {"scheduler": "automatic", "s_tmax": 0}
    images = {OPENAI.get(name, name): value for name, value in ours.items()} | {"quality": "high", "model": "dall-e-3"}
    return {
        "library": api.make_request(api.make_values(ours), api.load_contract("mini")),
        "command line": make_typed(RenderOptions(**typed)),
        "own": intake.make_request(JobBody(**ours).to_settings()),
        "a1111": intake.make_request(TextBody(**theirs | {"seed": str(job["seed"])}).to_settings({})),
        "openai": intake.make_request(ImageBody(**images).to_settings()),
    }


@given(job=JOBS)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_one_job_is_one_request_everywhere(intake, job):
    made = make_all(intake, job)
    assert len({request.request_hash() for request in made.values()}) == 1, made


def test_what_is_left_out_is_the_same_default_everywhere(intake):
    made = make_all(intake, {"prompt": "a house", "seed": 1, "width": 128, "height": 128})
    assert {request.steps for request in made.values()} == {sfumato.DEFAULTS.steps}
    assert len({request.request_hash() for request in made.values()}) == 1


def test_plug_ins_that_say_everything_mean_the_same_request(intake):
    words = {"prompt": "a red house", "negative": "rain", "seed": 7, "steps": 12, "guidance": 5.0, "size": "128x64"}
    wanted = intake.make_request({**words, "sampler": "DPM++ 2M", "schedule": "karras", "batch": 2, "model": "mini"})
    sampling = {"sampler": "dpmpp_2m", "scheduler": "karras", "cfg_scale": 5.0, "total_steps": 12, "seed": 7}
    workflow = {
        "kind": "generate",
        "images": {"extent": {"desired": [128, 64]}},
        "models": {"checkpoint": "mini"},
        "sampling": sampling,
        "conditioning": {"positive": "a red house", "negative": "rain"},
        "batch_count": 2,
    }
    _, krita = read_workflow(workflow, intake, {})
    body = {"prompt": "a red house", "negative_prompt": "rain", "seed": 7, "steps": 12, "cfg_scale": 5.0}
    paint = PaintBody(**body, sampler_name="DPM++ 2M", orig_width=128, orig_height=64, batch_count=2, sd_model="mini")
    text = {"class_type": "CLIPTextEncode"}
    links = {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0]}
    sample = {"seed": 7, "steps": 12, "cfg": 5.0, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0}
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "mini"}},
        "2": text | {"inputs": {"text": "a red house", "clip": ["1", 1]}},
        "3": text | {"inputs": {"text": "rain", "clip": ["1", 1]}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 64, "batch_size": 2}},
        "5": {"class_type": "KSampler", "inputs": sample | links},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "PreviewImage", "inputs": {"images": ["6", 0]}},
    }
    comfy = compile_graph(graph, str).settings
    for said in (krita, paint.to_settings(), comfy):
        assert intake.make_request(said).request_hash() == wanted.request_hash(), said
