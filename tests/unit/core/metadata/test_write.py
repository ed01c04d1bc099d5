"""The `parameters` text: ours as others expect it, theirs as we read it."""

from dataclasses import replace

from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.read import parse_infotext
from sfumato.core.metadata.write import WeightDigests, write_infotext, write_metadata
from sfumato.core.request import GobigMethod, ImageSource, RenderRequest

REQUEST = RenderRequest(prompt="a cat", size=PixelSize(512, 768), steps=30, seed=5, sampler="dpmpp_2m", clip_skip=2)


def test_the_last_line_has_the_known_keys_in_the_known_order():
    last = write_infotext(REQUEST, WeightDigests()).splitlines()[-1]
    assert last.startswith(
        "Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 5, Size: 512x768, Model: mini, Clip skip: 2"
    )


def test_the_schedule_has_the_name_that_means_the_same_elsewhere():
    pairs = parse_infotext(write_infotext(replace(REQUEST, schedule="model"), WeightDigests())).pairs
    assert pairs["Schedule type"] == "Uniform"


def test_an_empty_negative_has_no_line():
    assert "Negative" not in write_infotext(REQUEST, WeightDigests())


def test_digests_are_cut_to_what_others_show():
    digests = WeightDigests(model="a" * 64, loras=(("one", "b" * 64), ("two", "c" * 64)))
    pairs = parse_infotext(write_infotext(REQUEST, digests)).pairs
    assert pairs["Model hash"] == "a" * 10
    assert pairs["Lora hashes"] == f"one: {'b' * 12}, two: {'c' * 12}"


def test_strength_and_method_are_told():
    request = RenderRequest(
        prompt="x",
        size=PixelSize(64, 64),
        source=ImageSource(path="a.png", sha256="0" * 64, strength=0.3),
        method=GobigMethod(upscaler="nets/4x.safetensors"),
    )
    pairs = parse_infotext(write_metadata(request)["parameters"]).pairs
    assert (pairs["Denoising strength"], pairs["Method"], pairs["Upscaler"]) == ("0.3", "gobig", "4x")


def test_text_of_another_tool_is_taken_apart():
    text = (
        "a cat,\non two lines: really\nNegative prompt: bad,\nworse\n"
        'Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Hires prompt: "a, b: \\"c\\"", Version: v1.10.1'
    )
    found = parse_infotext(text)
    assert (found.prompt, found.negative) == ("a cat,\non two lines: really", "bad,\nworse")
    assert found.pairs["Hires prompt"] == 'a, b: "c"'
    assert found.pairs["Version"] == "v1.10.1"


def test_a_last_line_with_few_pairs_belongs_to_the_prompt():
    found = parse_infotext("a sign that says\nopen: yes, closed: no")
    assert found.prompt.endswith("closed: no")
    assert found.pairs == {}
