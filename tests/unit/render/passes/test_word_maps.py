"""Boxes from a map of attention: one for each place where it rises, none where it is flat."""

import numpy as np

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.render.passes.word_maps import cut_boxes

SIZE = PixelSize(160, 120)


def test_two_places_are_two_boxes_the_strongest_first():
    attention = np.full((12, 16), 0.1, np.float32)
    attention[2:5, 3:6], attention[8:10, 10:14] = 0.8, 1.0
    boxes = cut_boxes("car", attention, SIZE)
    assert [one.box for one in boxes] == [PixelBox(100, 80, 140, 100), PixelBox(30, 20, 60, 50)]
    assert boxes[0].peak > boxes[1].peak > 1.0


def test_what_is_everywhere_has_no_box():
    assert cut_boxes("wall", np.full((8, 8), 0.3, np.float32), SIZE) == ()
    assert cut_boxes("wall", np.zeros((8, 8), np.float32), SIZE) == ()
    half = np.full((8, 8), 0.3, np.float32)
    half[:5] = 0.6
    assert cut_boxes("sea", half, SIZE) == ()


def test_a_single_cell_is_noise():
    attention = np.full((12, 16), 0.1, np.float32)
    attention[6, 6] = 1.0
    assert cut_boxes("car", attention, SIZE) == ()
