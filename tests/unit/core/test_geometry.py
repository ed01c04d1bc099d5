"""Sizes and boxes by example; `laws/test_geometry_laws.py` holds their properties."""

import numpy as np
import pytest

from sfumato.core.errors import RequestError
from sfumato.core.geometry import LatentBox, LatentSize, PixelBox, PixelSize


def test_parse_reads_width_first():
    assert PixelSize.parse(" 1024x576 ") == PixelSize(1024, 576)
    assert PixelSize.parse("8X16").shape_hw == (16, 8)


@pytest.mark.parametrize("text", ["", "1024", "x", "-8x8", "8.5x8", "0x8", "8x8x8", "9999999999x8", "８x８;"])
def test_parse_refuses(text):
    with pytest.raises(RequestError):
        PixelSize.parse(text)


def test_spaces_are_not_equal_and_do_not_convert_silently():
    assert PixelSize(8, 8) != LatentSize(8, 8)
    assert PixelBox(0, 0, 1, 1) != LatentBox(0, 0, 1, 1)
    with pytest.raises(RequestError, match="Ask for 16x8"):
        PixelSize(9, 8).to_latent(8)
    with pytest.raises(RequestError):
        PixelBox(0, 0, 9, 8).to_latent(8)


@pytest.mark.parametrize("sides", [(1, 0, 1, 5), (0, 5, 5, 5), (5, 0, 0, 5)])
def test_box_has_an_inside(sides):
    with pytest.raises(RequestError):
        PixelBox(*sides)


@pytest.mark.parametrize("value", [True, 1.0, "8", None, 0, -1])
def test_sides_are_whole_and_positive(value):
    with pytest.raises(RequestError):
        PixelSize(value, 8)


def test_clip_keeps_what_is_on_the_canvas():
    assert PixelBox(-5, 2, 20, 9).clip(PixelSize(10, 8)) == PixelBox(0, 2, 10, 8)
    with pytest.raises(RequestError):
        LatentBox(10, 0, 12, 2).clip(LatentSize(10, 8))


def test_touching_boxes_do_not_overlap():
    assert PixelBox(0, 0, 4, 4).find_overlap(PixelBox(4, 0, 8, 4)) is None
    assert PixelBox(0, 0, 4, 4).find_overlap(PixelBox(3, 3, 8, 8)) == PixelBox(3, 3, 4, 4)


def test_slices_index_rows_first():
    picture = np.arange(6 * 8).reshape(6, 8)
    box = PixelBox(2, 1, 5, 3)
    assert picture[box.slices_hw].shape == (box.height, box.width)
    assert picture[box.slices_hw][0, 0] == picture[1, 2]
