"""What holds for every request: JSON, hash and infotext round-trip."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sfumato.core.errors import SfumatoError
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.read import parse_infotext
from sfumato.core.metadata.write import WeightDigests, write_infotext
from sfumato.core.request import (
    GobigMethod,
    ImageSource,
    InpaintSource,
    LoraRef,
    MultidiffusionMethod,
    NativeMethod,
    RenderRequest,
    TextSource,
)
from sfumato.core.serialize import canonical_text, parse_json

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
names = words.filter(bool)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
shares = st.floats(0, 1)
sizes = st.builds(PixelSize, st.integers(1, 9999), st.integers(1, 9999))
sources = st.one_of(
    st.builds(TextSource),
    st.builds(ImageSource, path=names, sha256=digests, strength=shares),
    st.builds(InpaintSource, path=names, sha256=digests, mask=names, mask_sha256=digests, strength=shares),
)
methods = st.one_of(
    st.builds(NativeMethod),
    st.builds(
        GobigMethod, upscaler=names, upscale=st.floats(1.1, 4), strength=shares, steps=st.none() | st.integers(1, 99)
    ),
    st.builds(MultidiffusionMethod, window=st.none() | sizes, overlap=st.floats(0, 0.9)),
)
requests = st.builds(
    RenderRequest,
    prompt=words,
    negative=words,
    size=sizes,
    seed=st.integers(0, 2**63),
    steps=st.integers(1, 1000),
    guidance=st.floats(0, 30) | st.integers(0, 30),
    model=names,
    vae=st.none() | names,
    loras=st.lists(st.builds(LoraRef, path=names, weight=st.floats(-2, 2)), max_size=2).map(tuple),
    embeddings=st.lists(names, max_size=2).map(tuple),
    source=sources,
    method=methods,
)


@given(requests)
def test_json_text_round_trips(request):
    text = canonical_text(request.to_json())
    back = RenderRequest.from_json(parse_json(text, what="it"))
    assert back == request
    assert back.request_hash() == request.request_hash()
    assert canonical_text(back.to_json()) == text


@given(requests, requests)
def test_different_requests_have_different_hashes(first, second):
    assert (first == second) == (first.request_hash() == second.request_hash())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@given(requests, st.sampled_from(sorted(RenderRequest.__dataclass_fields__)), json_values)
def test_any_json_in_any_field_is_a_request_or_an_error_of_ours(request, name, value):
    try:
        made = RenderRequest.from_json(request.to_json() | {name: value})
    except SfumatoError as error:
        json.dumps(error.to_json())
    else:
        assert RenderRequest.from_json(made.to_json()) == made


@given(requests)
def test_settings_line_reads_back(request):
    pairs = parse_infotext(write_infotext(request, WeightDigests())).pairs
    assert (pairs["Seed"], pairs["Steps"], pairs["Size"]) == (str(request.seed), str(request.steps), str(request.size))


@given(words)
def test_any_text_is_taken_apart_without_an_error(text):
    parse_infotext(text)
