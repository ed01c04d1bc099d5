"""What is true of every canvas: pictures come back from any cut into bands, latents survive a crash at any moment."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.canvas.formats.pyramid import halve, list_halved_sizes
from sfumato.canvas.formats.read import open_region, open_regions
from sfumato.canvas.formats.save import open_writer
from sfumato.canvas.formats.tiles import TileEncoding
from sfumato.canvas.latents import make_latents
from sfumato.canvas.mapped_latents import MappedLatents
from sfumato.core.geometry import LatentBox, LatentSize, PixelBox, PixelSize

SIDES = st.integers(1, 70)


@st.composite
def boxes(draw, size, kind):
    left, top = draw(st.integers(0, size.width - 1)), draw(st.integers(0, size.height - 1))
    return kind(left, top, draw(st.integers(left + 1, size.width)), draw(st.integers(top + 1, size.height)))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_box_of_any_picture_comes_back_however_it_was_cut(tmp_path_factory, data):
    size = PixelSize(data.draw(SIDES), data.draw(SIDES))
    picture = np.random.default_rng(size.area).integers(0, 256, (*size.shape_hw, 3), dtype=np.uint8)
    name = data.draw(st.sampled_from(["a.png", "a.tif", "a.dzi"]))
    packing = None if name == "a.png" else TileEncoding(tile_px=data.draw(st.sampled_from([16, 32])))
    path = tmp_path_factory.mktemp("canvas") / name
    heights = data.draw(st.lists(st.integers(0, 40), max_size=4))
    with open_writer(path, size, {}, packing) as writer:
        for height in [*heights, size.height]:
            top = writer.rows_written
            writer.write_band(picture[top : top + height])
    level = data.draw(st.integers(0, len(open_regions(path).sizes) - 1))
    for _ in range(level):
        picture = halve(picture)
    box = data.draw(boxes(open_regions(path).sizes[level], PixelBox))
    assert np.array_equal(open_region(path, box, level=level), picture[box.slices_hw])


@given(SIDES, SIDES, st.sampled_from([1, 16, 256]))
def test_halved_sizes_are_those_of_halved_pictures(width, height, until):
    sizes = list_halved_sizes(PixelSize(width, height), until_px=until)
    rows = np.zeros((height, width, 3), np.uint8)
    for size in sizes:
        assert size.shape_hw == rows.shape[:2]
        rows = halve(rows)
    assert max(sizes[-1].shape_hw) <= until
    assert all(max(size.shape_hw) > until for size in sizes[:-1])


@given(st.integers(0, 255), SIDES, SIDES)
def test_a_flat_picture_stays_flat(value, width, height):
    assert (halve(np.full((height, width, 3), value, np.uint8)) == value).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_crash_at_any_moment_leaves_the_last_flush(tmp_path_factory, data):
    """The file is copied between any two acts, which is what a killed process leaves behind."""
    size = LatentSize(data.draw(st.integers(1, 20)), data.draw(st.integers(1, 100)))
    folder = tmp_path_factory.mktemp("latents")
    store = make_latents(size, 2, path=folder / "a", most_memory_bytes=0)
    now = np.zeros((2, *size.shape_hw), np.float32)
    flushed = now.copy()
    for act in data.draw(st.lists(st.sampled_from(["write", "add", "flush"]), max_size=8)):
        if act == "flush":
            store.flush()
            flushed = now.copy()
            continue
        box = data.draw(boxes(size, LatentBox))
        values = np.full((2, box.height, box.width), data.draw(st.integers(-9, 9)), np.float32)
        getattr(store, act)(box, values)
        part = now[(slice(None), *box.slices_hw)]
        part[...] = values if act == "write" else part + values
        assert np.array_equal(store.read(size.box), now)
    (folder / "b").write_bytes((folder / "a").read_bytes())
    crashed = MappedLatents(folder / "b")
    assert np.array_equal(crashed.read(size.box), flushed)
    crashed.close()
    store.close()
