"""With `seamless` the sides of a picture of mini meet as its inner columns do, and only the sides that are named."""

from dataclasses import replace

import numpy as np
import pytest

import sfumato
from sfumato import api
from sfumato.core.errors import RequestError
from sfumato.core.focus import FocusSettings
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, MultidiffusionMethod, RenderRequest
from sfumato.render.plan.choose_method import check_request


@pytest.fixture(scope="module")
def model():
    return sfumato.load("mini", dtype="fp32")


def draw(model, **more):
    said = {"seed": 3, "steps": 3, "guidance": 1.0, "sampler": "Euler", "size": (128, 128)} | more
    return model.render("a brick wall", **said)


def measure(picture, axis):
    """Return how much the seam differs over what neighbours inside differ, at most and in the mean."""
    values = np.moveaxis(np.asarray(picture.image, dtype=np.float64), axis, 0)
    inner = np.abs(np.diff(values, axis=0)).mean(axis=(1, 2))
    seam = np.abs(values[0] - values[-1]).mean()
    return seam / inner.max(), seam / inner.mean()


def test_both_sides_meet_and_the_request_says_so(model):
    plain, picture = draw(model), draw(model, seamless="both")
    for axis in (0, 1):
        assert measure(picture, axis)[0] <= 1.0
        assert measure(picture, axis)[1] < 0.8 * measure(plain, axis)[1]
    assert picture.request.to_json()["seamless"] == "both"
    assert "seamless" not in plain.request.to_json()
    assert RenderRequest.from_json(picture.request.to_json()) == picture.request
    # The network is as it was.
    assert np.array_equal(np.asarray(draw(model).image), np.asarray(plain.image))


def test_windows_go_around_the_edge_of_a_larger_picture(model):
    picture = draw(model, size=(256, 128), seamless="x")
    assert picture.request.method == MultidiffusionMethod()
    assert any(box.right > 32 for box in picture.plan.stages[-1].windows)
    assert measure(picture, 1)[0] <= 1.0


WALL = RenderRequest(prompt="a wall", size=PixelSize(128, 128), seamless="both")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": CohesiveMethod(), "size": PixelSize(512, 512)}, "cohesive draws no `seamless`"),
        ({"size": PixelSize(128, 136)}, "multiple of 64"),
        ({"focus": FocusSettings(words=("face",))}, "would not meet"),
    ],
)
def test_what_would_break_the_seam_is_refused(changes, words):
    with pytest.raises(RequestError, match=words):
        check_request(replace(WALL, **changes), api.load_contract("mini"))
    check_request(replace(WALL, size=PixelSize(128, 136), seamless="x"), api.load_contract("mini"))


def test_other_words_are_refused():
    with pytest.raises(RequestError, match="off, x, y or both"):
        replace(WALL, seamless="xy")
