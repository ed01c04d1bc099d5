"""A part of a picture of mini is drawn from words of its own, and the request says so."""

import numpy as np
import pytest

import sfumato
from sfumato import api
from sfumato.core.errors import RequestError
from sfumato.core.prompt.region import pack_region
from sfumato.core.request import RenderRequest
from sfumato.core.request_parts.weights import PromptRegion

SAID = {"seed": 2, "steps": 2, "guidance": 3.0, "sampler": "Euler", "size": (128, 64)}


@pytest.fixture(scope="module")
def model():
    return sfumato.load("mini", dtype="fp32")


def draw(model, prompt, **more):
    picture = model.render(prompt, **SAID, **more)
    return picture, np.asarray(picture.image, dtype=np.float64)


def test_words_of_a_part_are_drawn_there_and_only_there(model):
    _, house = draw(model, "a red house")
    _, sea = draw(model, "the sea")
    _, everywhere = draw(model, "a red house", regions=("0,0,1,1:the sea",))
    assert np.abs(everywhere - sea).max() <= 2
    picture, left = draw(model, "a red house", regions=("left:the sea",))
    changed = np.abs(left - house).mean(axis=(0, 2))
    assert changed[:48].mean() > 2 * changed[80:].mean()
    assert RenderRequest.from_json(picture.request.to_json()).regions == (PromptRegion(region="left", words="the sea"),)
    _, again = draw(model, "a red house")
    assert np.array_equal(again, house)


def test_the_text_of_a_mask_comes_back():
    region = pack_region(np.eye(32, dtype=np.float32))
    assert PromptRegion.parse(f"{region}: a cat: red") == PromptRegion(region=region, words="a cat: red")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"regions": ("left:",)}, "words of a region"),
        ({"regions": ("nowhere:a cat",)}, "no region"),
        ({"regions": ("auto:a cat",)}, "a side or a box"),
        ({"regions": ("left:a cat",) * 17}, "number of regions"),
    ],
)
def test_regions_that_are_none_are_refused(more, words):
    with pytest.raises(RequestError, match=words):
        api.make_request(api.RequestValues(prompt="a field", **more), api.load_contract("mini"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"regions": ("left:a cat",), "size": (512, 512)}, "in one piece"),
        ({"regions": ("left:a cat AND a dog",)}, "one prompt"),
        ({"regions": ("left:a cat",), "focus": "face"}, "exclude passes"),
        ({"regions": ("left:" + "a cat, " * 60,)}, "longer than the prompt"),
    ],
)
def test_regions_without_a_place_are_refused(model, more, words):
    with pytest.raises(RequestError, match=words):
        model.render("a field", **{"size": (64, 64), "steps": 1} | more)
