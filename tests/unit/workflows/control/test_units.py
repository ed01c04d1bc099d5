"""Units of control become part of a request that repeats its picture, and are refused where they cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import sfumato
from checkpoints import write_folder
from control_networks import write_control_file
from sfumato.canvas.formats.images import read_request, read_texts
from sfumato.cli.app import make_app
from sfumato.cli.exit_codes import run_command
from sfumato.core.errors import ModelError, RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.read import read_parameters
from sfumato.core.request import RenderRequest
from sfumato.core.request_parts.control import ControlRef
from sfumato.models.control.modules import make_control_picture
from sfumato.workflows.control.units import make_control_refs, parse_unit, write_control_pictures
from sfumato.workflows.report.commands import write_command
from sfumato.workflows.values import ControlUnit

REF = {"network": "net", "network_sha256": "0" * 64, "picture": "p.png", "sha256": "0" * 64}
SIZE = PixelSize(64, 64)


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("net:photo.png", {}),
        ("net:photo.png:0.8", {"weight": 0.8}),
        ("net:photo.png:0.8:0-0.5", {"weight": 0.8, "end": 0.5}),
        ("net:photo.png:canny:control:.2-1", {"module": "canny", "mode": "control", "start": 0.2}),
        ("net:10:30.png:1", {"picture": Path("10:30.png")}),
    ],
)
def test_a_text_is_read_from_its_end(text, more):
    assert parse_unit(text) == ControlUnit(**{"network": "net", "picture": Path("photo.png")} | more)


@pytest.mark.parametrize("text", ["", "net", "net:", ":photo.png"])
def test_a_text_without_a_network_or_picture_is_refused(text):
    with pytest.raises(RequestError, match="names a network and a picture"):
        parse_unit(text)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"weight": 3.0}, "weight"),
        ({"start": 0.5, "end": 0.5}, "starts before it ends"),
        ({"mode": "x"}, "mode"),
        ({"sha256": "x"}, "sha256"),
    ],
)
def test_a_unit_out_of_range_is_refused(more, words):
    with pytest.raises(RequestError, match=words):
        ControlRef(**REF | more)


def test_a_request_keeps_units_and_old_hashes():
    plain = RenderRequest(prompt="a cat", size=SIZE)
    assert "controls" not in plain.to_json()
    request = RenderRequest(prompt="a cat", size=SIZE, controls=(ControlRef(**REF, weight=0.5),))
    assert RenderRequest.from_json(request.to_json()) == request
    assert request.request_hash() != plain.request_hash()
    command = write_command(request)
    assert command is not None
    said = parse_unit("net:p.png:0.5:0.0-1.0")
    assert "--control net:p.png:0.5:0.0-1.0" in command
    assert (said.weight, said.start, said.end) == (0.5, 0.0, 1.0)


def draw_box(size=(96, 64)):
    picture = Image.new("RGB", size, "black")
    ImageDraw.Draw(picture).rectangle((20, 20, 60, 44), fill="white")
    return picture


def test_canny_draws_the_edges():
    lines = np.asarray(make_control_picture(draw_box(), "canny"))
    assert set(np.unique(lines)) == {0, 255}
    assert lines[32, 18:23].max() == 255
    assert lines[32, 30:50].max() == 0
    faint = draw_box().point(lambda value: value // 5)
    assert np.asarray(make_control_picture(faint, "canny")).max() == 0
    assert np.asarray(make_control_picture(faint, "canny", thresholds=(10, 20))).max() == 255


@pytest.mark.parametrize(("fit", "edge"), [("crop", (16, 0)), ("stretch", (0, 0)), ("fill", (0, 0))])
def test_pictures_are_fitted(fit, edge):
    columns = np.broadcast_to(np.arange(96, dtype=np.uint8)[None, :, None], (64, 96, 3))
    fitted = np.asarray(make_control_picture(Image.fromarray(columns), size=SIZE, fit=fit))
    assert fitted.shape == (64, 64, 3)
    assert fitted[32, 0, 0] == edge[0]
    assert (fitted[0, 32, 0] == 0) == (fit == "fill")


def test_modules_and_fits_that_are_not_here_are_named():
    with pytest.raises(RequestError, match="openpose"):
        make_control_picture(draw_box(), "openpose")
    with pytest.raises(RequestError, match="another way"):
        make_control_picture(draw_box(), size=SIZE, fit="tile")
    with pytest.raises(RequestError, match="without canny"):
        make_control_picture(draw_box(), thresholds=(1, 2))


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with a tiny checkpoint, its control network and a picture."""
    folder = tmp_path_factory.mktemp("control")
    write_folder(folder / "tiny", "sd15")
    write_control_file(folder / "net.safetensors")
    draw_box().save(folder / "box.png")
    return folder


