"""Pixels in memory and in a file answer the same; a file holds what was written, whole or not at all."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import sfumato.canvas.pixels as pixels
from sfumato.canvas.pixels import (
    BAND_ROWS,
    FilePixels,
    MemoryPixels,
    choose_band_rows,
    create_pixels,
    list_bands,
    make_small,
)
from sfumato.core.errors import StorageError
from sfumato.core.geometry import PixelBox, PixelSize

SIZE = PixelSize(37, 53)


def draw(box, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (box.height, box.width, 3), dtype=np.uint8)


@pytest.fixture
def store(tmp_path):
    create_pixels(tmp_path / "a.pixels", SIZE)
    made = FilePixels(tmp_path / "a.pixels", SIZE)
    yield made
    made.close()


@pytest.mark.parametrize("most_bytes", [1 << 28, 3 * 37 * 5])
def test_both_kinds_answer_the_same(store, monkeypatch, most_bytes):
    monkeypatch.setattr(pixels, "_MOST_BYTES", most_bytes)
    memory, rng = MemoryPixels(SIZE), np.random.default_rng(4)
    assert not store.read(SIZE.box).any()
    for number in range(60):
        left, right = sorted(rng.choice(SIZE.width + 1, 2, replace=False).tolist())
        top, bottom = sorted(rng.choice(SIZE.height + 1, 2, replace=False).tolist())
        box = PixelBox(0, top, SIZE.width, bottom) if number % 3 == 0 else PixelBox(left, top, right, bottom)
        for one in (memory, store):
            one.write(box, draw(box, number))
        assert np.array_equal(store.read(box), draw(box, number))
        assert np.array_equal(memory.read(SIZE.box), store.read(SIZE.box))


def test_values_in_any_order_of_memory_are_written(store):
    values = draw(PixelBox(0, 0, 53, 37)).transpose(1, 0, 2)
    store.write(SIZE.box, values)
    assert np.array_equal(store.read(SIZE.box), values)


def test_what_is_read_is_a_copy(store):
    for one in (store, MemoryPixels(SIZE)):
        one.read(SIZE.box)[...] = 9
        assert not one.read(SIZE.box).any()


def test_a_file_opens_again(store):
    store.write(SIZE.box, draw(SIZE.box))
    store.flush()
    store.close()
    store.close()
    again = FilePixels(store.path, SIZE)
    assert np.array_equal(again.read(SIZE.box), draw(SIZE.box))
    again.close()


@pytest.mark.parametrize("length", [0, 1, 3 * SIZE.area - 1, 3 * SIZE.area + 1])
def test_a_file_of_another_length_is_refused_and_untouched(tmp_path, length):
    (tmp_path / "a").write_bytes(b"x" * length)
    with pytest.raises(StorageError, match="cut off"):
        FilePixels(tmp_path / "a", SIZE)
    assert (tmp_path / "a").read_bytes() == b"x" * length


def test_a_file_that_is_not_there_is_refused_and_not_made(tmp_path):
    with pytest.raises(StorageError, match="cannot be opened"):
        FilePixels(tmp_path / "a", SIZE)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_refuses_leaves_nothing(tmp_path, full_disk):
    with full_disk(100), pytest.raises(StorageError, match="disk is full"):
        create_pixels(tmp_path / "a", SIZE)
    assert not list(tmp_path.iterdir())
    with pytest.raises(StorageError):
        create_pixels(tmp_path / "none" / "a" / ".." / "..", SIZE)


def test_a_disk_that_takes_a_part_of_a_write_is_asked_again(store, full_disk, monkeypatch):
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, raw, place: whole(handle, raw[:100], place))
    store.write(SIZE.box, draw(SIZE.box))
    assert np.array_equal(store.read(SIZE.box), draw(SIZE.box))
    with full_disk(1000), pytest.raises(StorageError, match="disk is full"):
        store.write(SIZE.box, draw(SIZE.box))


def test_a_kill_leaves_what_was_written(tmp_path):
    script = (
        "import os, sys\nimport numpy as np\nfrom pathlib import Path\n"
        "from sfumato.canvas.pixels import FilePixels, create_pixels\n"
        "from sfumato.core.geometry import PixelBox, PixelSize\n"
        "create_pixels(Path(sys.argv[1]), PixelSize(37, 53))\n"
        "store = FilePixels(Path(sys.argv[1]), PixelSize(37, 53))\n"
        "store.write(PixelBox(0, 10, 37, 20), np.full((10, 37, 3), 7, np.uint8))\nos._exit(3)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "a"], check=False, env=environment)
    assert done.returncode == 3
    store = FilePixels(tmp_path / "a", SIZE)
    assert (store.read(PixelBox(0, 10, 37, 20)) == 7).all()
    assert not store.read(PixelBox(0, 20, 37, 53)).any()
    store.close()


@pytest.mark.parametrize("height", [1, BAND_ROWS, BAND_ROWS + 1, 3 * BAND_ROWS - 5])
def test_bands_are_the_picture(height):
    whole = draw(PixelBox(0, 0, 3, height))
    bands = list(list_bands(MemoryPixels(PixelSize(3, height), whole)))
    assert [len(band) for band in bands[:-1]] == [BAND_ROWS] * (len(bands) - 1)
    assert np.array_equal(np.concatenate(bands), whole)


def test_bands_of_wide_pictures_are_flat():
    heights = [choose_band_rows(width) for width in (1, 2048, 4096, 16384, 10**6)]
    assert heights == [BAND_ROWS, BAND_ROWS, BAND_ROWS // 2, BAND_ROWS // 8, 16]


@pytest.mark.parametrize(
    ("size", "longest_px"), [((40, 600), 100), ((600, 33), 64), ((31, 17), 31), ((700, 700), 350), ((5, 900), 1)]
)
def test_a_small_picture_is_the_mean_of_areas(size, longest_px):
    store = MemoryPixels(PixelSize(*size), draw(PixelBox(0, 0, *size)))
    small = make_small(store, longest_px)
    assert max(small.size) <= longest_px
    grain = -(-max(size) // longest_px)
    assert small.size == (-(-size[0] // grain), -(-size[1] // grain))
    found, whole = np.asarray(small, np.float64), store.read(store.size.box).astype(np.float64)
    for row in range(small.height):
        for column in range(small.width):
            part = whole[row * grain : (row + 1) * grain, column * grain : (column + 1) * grain]
            assert np.abs(part.mean(axis=(0, 1)) - found[row, column]).max() <= 0.5 + 1e-6


def test_a_picture_that_is_small_already_stays():
    whole = draw(SIZE.box)
    assert np.array_equal(np.asarray(make_small(MemoryPixels(SIZE, whole), 53)), whole)
    assert isinstance(make_small(MemoryPixels(SIZE, whole), 53), Image.Image)
