"""A picture that is hard to get right at its rims, texts that are hard to store, and a disk that is full."""

import numpy as np
import pytest

import disks
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.write import write_metadata
from sfumato.core.request import RenderRequest


@pytest.fixture
def stored():
    return RenderRequest(
        prompt='a "café" — 猫, \U0001f431 <b>&amp;\nsecond: line', negative="x", size=PixelSize(48, 32), seed=2**64 - 1
    )


@pytest.fixture
def texts(stored):
    return write_metadata(stored)


@pytest.fixture
def make_picture():
    """Draw slopes, edges and a little noise: every PNG filter wins somewhere."""

    def draw(width, height):
        rows, columns = np.mgrid[:height, :width]
        noise = np.random.default_rng(width * height).integers(0, 3, (height, width))
        squares = (rows // 7 + columns // 11) % 2 * 90
        channels = [rows * 3 + columns, columns * 5 // 3 + noise, squares + rows * columns // 50]
        return np.stack(channels, axis=-1).astype(np.uint8)

    return draw


@pytest.fixture
def full_disk():
    """Refuse files beyond a number of bytes; use it with `with`."""
    return disks.full_disk
