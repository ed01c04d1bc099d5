"""Levels are halves of each other, whatever the bands, and strips carry the right rows."""

import numpy as np
import pytest

from sfumato.canvas.formats.pyramid import Pyramid, halve, list_halved_sizes
from sfumato.core.geometry import PixelSize


def test_halving_averages_squares_to_the_nearest():
    rows = np.array([[[0], [1]], [[1], [1]]], np.uint8).repeat(3, axis=2)
    assert halve(rows).tolist() == [[[1, 1, 1]]]
    rows = np.array([[[0], [0]], [[0], [1]]], np.uint8).repeat(3, axis=2)
    assert halve(rows).tolist() == [[[0, 0, 0]]]
    assert (halve(np.full((4, 6, 3), 255, np.uint8)) == 255).all()


def test_an_odd_last_row_and_column_stand_twice():
    rows = np.array([[10, 20, 30], [10, 20, 30], [50, 60, 70]], np.uint8)[:, :, None].repeat(3, axis=2)
    assert halve(rows)[:, :, 0].tolist() == [[15, 30], [55, 70]]


@pytest.mark.parametrize(
    ("size", "until", "expected"),
    [
        ((1, 1), 1, [(1, 1)]),
        ((5, 3), 1, [(5, 3), (3, 2), (2, 1), (1, 1)]),
        ((1024, 1), 256, [(1024, 1), (512, 1), (256, 1)]),
        ((257, 600), 256, [(257, 600), (129, 300), (65, 150)]),
    ],
)
def test_sizes_are_rounded_up_down_to_the_limit(size, until, expected):
    assert list_halved_sizes(PixelSize(*size), until_px=until) == tuple(PixelSize(*each) for each in expected)


@pytest.mark.parametrize(("tile", "overlap"), [(8, 0), (8, 1), (6, 2)])
@pytest.mark.parametrize("height", [1, 2, 7, 8, 9, 10, 16, 17, 23, 24, 25, 26])
def test_strips_are_the_rows_of_their_tiles(make_picture, tile, overlap, height):
    picture = make_picture(13, height)
    strips = []
    sizes = list_halved_sizes(PixelSize(13, height), until_px=tile)
    pyramid = Pyramid(sizes, tile, overlap, lambda strip: strips.append((strip.level, strip.index, strip.rows.copy())))
    for row in picture:
        pyramid.write(row[None])
    levels = [picture]
    while len(levels) < len(sizes):
        levels.append(halve(levels[-1]))
    expected = {
        (level, index): whole[max(0, index * tile - overlap) : (index + 1) * tile + overlap]
        for level, whole in enumerate(levels)
        for index in range(-(-len(whole) // tile))
    }
    assert [key[:2] for key in strips if key[0] == 0] == [key for key in expected if key[0] == 0]
    assert len(strips) == len(expected)
    for level, index, rows in strips:
        assert np.array_equal(rows, expected[level, index])
