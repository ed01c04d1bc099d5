"""Boxes of a resampled picture: Pillow's own numbers, and no more of the source than they need."""

import numpy as np
import pytest
from PIL import Image

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.resampling import STRIP_ROWS, Resampling


def draw(width, height):
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def reader(pixels):
    return lambda box: pixels[box.slices_hw]


@pytest.mark.parametrize(
    ("source", "size", "box"),
    [
        ((40, 30), (101, 77), (0.5, 0.0, 39.5, 29.7)),
        ((128, 96), (256, 192), (0, 0, 128, 96)),
        ((300, 200), (421, 399), (1 / 3, 0.7, 299.2, 199.1)),
        ((100, 80), (60, 33), (0, 0, 100, 80)),
        ((64, 64), (64, 64), (0, 0, 64, 64)),
        ((3, 1), (30, 20), (0, 0, 3, 1)),
    ],
)
def test_the_whole_is_what_pillow_gives(source, size, box):
    pixels, whole = draw(*source), PixelSize(*size)
    ours = Resampling(PixelSize(*source), whole, box).compute(reader(pixels), whole.box)
    theirs = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, box=box))
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    # The same to the bit where both libraries have the same sine.
    assert (ours != theirs).mean() < 1e-3


def test_a_box_reads_three_pixels_around_itself_and_strips_at_most():
    pixels, read = draw(64, 1024), []

    def note(box):
        read.append(box)
        return pixels[box.slices_hw]

    resampling = Resampling(PixelSize(64, 1024), PixelSize(128, 2048), (0, 0, 64, 1024))
    resampling.compute(note, PixelBox(40, 600, 60, 640))
    assert read == [PixelBox(17, 297, 33, 323)]
    read.clear()
    resampling.compute(note, PixelSize(128, 2048).box)
    assert max(box.height for box in read) <= STRIP_ROWS // 2 + 6
