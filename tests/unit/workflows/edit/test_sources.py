"""Masks are softened and filled, sides grow, and one box is drawn alone; outside the mask every pixel keeps its bytes."""

import numpy as np
import pytest
from PIL import Image

from fakes import CONTRACT
from sfumato.canvas.formats.images import load_picture
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import InpaintSource, RenderRequest
from sfumato.core.request_parts.edit import Borders, CropBox
from sfumato.workflows.edit.fill import fill_masked, grow_borders
from sfumato.workflows.files.inputs import put_back, read_inputs
from sfumato.workflows.requests import make_request
from sfumato.workflows.values import RequestValues


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Return a picture with a red left and a blue right half, and a mask of its middle."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pixels = np.zeros((96, 128, 3), np.uint8)
    pixels[:, :64, 0], pixels[:, 64:, 2] = 200, 200
    mask = np.zeros((96, 128), np.uint8)
    mask[40:56, 56:72] = 255
    paths = tmp_path / "picture.png", tmp_path / "mask.png"
    Image.fromarray(pixels).save(paths[0])
    Image.fromarray(mask).save(paths[1])
    return paths


def ask(pair, **values):
    return make_request(RequestValues(prompt="x", seed=1, init=pair[0], mask=pair[1], **values), CONTRACT)


def read(path):
    found = np.asarray(Image.open(path))
    return found if found.ndim == 2 or "mask" not in str(path) else found[..., 0]


def test_without_settings_the_request_is_the_one_of_before(pair):
    assert ask(pair) == ask(pair, mask_blur=0, mask_fill="original")
    assert "crop" not in ask(pair).to_json()
    assert "variation_strength" not in ask(pair).to_json()


def test_a_soft_mask_reaches_further_and_the_picture_stays(pair):
    source = ask(pair, mask_blur=4).source
    soft, hard = read(source.mask), read(pair[1])
    assert ((soft > 0).sum(), soft.max() < 256) > ((hard > 0).sum(), False)
    assert 0 < soft[48, 50] < 128
    assert (read(source.path) == read(pair[0])).all()


@pytest.mark.parametrize("fill", ["surround", "noise", "grey"])
def test_a_fill_changes_what_is_masked_and_nothing_else(pair, fill):
    picture, shares = load_picture(pair[0]), (read(pair[1]) / 255).astype(np.float32)
    old, new = np.asarray(picture), np.asarray(fill_masked(picture, shares, fill))
    assert (old[shares == 0] == new[shares == 0]).all()
    inside = new[44:52, 58:70].reshape(-1, 3).mean(0)
    # Between red and blue, or grey.
    assert inside[0] == pytest.approx(inside[2], abs=30)
    assert fill != "grey" or inside[1] == 128
    again = ask(pair, mask_fill=fill).source
    assert again == ask(pair, mask_fill=fill).source


def test_borders_take_the_colours_of_the_rim_and_are_masked(pair):
    grown, mask = grow_borders(load_picture(pair[0]), Borders.parse("0,8,32,0"), 8)
    pixels, shares = np.asarray(grown), np.asarray(mask)
    assert (grown.size, mask.size) == ((160, 104), (160, 104))
    assert (pixels[8:, :128] == read(pair[0])).all()
    assert pixels[60, 150].tolist() == pytest.approx([0, 0, 200], abs=25)
    assert (shares[:8] == 255).all()
    assert (shares[:, 128:] == 255).all()
    # The seam fades into the picture, and the sides that do not grow keep their bytes.
    assert 0 < shares[60, 124] < 255
    assert (shares[20:, :100] == 0).all()


def test_outpainting_is_a_masked_picture_of_the_new_size(pair):
    request = make_request(RequestValues(prompt="x", seed=1, init=pair[0], outpaint="16"), CONTRACT)
    assert (request.size, request.source.strength) == (PixelSize(160, 128), 1.0)
    assert read_inputs(request).mask.size == (160, 128)


@pytest.mark.parametrize(
    "values",
    [
        {"outpaint": "0,0,0,0"},
        {"outpaint": "1,2,3"},
        {"outpaint": "16", "mask_fill": "grey"},
        {"mask_padding": 8},
        {"mask_fill": "magic"},
        {"mask_blur": 10_000},
        {"variation_seed": 5},
        {"variation_strength": 2.0},
    ],
)
def test_what_is_wrong_or_has_no_effect_is_refused(pair, values):
    mask = None if "outpaint" in values else pair[1]
    with pytest.raises(RequestError):
        make_request(RequestValues(prompt="x", init=pair[0], mask=mask, **values), CONTRACT)
    with pytest.raises(RequestError):
        make_request(RequestValues(prompt="x", only_masked=True), CONTRACT)


def test_only_the_box_is_drawn_and_put_back(pair):
    request = ask(pair, only_masked=True, mask_padding=8)
    assert request.crop == CropBox(left=48, top=32, width=32, height=32)
    assert RenderRequest.from_json(request.to_json()) == request
    inputs = read_inputs(request)
    assert inputs.picture.size == inputs.mask.size == (request.size.width, request.size.height)
    whole = put_back(Image.new("RGB", inputs.picture.size, (0, 255, 0)), request)
    old, new, shares = read(pair[0]), np.asarray(whole), read(pair[1])
    assert (old[shares == 0] == new[shares == 0]).all()
    assert new[48, 64].tolist() == [0, 255, 0]


def test_a_large_box_at_the_rim_stays_inside_and_keeps_its_shape(pair):
    crop = ask(pair, only_masked=True, mask_padding=200, size=(64, 32)).crop
    assert (crop.left, crop.top, crop.width, crop.height) == (0, 0, 128, 96)
    assert isinstance(ask(pair, only_masked=True).source, InpaintSource)
