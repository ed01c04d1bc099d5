"""Drawings with outlines are told from shaded pictures."""

import numpy as np

from sfumato.models.upscaler.find_upscaler import is_flat_art, measure_shading


def test_outlines_are_a_drawing_and_shading_is_none():
    high, wide = np.mgrid[:64, :64]
    drawing = np.where((high // 8 + wide // 8) % 2, 240, 20)[..., None].repeat(3, 2).astype(np.uint8)
    shaded = (high * 3 + 5 * np.sin(wide)).clip(0, 255)[..., None].repeat(3, 2).astype(np.uint8)
    assert is_flat_art(drawing)
    assert not is_flat_art(shaded)
    assert not is_flat_art(np.zeros((1, 5, 3), np.uint8))
    assert measure_shading(np.full((9, 9, 3), 7, np.uint8)) == 1.0
