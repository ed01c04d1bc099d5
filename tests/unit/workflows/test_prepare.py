"""A request says how its pixels are computed: once the machine has chosen, in the request and in the picture, and obeyed."""

from dataclasses import replace

import pytest

import sfumato
from bundles import tiny_mini
from sfumato.canvas.formats.images import read_request
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.core.request_parts.arithmetic import Arithmetic
from sfumato.models.hardware.policy import choose_policy
from sfumato.workflows.prepare import prepare
from sfumato.workflows.run_options import RunOptions

SHORT = Arithmetic(number_type="bf16", attention="blocked")


@pytest.fixture(scope="module")
def model():
    return sfumato.load(tiny_mini(), device="cpu", dtype="fp32")


def make(**more):
    return RenderRequest(prompt="a house", size=PixelSize(64, 64), steps=2, model=str(tiny_mini()), **more)


def test_the_machine_chooses_once_and_the_request_says_it():
    job = prepare(make(), RunOptions(device="cpu"))
    assert job.request.arithmetic == job.policy.arithmetic == choose_policy("cpu").arithmetic


def test_a_stored_choice_is_stronger_than_the_machine_and_the_settings(monkeypatch):
    monkeypatch.setenv("SFUMATO_DTYPE", "fp32")
    job = prepare(make(arithmetic=SHORT), RunOptions(device="cpu"))
    assert (job.request.arithmetic, job.policy.unet, job.policy.attention) == (SHORT, "bf16", "blocked")


def test_the_setting_reaches_the_library(monkeypatch):
    monkeypatch.setenv("SFUMATO_DTYPE", "bf16")
    assert sfumato.load(tiny_mini(), device="cpu").arithmetic.number_type == "bf16"


def test_a_loaded_model_refuses_other_numbers(model):
    with pytest.raises(RequestError, match="other numbers"):
        model.render(request=make(arithmetic=replace(model.arithmetic, number_type="bf16")))


def test_a_picture_repeats_its_bytes_whatever_the_machine_would_choose_now(model, tmp_path, monkeypatch):
    # A method that can be resumed.
    request = replace(make(method=CohesiveMethod(predict=False)), size=PixelSize(128, 96))
    first = model.render(request=request, out=tmp_path / "a.png")
    stored = read_request(tmp_path / "a.png")
    assert stored.arithmetic == model.arithmetic
    monkeypatch.setenv("SFUMATO_DTYPE", "bf16")
    again = sfumato.render(request=stored, model=tiny_mini())
    assert again.image.tobytes() == first.image.tobytes()
    # Finished work is found, though a new picture would be computed in another way.
    monkeypatch.setenv("SFUMATO_DTYPE", "auto")
    assert prepare(request, RunOptions(device="cpu", out=tmp_path / "a.png", resume=True)).finished == (True,)
