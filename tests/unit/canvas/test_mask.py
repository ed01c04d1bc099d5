"""Every usual kind of mask picture selects what its painter meant, or is refused."""

import numpy as np
import pytest
from PIL import Image

from sfumato.canvas.formats.images import load_picture
from sfumato.canvas.mask import read_mask
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize

SIZE = PixelSize(16, 8)
# The left half is to change.
WANTED = np.repeat([[1.0, 0.0]], 8, axis=1).repeat(8, axis=0)


def with_alpha(picture, alpha):
    picture = picture.convert("RGBA")
    picture.putalpha(Image.fromarray(np.asarray(alpha, np.uint8)))
    return picture


def photo(mode="RGB"):
    return Image.effect_noise((16, 8), 60).convert(mode)


DRAWN = Image.fromarray((WANTED * 255).astype(np.uint8))
WHITE = Image.new("L", (16, 8), 255)


@pytest.mark.parametrize(
    "mask",
    [
        DRAWN,
        DRAWN.convert("RGB"),
        DRAWN.convert("RGBA"),
        DRAWN.convert("1"),
        with_alpha(WHITE, WANTED * 255),
        with_alpha(photo(), 255 - WANTED * 255),
        with_alpha(photo("L"), 255 - WANTED * 255),
        with_alpha(Image.new("RGB", (16, 8), (0, 0, 0)), 255 - WANTED * 255),
        with_alpha(Image.new("RGB", (16, 8), (200, 30, 30)), 255 - WANTED * 255),
    ],
    ids=["grey", "rgb", "opaque rgba", "bilevel", "strokes", "photo", "grey photo", "black photo", "one colour"],
)
def test_the_meant_part_is_selected(tmp_path, mask):
    assert np.array_equal(read_mask(mask, SIZE), WANTED)
    mask.save(tmp_path / "m.png")
    assert np.array_equal(read_mask(load_picture(tmp_path / "m.png"), SIZE), WANTED)


def test_a_palette_with_a_transparent_colour_is_an_erased_picture(tmp_path):
    colours = Image.fromarray(np.where(WANTED > 0, 0, 2).astype(np.uint8), "L").convert("P")
    colours.putpalette([9, 9, 9, 0, 0, 0, 90, 200, 30])
    colours.save(tmp_path / "m.png", transparency=0)
    assert np.array_equal(read_mask(load_picture(tmp_path / "m.png"), SIZE), WANTED)


@pytest.mark.parametrize("value", [32, 128, 200])
def test_half_selected_is_soft_in_every_kind(value):
    grey = Image.new("L", (16, 8), value)
    strokes = with_alpha(WHITE, np.full((8, 16), value))
    erased = with_alpha(photo(), np.full((8, 16), 255 - value))
    for mask in (grey, strokes, erased):
        assert read_mask(mask, SIZE) == pytest.approx(value / 255)


def test_noise_of_jpeg_around_an_edge_is_not_soft(tmp_path):
    big = DRAWN.resize((160, 80), Image.Resampling.NEAREST)
    big.save(tmp_path / "m.jpg", quality=85)
    found = read_mask(load_picture(tmp_path / "m.jpg"), PixelSize(160, 80))
    assert set(np.unique(found[:, :70])) == {1.0}
    assert set(np.unique(found[:, 90:])) == {0.0}


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (Image.new("L", (16, 9), 255), "size of its picture"),
        (Image.new("L", (16, 8)), "selects nothing"),
        (Image.new("RGBA", (16, 8), (0, 0, 0, 255)), "selects nothing"),
        (with_alpha(DRAWN, np.arange(128).reshape(8, 16) % 2 * 255), "black, white and transparent"),
    ],
)
def test_masks_that_do_not_fit_or_say_two_things_are_refused(mask, words):
    with pytest.raises(RequestError, match=words):
        read_mask(mask, SIZE)
