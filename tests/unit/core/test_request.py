"""The request: ranges, tags and what is refused."""

import dataclasses
import math

import pytest

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import (
    Arithmetic,
    CohesiveMethod,
    GobigMethod,
    ImageSource,
    InpaintSource,
    LoraRef,
    MultidiffusionMethod,
    PictureSource,
    RenderRequest,
)

DIGEST = "ab" * 32
PLAIN = RenderRequest(prompt="a cat", size=PixelSize(512, 512))
FULL = RenderRequest(
    prompt="a cat, (red:1.2)\nBREAK café",
    negative="blurry",
    size=PixelSize(1024, 576),
    seed=2**63,
    loras=(LoraRef(path="a.safetensors", weight=0.5),),
    embeddings=("bad.safetensors",),
    vae="v.safetensors",
    source=InpaintSource(path="i.png", sha256=DIGEST, mask="m.png", mask_sha256=DIGEST, strength=0.4),
    method=MultidiffusionMethod(window=PixelSize(512, 512), overlap=0.75),
)


GROWN = dataclasses.replace(
    FULL, source=PictureSource(path="i.png", sha256=DIGEST, size=PixelSize(300, 200)), method=CohesiveMethod()
)


@pytest.mark.parametrize("request_", [PLAIN, FULL, GROWN, dataclasses.replace(FULL, method=GobigMethod(steps=12))])
def test_json_round_trip(request_):
    back = RenderRequest.from_json(request_.to_json())
    assert back == request_
    assert back.request_hash() == request_.request_hash()


def test_hash_is_stable_between_versions():
    # A change here means that stored requests change their name: say so in the log when it is meant.
    assert PLAIN.request_hash() == "de4277430cfa9ccacc036578f540e61e3d980f044d173322aaca8b98047b004b"


def test_equal_requests_have_equal_hashes():
    whole = dataclasses.replace(PLAIN, guidance=7)
    assert whole == PLAIN
    assert whole.request_hash() == PLAIN.request_hash()
    assert dataclasses.replace(PLAIN, guidance_rescale=-0.0).request_hash() == PLAIN.request_hash()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", 2**64),
        ("seed", 1.5),
        ("seed", True),
        ("steps", 0),
        ("steps", 10**9),
        ("guidance", math.nan),
        ("guidance", math.inf),
        ("guidance", -1.0),
        ("guidance_rescale", 1.1),
        ("clip_skip", 0),
        ("batch", 10**6),
        ("size", PixelSize(10**9 - 1, 8)),
        ("prompt", "x" * 1_000_000),
        ("prompt", "a\0b"),
        ("prompt", "\ud800"),
        ("prompt", None),
        ("sampler", ""),
        ("model", ""),
        ("vae", ""),
    ],
)
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(RequestError):
        dataclasses.replace(PLAIN, **{name: value})


def test_last_seed_of_a_batch_has_to_exist():
    with pytest.raises(RequestError):
        dataclasses.replace(PLAIN, seed=2**64 - 2, batch=3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ImageSource(path="i.png", sha256="abc"),
        lambda: ImageSource(path="", sha256=DIGEST),
        lambda: ImageSource(path="i.png", sha256=DIGEST, strength=1.5),
        lambda: InpaintSource(path="i.png", sha256=DIGEST, mask="m.png", mask_sha256="x"),
        lambda: PictureSource(path="i.png", sha256="abc", size=PixelSize(8, 8)),
        lambda: dataclasses.replace(GROWN, method=GobigMethod()),
        lambda: LoraRef(path="a", weight=math.nan),
        lambda: Arithmetic(number_type="int8"),
        lambda: Arithmetic(number_type="fp32", attention="xformers"),
        lambda: GobigMethod(upscale=1.0),
        lambda: GobigMethod(steps=0),
        lambda: MultidiffusionMethod(overlap=1.0),
    ],
)
def test_parts_check_themselves(make):
    with pytest.raises(RequestError):
        make()


def edited(**changes):
    return PLAIN.to_json() | changes


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (edited(extra=1), "the request has unknown keys"),
        (edited(source={"kind": "text", "path": "x"}), "the request.source has unknown keys"),
        (edited(source={"kind": "video"}), "the request.source has no known kind"),
        (edited(method=None), "the request.method has no known kind"),
        (edited(method={"kind": "gobig", "strength": "high"}), "the request.method.strength"),
        (edited(loras=[{"path": 7}]), r"the request.loras\[0\].path"),
        (edited(loras="a"), "the request.loras has to be a list"),
        (edited(seed="7"), "the request.seed"),
        (edited(steps=True), "the request.steps"),
        (edited(size="huge"), "a size is written"),
        (edited(kind="plan"), "has to have the kind 'render'"),
        ({"kind": "render", "prompt": "x"}, r"lacks keys .*size"),
        ([], "has to be an object"),
        (None, "has to be an object"),
    ],
)
def test_json_that_is_not_a_request_says_where(value, place):
    with pytest.raises(RequestError, match=place):
        RenderRequest.from_json(value)


@pytest.mark.parametrize("said", ["epsilon", "v"])
def test_what_a_checkpoint_predicts_is_part_of_a_request(said):
    request_ = dataclasses.replace(PLAIN, prediction=said)
    assert RenderRequest.from_json(request_.to_json()) == request_
    assert request_.request_hash() != PLAIN.request_hash()
    assert "prediction" not in PLAIN.to_json()
    with pytest.raises(RequestError):
        dataclasses.replace(PLAIN, prediction=said.upper())


def test_how_it_is_computed_is_part_of_a_request_once_it_is_known():
    request_ = dataclasses.replace(PLAIN, arithmetic=Arithmetic(number_type="bf16", attention="blocked", packed=True))
    assert RenderRequest.from_json(request_.to_json()) == request_
    assert request_.request_hash() != PLAIN.request_hash()
    assert "arithmetic" not in PLAIN.to_json()


def test_a_variation_needs_seed_and_strength_and_counts_the_variation_seed():
    plain = RenderRequest(prompt="x", size=PixelSize(64, 64), seed=5, batch=3)
    assert plain.choose_picture(2).seed == 7
    varied = dataclasses.replace(plain, variation_seed=9, variation_strength=0.25)
    assert (varied.choose_picture(2).seed, varied.choose_picture(2).variation_seed) == (5, 11)
    assert varied.request_hash() != plain.request_hash()
    for wrong in ({"variation_seed": 9}, {"variation_strength": 0.5}):
        with pytest.raises(RequestError, match="need each other"):
            dataclasses.replace(plain, **wrong)
