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
from sfumato.server.surfaces.job_body import JobBody
from sfumato.server.surfaces.openai import ImageBody

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
