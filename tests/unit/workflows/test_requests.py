"""Plain values become a request with one table of defaults, and a setting without effect is an error."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from fakes import CONTRACT
from sfumato.canvas.formats.images import file_sha256
from sfumato.cli.options import RenderOptions
from sfumato.cli.read_options import check_options, make_run_options, read_values
from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import (
    CohesiveMethod,
    GobigMethod,
    ImageSource,
    InpaintSource,
    LoraRef,
    NativeMethod,
    RenderRequest,
)
from sfumato.workflows.edit.sources import store_picture
from sfumato.workflows.requests import choose_upscale_size, make_request, make_upscale_request, read_lora, read_size
from sfumato.workflows.values import RequestValues, make_values


def ask(stored=None, contract=CONTRACT, **options):
    options = RenderOptions(**({} if stored else {"prompt": "a house", "seed": "1"}) | options)
    check_options(options)
    return make_request(read_values(options), contract, stored=stored)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "start.png"
    Image.new("RGB", (70, 90), (1, 2, 3)).save(path)
    return path


def test_defaults_are_a_native_picture():
    request = ask()
    assert (request.size, request.method, request.model) == (CONTRACT.native, NativeMethod(), "mini")


def test_a_large_size_takes_cohesive_and_its_options():
    assert ask(size="256x256").method == CohesiveMethod()
    asked = ask(size="256x256", level_strength=0.5, overlap=0.4, lock=0.2, detail=1.1).method
    assert asked == CohesiveMethod(strength=0.5, overlap=0.4, lock=0.2, detail=1.1)


def test_gobig_takes_its_options():
    assert ask(size="256x256", method="gobig").method == GobigMethod()
    asked = ask(size="256x256", method="gobig", slice_strength=0.5, overlap=0.4).method
    assert asked == GobigMethod(strength=0.5, overlap=0.4)


def test_every_plain_option_reaches_the_request():
    given = {
        "negative": "fog",
        "seed": "9",
        "steps": 3,
        "guidance": 2.5,
        "guidance_rescale": 0.5,
        "clip_skip": 2,
        "batch": 4,
    }
    request = ask(**given)
    assert {name: getattr(request, name) for name in given} == {**given, "seed": 9}


def test_what_suits_the_model_holds_until_something_is_asked_for():
    gentle = replace(CONTRACT, guidance=3.0, slice_strength=0.1)
    request = ask(contract=gentle, size="256x256", method="gobig")
    assert (request.guidance, request.method) == (3.0, GobigMethod(strength=0.1))
    asked = ask(contract=gentle, size="256x256", method="gobig", guidance=5.0, slice_strength=0.4)
    assert (asked.guidance, asked.method) == (5.0, GobigMethod(strength=0.4))
    # A stored request means the same picture whatever suits the model today.
    assert ask(stored=asked, contract=gentle, seed="9") == replace(asked, seed=9)


@pytest.mark.parametrize(
    ("options", "sampler", "schedule"),
    [
        ({"sampler": "DPM++ 2M Karras"}, "DPM++ 2M", "karras"),
        ({"sampler": "euler_a"}, "Euler a", "model"),
        ({"sampler": "Euler", "schedule": "trailing"}, "Euler", "trailing"),
        ({"schedule": "sgm uniform"}, "DPM++ 2M", "sgm_uniform"),
        ({}, "DPM++ 2M", "karras"),
    ],
)
def test_samplers_bring_their_schedule(options, sampler, schedule):
    request = ask(**options)
    assert (request.sampler, request.schedule) == (sampler, schedule)


def test_a_start_picture_gives_its_size_in_whole_cells(picture):
    request = ask(init=picture, strength=0.4)
    assert request.size == PixelSize(64, 88)
    assert request.source == ImageSource(path=str(picture), sha256=file_sha256(picture), strength=0.4)


def test_a_large_start_picture_takes_cohesive_and_a_masked_one_native(tmp_path):
    Image.new("RGB", (200, 200)).save(tmp_path / "a.png")
    assert ask(init=tmp_path / "a.png").method == CohesiveMethod()
    assert ask(init=tmp_path / "a.png", mask=tmp_path / "a.png").method == NativeMethod()


def test_a_mask_makes_it_inpainting(picture):
    Image.new("RGB", (72, 88)).save(picture)
    assert isinstance(ask(init=picture, mask=picture).source, InpaintSource)


def test_a_stored_request_is_repeated_and_changed():
    stored = ask(size="256x256", seed="5", sampler="Heun", method="gobig", slice_strength=0.5)
    assert ask(stored) == stored
    assert ask(stored, seed="6") == replace(stored, seed=6)
    assert ask(stored, prompt="a tree").prompt == "a tree"
    assert ask(stored, overlap=0.3).method == GobigMethod(strength=0.5, overlap=0.3)
    assert ask(stored, size="64x64").method == NativeMethod()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask": Path("m.png")}, "`mask` has no effect"),
        ({"strength": 0.5}, "`strength` has no effect"),
        ({"window": "64x64"}, "`window` has no effect with native"),
        ({"slice_strength": 0.5}, "`slice_strength` has no effect with native"),
        ({"overlap": 0.5, "method": "native"}, "`overlap` has no effect with native"),
        ({"upscaler": "x.safetensors", "method": "multidiffusion"}, "`upscaler` has no effect"),
        ({"preview_every": 2}, "`preview_every` has no effect"),
        ({"method": "demofusion"}, "unknown method"),
        ({"focus": "walls"}, "looks otherwise"),
        ({"focus": "a car!"}, "could look for"),
        ({"focus": "auto,face"}, "auto"),
        ({"focus": "off", "focus_box": ["1,2,3,4"]}, "no effect with `focus` off"),
        ({"focus_box": ["1,2,3"]}, "four whole numbers"),
        ({"anatomy": "mend"}, "off, check or repair"),
        ({"unrepaired": "withhold"}, "no effect"),
        ({"anatomy": "repair", "unrepaired": "hide"}, "flag or withhold"),
        ({"preview": Path("a.tif")}, "`preview` names no picture format"),
        ({"out": Path("a.gif")}, "names no picture format"),
        ({"size": "banana"}, "WIDTHxHEIGHT"),
        ({"size": "0x64"}, "at least 1"),
        ({"size": "-64x64"}, "WIDTHxHEIGHT"),
        ({"size": "99999999x64"}, "side of the picture"),
        ({"steps": 0}, "number of steps"),
        ({"seed": "-2"}, "seed"),
        ({"guidance": float("nan")}, "guidance"),
        ({"budget_gb": -1.0}, "`budget_gb`"),
        ({"prompt": None}, "nothing to draw"),
        ({"init": Path("none.png")}, "cannot be opened"),
        ({"sampler": "DPM++ 2M Karras", "schedule": "trailing"}, "asks for karras"),
    ],
)
def test_wrong_or_idle_options_are_refused(options, words):
    with pytest.raises(RequestError) as caught:
        ask(**options)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.webp", "a.tif", "a.TIFF", "a.dzi"])
def test_every_format_may_be_asked_for(name):
    assert ask(out=Path(name)) == ask()


def test_the_smallest_budget_is_a_budget(monkeypatch):
    monkeypatch.delenv("SFUMATO_BUDGET_GB", raising=False)
    options = RenderOptions(prompt="a house", out=Path("a.png"))
    for given, limit in ((1e-12, 1), (2.0, 2 * 1024**3), (None, None)):
        assert make_run_options(replace(options, budget_gb=given), Path("a.png")).budget_bytes == limit


def test_off_is_accepted():
    assert ask(focus="off", anatomy="off") == ask()


@pytest.mark.parametrize(
    ("text", "lora"),
    [
        ("a.safetensors", LoraRef(path="a.safetensors")),
        ("a.safetensors:0.5", LoraRef(path="a.safetensors", weight=0.5)),
        ("C:/a.safetensors", LoraRef(path="C:/a.safetensors")),
        ("a.safetensors:-1", LoraRef(path="a.safetensors", weight=-1.0)),
    ],
)
def test_a_weight_may_follow_a_lora(text, lora):
    assert read_lora(text) == lora


def test_an_empty_prompt_draws_nothing():
    with pytest.raises(RequestError, match="nothing to draw"):
        ask(prompt="")


def test_the_library_and_the_command_line_take_the_same_defaults():
    for size in (None, "256x256", "144x128"):
        typed = ask(size=size)
        called = make_request(make_values({"prompt": "a house", "seed": 1, "size": size}), CONTRACT)
        assert typed == called
    assert typed.guidance == CONTRACT.guidance
    assert (typed.steps, typed.sampler, typed.schedule) == (DEFAULTS.steps, DEFAULTS.sampler, DEFAULTS.schedule)


def test_defaults_of_a_stored_request_are_those_of_the_table():
    plain = RenderRequest(prompt="", size=CONTRACT.native)
    for name in ("steps", "sampler", "schedule", "guidance_rescale", "clip_skip", "batch", "model"):
        assert getattr(plain, name) == getattr(DEFAULTS, name)


@pytest.mark.parametrize("seed", [None, "random", "-1"])
def test_seeds_are_random_by_default(seed):
    assert len({ask(seed=seed).seed for _ in range(4)}) > 1


def test_a_stored_request_keeps_its_seed():
    stored = ask(seed="77")
    assert ask(stored).seed == 77
    assert len({ask(stored, seed="random").seed for _ in range(4)}) > 1


def test_an_unknown_setting_is_named():
    with pytest.raises(RequestError, match="no such setting"):
        make_values({"stepps": 3})


@pytest.mark.parametrize("size", [(256, 128), [256, 128], "256x128", PixelSize(256, 128)])
def test_sizes_are_read_in_every_form(size):
    assert read_size(size) == PixelSize(256, 128)


@pytest.mark.parametrize("size", [(1,), 5, ("a", "b"), (0, 5)])
def test_other_sizes_are_refused(size):
    with pytest.raises(RequestError):
        read_size(size)


def test_a_picture_in_memory_is_kept_under_its_digest(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    image = Image.new("RGB", (64, 64), (9, 8, 7))
    request = make_request(RequestValues(prompt="a house", init=image), CONTRACT)
    assert isinstance(request.source, ImageSource)
    assert Path(request.source.path) == store_picture(image)
    assert request.source.sha256 == file_sha256(Path(request.source.path))


def test_an_upscale_with_a_model_grows_the_picture_itself(picture):
    request = make_upscale_request(RequestValues(keep=0.5, seed=3), picture, CONTRACT, scale=2.0)
    assert (request.size, request.method, request.prompt) == (PixelSize(140, 180), CohesiveMethod(keep=0.5), "")


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.3, 1e9, float("nan")])
def test_scales_are_quarters_above_one(scale):
    with pytest.raises(RequestError):
        choose_upscale_size(PixelSize(64, 64), None, scale)


def test_focus_is_read_kept_changed_and_switched_off():
    asked = ask(focus="faces, people", focus_box=["0,0,8,8:a hat, red"])
    assert asked.focus is not None
    assert (asked.focus.words, asked.focus.boxes[0].prompt) == (("face", "person"), "a hat, red")
    assert ask(asked) == asked
    assert ask(asked, focus="auto").focus == replace(asked.focus, words=("auto",), boxes=())
    assert ask(asked, focus="off").focus is None
    only = ask(focus_box=["0,0,8,8"]).focus
    assert only is not None
    assert only.words == ()
