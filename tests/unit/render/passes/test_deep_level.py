"""A deeper level: enlarged where nothing was drawn anew, sharper where something was, the same however it is cut."""

import numpy as np
import pytest
from PIL import Image

from sfumato.canvas.formats.read import open_regions
from sfumato.canvas.formats.save import save_shown
from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.render.passes.deep_level import DeepPart, open_deep_level

SIZE, FRAME, CORE = PixelSize(90, 70), PixelBox(30, 20, 62, 52), PixelBox(40, 30, 52, 42)
RNG = np.random.default_rng(1)


@pytest.fixture(scope="module")
def pixels():
    small = RNG.integers(0, 256, (14, 18, 3), dtype=np.uint8)
    return MemoryPixels(SIZE, np.asarray(Image.fromarray(small).resize((90, 70), Image.Resampling.BICUBIC)))


@pytest.fixture(scope="module")
def part(pixels):
    """A crop drawn four times finer, with stripes that the picture cannot hold."""
    drawn = np.asarray(Image.fromarray(pixels.read(FRAME)).resize((128, 128), Image.Resampling.LANCZOS)).astype(
        np.int16
    )
    drawn[:, ::2] += 30
    return DeepPart(frame=FRAME, core=CORE, drawn=np.clip(drawn, 0, 255).astype(np.uint8))


def measure_stripes(values):
    return float(np.abs(np.diff(values.astype(np.float32).mean(axis=2), n=2, axis=1)).mean())


def test_a_part_keeps_its_detail_and_the_rest_is_enlarged(pixels, part):
    level, plain = open_deep_level(pixels, (part,), 4), open_deep_level(pixels, (), 4)
    assert (level.size, part.measure_gain()) == (PixelSize(360, 280), 4.0)
    inside, outside = PixelBox(165, 125, 205, 165), PixelBox(0, 0, 100, 70)
    assert measure_stripes(level.read(inside)) > 5 * measure_stripes(plain.read(inside))
    assert np.array_equal(level.read(outside), plain.read(outside))
    whole = np.asarray(Image.fromarray(pixels.read(SIZE.box)).resize((360, 280), Image.Resampling.LANCZOS))
    assert np.array_equal(plain.read(plain.size.box), whole)


def test_it_is_the_same_however_it_is_cut(pixels, part):
    level = open_deep_level(pixels, (part,), 4)
    whole = level.read(level.size.box)
    for box in (PixelBox(0, 0, 7, 280), PixelBox(161, 123, 300, 131), PixelBox(353, 273, 360, 280)):
        assert np.array_equal(level.read(box), whole[box.slices_hw])


def test_a_later_part_lies_over_an_earlier_one(pixels, part):
    eye = DeepPart(
        frame=PixelBox(42, 32, 50, 40),
        core=PixelBox(44, 34, 48, 38),
        drawn=RNG.integers(0, 256, (128, 128, 3), dtype=np.uint8),
        oval=True,
    )
    first, both = open_deep_level(pixels, (part,), 4), open_deep_level(pixels, (part, eye), 4)
    changed = (first.read(first.size.box) != both.read(both.size.box)).any(axis=2)
    assert changed[140:146, 180:188].mean() > 0.5
    changed[128:160, 168:200] = False
    assert not changed.any()


@pytest.mark.parametrize("name", ["a.dzi", "a.tif"])
def test_levels_of_a_file_hold_it(pixels, part, tmp_path, name):
    level = open_deep_level(pixels, (part,), 4)
    save_shown(tmp_path / name, level, {})
    read, box = open_regions(tmp_path / name), PixelBox(160, 120, 220, 180)
    assert read.sizes[:2] == (level.size, PixelSize(180, 140))
    assert np.array_equal(read.read(box), level.read(box))
