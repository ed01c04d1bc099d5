"""Texts as several tools write them, and texts as nobody should."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.read import parse_infotext, parse_pairs, read_parameters
from sfumato.core.metadata.write import WeightDigests, write_infotext
from sfumato.core.request import RenderRequest

A1111 = """masterpiece, (a "small" house:1.2), <lora:style:0.8>
on a hill: at dusk
Negative prompt: blurry, text:
worst quality
Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 1234567890123, Size: 832x1216, \
Model hash: 0123456789, Model: photo real, v2, VAE hash: abcdef0123, VAE: vae.safetensors, \
Denoising strength: 0.4, Clip skip: 2, Hires upscale: 1.5, Hires steps: 10, Hires upscaler: R-ESRGAN 4x+, \
Lora hashes: "style: 0011223344, other one: aabbccddee", Hires prompt: "a, b: \\"c\\"\\nd", \
ADetailer model: face_yolov8n.pt, Version: v1.10.1"""


def test_a_full_text_is_read():
    found = read_parameters(A1111)
    assert found.prompt == 'masterpiece, (a "small" house:1.2), <lora:style:0.8>\non a hill: at dusk'
    assert found.negative == "blurry, text:\nworst quality"
    assert (found.steps, found.sampler, found.schedule, found.guidance) == (28, "DPM++ 2M", "Karras", 6.5)
    assert (found.seed, found.size) == (1234567890123, PixelSize(832, 1216))
    # An unquoted value holds commas where no key follows.
    assert (found.model, found.model_hash, found.vae) == ("photo real, v2", "0123456789", "vae.safetensors")
    assert (found.clip_skip, found.strength, found.version) == (2, 0.4, "v1.10.1")
    assert found.lora_hashes == {"style": "0011223344", "other one": "aabbccddee"}
    assert found.hires == {"upscale": "1.5", "steps": "10", "upscaler": "R-ESRGAN 4x+", "prompt": 'a, b: "c"\nd'}
    assert found.others == {"VAE hash": "abcdef0123", "ADetailer model": "face_yolov8n.pt"}


def test_json_values_and_pairs_on_several_lines_are_read():
    text = (
        'a cat\nSteps: 20, Sampler: Euler a, Seed: 1, Hashes: {"vae": "a", "model": "b"},\n'
        'Civitai resources: [{"type": "checkpoint", "air": "x:1, 2"}], CFG scale: 7\nTemplate: a {b}, c'
    )
    found = read_parameters(text)
    assert (found.prompt, found.guidance) == ("a cat", 7.0)
    assert json.loads(found.others["Hashes"]) == {"vae": "a", "model": "b"}
    assert found.others["Civitai resources"].endswith("]")
    assert found.others["Template"] == "a {b}, c"


@pytest.mark.parametrize(
    ("text", "prompt", "negative"),
    [
        ("a cat", "a cat", ""),
        ("", "", ""),
        ("Negative prompt: bad\nSteps: 1, Sampler: x, Seed: 2", "", "bad"),
        ("Steps: 1, Sampler: x, Seed: 2", "", ""),
        ("a sign: open\nSteps: 1, Sampler: x, Seed: 2", "a sign: open", ""),
        ("Steps: to heaven\na cat\nSteps: 1, Sampler: x, Seed: 2", "Steps: to heaven\na cat", ""),
        ("a cat\r\nNegative prompt: bad\r\nSteps: 1, Sampler: x, Seed: 2", "a cat", "bad"),
        ("a sign that says\nopen: yes, closed: no", "a sign that says\nopen: yes, closed: no", ""),
    ],
)
def test_prompt_and_negative_are_told_from_the_pairs(text, prompt, negative):
    found = read_parameters(text)
    assert (found.prompt, found.negative) == (prompt, negative)


@pytest.mark.parametrize(
    "pair",
    ["Steps: many", "Seed: 1.5", "CFG scale: nan", "CFG scale: 1e999", "Size: big", "Size: 0x4", "Seed: " + "9" * 5000],
)
def test_a_value_that_does_not_fit_is_listed_and_harms_no_other(pair):
    key, value = pair.split(": ")
    rest = {"Steps": "Steps: 3", "Seed": "Seed: 4", "Sampler": "Sampler: Euler", "Clip skip": "Clip skip: 2"}
    rest.pop(key, None)
    found = read_parameters("a\n" + ", ".join([*rest.values(), pair]) + "\n")
    assert found.others == {key: value}
    assert found.clip_skip == 2
    json.dumps(found.to_json(), allow_nan=False)


@given(st.text())
def test_any_text_is_accepted(text):
    for words in (text, f"a\nSteps: {text}", f"a\nSteps: 1, Sampler: x, Seed: {text}, Size: 1x1"):
        json.dumps(read_parameters(words).to_json(), allow_nan=False)


@given(st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=40))
def test_a_model_of_any_name_comes_back_from_our_own_text(name):
    request = RenderRequest(prompt="x", size=PixelSize(8, 8), model=f"m{name}/m{name}".replace("\0", ""))
    found = read_parameters(write_infotext(request, WeightDigests()))
    assert (found.steps, found.seed, found.size) == (request.steps, request.seed, request.size)


@pytest.mark.parametrize(
    "filling",
    ["a", "a ", "a:", "a: ", ", ", "a: b, ", '"', 'a: "', 'a: ["', "a: [", "a: [[", '\\"', "\n", "a:\n", "é, "],
)
def test_time_is_linear(filling):
    text = "x\nSteps: 1, Sampler: x, Seed: 1, Y: " + filling * (1_000_000 // len(filling))
    began = time.process_time()
    read_parameters(text)
    parse_pairs(text)
    parse_infotext(text)
    assert time.process_time() - began < 10