def test_a_picture_is_steered_and_repeats(room, tmp_path):
    model = sfumato.load(room / "tiny")
    said = {"size": SIZE, "steps": 2, "seed": 5, "method": "native"}
    unit = f"{room / 'net.safetensors'}:{room / 'box.png'}:0.9:0-1:canny"
    first = model.render("a red cat", controls=[unit], out=tmp_path / "one.png", **said)
    plain = model.render("a red cat", **said)
    assert np.abs(np.asarray(first.image, int) - np.asarray(plain.image)).max() > 0
    stored = read_request(tmp_path / "one.png")
    (ref,) = stored.controls
    assert (ref.weight, ref.end, ref.network) == (0.9, 1.0, str(room / "net.safetensors"))
    assert np.asarray(Image.open(ref.picture)).shape == (64, 64, 3)
    again = model.render(request=stored, out=tmp_path / "two.png")
    assert again.sha256 == first.sha256
    assert np.array_equal(np.asarray(again.image), np.asarray(first.image))
    texts = read_texts(tmp_path / "one.png")["parameters"]
    assert f"Model: net [{ref.network_sha256[:8]}]" in texts
    assert read_parameters(texts).steps == 2
    (place,) = write_control_pictures(stored, tmp_path / "lines.png")
    assert np.array_equal(np.asarray(Image.open(place)), np.asarray(Image.open(ref.picture)))
    # A plan counts the network, and is made without loading anything.
    plans = [model.plan("a red cat", controls=controls, **said) for controls in ((), (ref,))]
    assert plans[1].memory_bytes > plans[0].memory_bytes
    # Another picture under the same name is no repetition.
    other = replace(ref, picture=str(room / "box.png"))
    with pytest.raises(RequestError, match="not the one of the request"):
        model.render(request=replace(stored, controls=(other,)))


def test_other_networks_are_refused_before_anything_is_loaded(room, tmp_path):
    ref = make_control_refs([f"{room / 'net.safetensors'}:{room / 'box.png'}"], SIZE)
    with pytest.raises(ModelError, match="no control network for mini"):
        sfumato.plan("a cat", controls=ref)
    wrong = write_control_file(tmp_path / "wide.safetensors", "sd21-base")
    with pytest.raises(ModelError, match="does not fit"):
        sfumato.plan("a cat", model=room / "tiny", controls=[f"{wrong}:{room / 'box.png'}"])
    moved = write_control_file(tmp_path / "moved.safetensors")
    (first,) = make_control_refs([f"{moved}:{room / 'box.png'}"], SIZE)
    write_control_file(moved, seed=1)
    with pytest.raises(RequestError, match="is not the one of the request"):
        sfumato.plan("a cat", model=room / "tiny", controls=[first])


def test_pictures_are_written_only_where_there_are_some(tmp_path):
    with pytest.raises(RequestError, match="without `control`"):
        write_control_pictures(RenderRequest(prompt="", size=SIZE), tmp_path / "a.png")


def test_the_command_line_steers_tiles_and_writes_what_the_network_sees(room, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unit = f"{room / 'net.safetensors'}:{room / 'box.png'}:0.7:0-1:canny"
    words = ["render", "a cat", "--model", str(room / "tiny"), "--size", "96x64", "--seed", "1", "--steps", "1"]
    words += ["--method", "multidiffusion", "--window", "64x64", "--control", unit, "--no-report", "--out", "a.png"]
    assert run_command(make_app(), [*words, "--control-out", "lines.png"]) == 0
    (ref,) = read_request(tmp_path / "a.png").controls
    assert np.array_equal(np.asarray(Image.open("lines.png")), np.asarray(Image.open(ref.picture)))
    assert np.asarray(Image.open("lines.png")).shape == (64, 96, 3)
    assert run_command(make_app(), ["render", "a cat", "--control", unit, "--out", "b.png"]) == 5
    assert not Path("b.png").exists()
