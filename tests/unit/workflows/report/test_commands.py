"""A printed command, split by a shell and read by our own parser, is the request it was printed from."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from PIL import Image

from fakes import CONTRACT
from sfumato.cli.options import RenderOptions, UpscaleOptions, takes_options
from sfumato.cli.read_options import read_values
from sfumato.core.geometry import PixelSize
from sfumato.core.request import (
    CohesiveMethod,
    GobigMethod,
    ImageSource,
    LoraRef,
    MultidiffusionMethod,
    NativeMethod,
    RenderRequest,
)
from sfumato.workflows.files.source_picture import make_picture_source
from sfumato.workflows.report.commands import (
    join_command,
    list_settings,
    write_command,
    write_python,
    write_repeat_command,
)
from sfumato.workflows.requests import make_request, make_upscale_request
from sfumato.workflows.values import make_values

REQUEST = RenderRequest(prompt="a house", size=PixelSize(256, 128), seed=7, method=CohesiveMethod())
WORDS = [
    'it\'s a "house" & $HOME `id` !! \\ * ; | <b>',
    "-- looks like an option",
    "line\nbreak\r\ttab \x1b[31m \x7f0123",
    "\u202egnp.exe \u2066\u200f \u0645\u0631\u062d\u0628\u0627 \u200b1\u2028",
    "'$'\\''",
    "x" * 20_000,
]

WHOLE = [
    REQUEST,
    replace(REQUEST, size=PixelSize(64, 64), method=NativeMethod(), steps=7, guidance=1.0 / 3.0, batch=3),
    replace(REQUEST, sampler="Euler a", schedule="exponential", guidance_rescale=0.7, clip_skip=2),
    replace(REQUEST, method=GobigMethod(strength=0.2, steps=9, upscale=1.5, overlap=0.3)),
    replace(REQUEST, method=MultidiffusionMethod(window=PixelSize(64, 64), overlap=0.25)),
    replace(
        REQUEST, method=CohesiveMethod(strength=0.1, lock=0.9, detail=1.2, overlap=0.4, upscaler="x y.safetensors")
    ),
    replace(REQUEST, loras=(LoraRef(path="/a:b.safetensors", weight=-0.25), LoraRef(path="c")), embeddings=("e f",)),
]


def split(command):
    """Let bash split a command, and return its words."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True)
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


def parse(words):
    """Parse the words of a command with the options of the real one."""
    kind, seen = {"render": RenderOptions, "upscale": UpscaleOptions}[words[1]], []
    app = typer.Typer(add_completion=False)
    app.command()(takes_options(kind)(seen.append))
    typer.main.get_command(app).main(words[2:], standalone_mode=False)
    return seen[0]


def run_python(text):
    """Run the text with a model that draws nothing, and return the settings that it gave."""
    made = []

    class Model:
        def render(self, prompt, **settings):
            made.append({"prompt": prompt, **settings})
            return self

        def save(self, path):
            assert path == "picture.png"

    class Library:
        @staticmethod
        def load(_model):
            return Model()

    lines = text.splitlines(keepends=True)
    assert lines[0] == "import sfumato\n"
    exec("".join(lines[1:]), {"sfumato": Library})
    return made[0]


@pytest.mark.parametrize("word", WORDS)
def test_a_shell_splits_a_command_into_its_words(word):
    command = join_command(["sfumato", word, "", "end"])
    assert split(command) == ["sfumato", word, "", "end"]
    assert not any(ord(one) < 32 or one in "\u202e\u2066\u200f\u200b\u2028\x7f" for one in command)


def test_a_picture_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a b.png", "it's.png", "-x.png", "caf\u00e9.webp", "raw\udcff.png"):
        words = split(write_repeat_command(tmp_path / "." / name))
        options = parse(words)
        assert options.source == tmp_path.resolve() / name
        # Bytes repeat within a format.
        assert (options.out.suffix if options.out else ".png") == options.source.suffix


@pytest.mark.parametrize("word", WORDS)
def test_a_command_says_the_words_of_a_request(word):
    request = replace(REQUEST, prompt=word, negative=word)
    options = parse(split(write_command(request)))
    assert (options.prompt, options.negative) == (word, word)


@pytest.mark.parametrize("request_", WHOLE)
def test_a_command_says_the_whole_request(request_):
    values = read_values(parse(split(write_command(request_))))
    assert make_request(values, CONTRACT) == request_


@pytest.mark.parametrize("request_", [replace(one, batch=1) for one in WHOLE])
def test_python_says_the_whole_request(request_):
    assert make_request(make_values(run_python(write_python(request_))), CONTRACT) == request_


@pytest.mark.parametrize("word", WORDS)
def test_python_says_the_words_of_a_request(word):
    made = run_python(write_python(replace(REQUEST, prompt=word, negative=word)))
    assert (made["prompt"], made["negative"]) == (word, word)


def test_what_python_cannot_say_is_left_out():
    source = ImageSource(path="a.png", sha256="0" * 64)
    for change in ({"method": CohesiveMethod(shift=False)}, {"source": source}, {"prompt": ""}):
        assert write_python(replace(REQUEST, **change)) is None


@pytest.mark.parametrize("name", ["a b.png", "-x.png"])
def test_an_enlargement_is_the_same_request(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 32)).save(name)
    source = replace(make_picture_source(tmp_path / name), path=name)
    for prompt in ("", "-a house"):
        request = replace(REQUEST, prompt=prompt, source=source, method=CohesiveMethod(keep=0.5), clip_skip=2, batch=2)
        options = parse(split(write_command(request)))
        (picture,) = options.pictures
        again = make_upscale_request(read_values(options), picture, CONTRACT)
        assert replace(again, source=source) == request
        assert Path(again.source.path).resolve() == tmp_path.resolve() / name


def test_a_start_picture_is_named_with_its_strength():
    request = replace(REQUEST, source=ImageSource(path="/a b.png", sha256="0" * 64, strength=0.6))
    options = parse(split(write_command(request)))
    assert (str(options.init), options.strength) == ("/a b.png", 0.6)


@pytest.mark.parametrize(
    "request_", [replace(REQUEST, prompt=""), replace(REQUEST, method=CohesiveMethod(shift=False))]
)
def test_what_no_option_says_has_no_command(request_):
    assert write_command(request_) is None


def test_settings_leave_out_what_is_not_used():
    names = [name for name, _ in list_settings(REQUEST)]
    assert "LoRA" not in names
    assert "sampler" in names
