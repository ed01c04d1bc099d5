"""The upper left of a canvas is a canvas: read in bands, written through, and nothing is copied."""

import numpy as np
import pytest

from sfumato.canvas.formats.images import load_picture
from sfumato.canvas.formats.save import save_shown
from sfumato.canvas.overlay import crop_pixels
from sfumato.canvas.pixels import MemoryPixels, list_bands
from sfumato.core.geometry import PixelBox, PixelSize

CANVAS, SIZE = PixelSize(672, 1000), PixelSize(666, 998)


@pytest.fixture
def store():
    return MemoryPixels(CANVAS, np.random.default_rng(1).integers(0, 256, (*CANVAS.shape_hw, 3), np.uint8))


def test_it_is_the_upper_left_in_bands(store, tmp_path):
    cut, whole = crop_pixels(store, SIZE), store.read(CANVAS.box)
    assert cut.size == SIZE
    assert (np.concatenate(list(list_bands(cut))) == whole[:998, :666]).all()
    for name in ("a.png", "a.webp"):
        save_shown(tmp_path / name, cut, {})
        assert (np.asarray(load_picture(tmp_path / name)) == whole[:998, :666]).all()
    cut.write(PixelBox(0, 0, 2, 1), np.zeros((1, 2, 3), np.uint8))
    assert not store.read(PixelBox(0, 0, 2, 1)).any()


def test_all_of_a_canvas_is_the_canvas(store):
    assert crop_pixels(store, CANVAS) is store
