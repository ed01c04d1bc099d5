"""A picture is whole or absent: misuse, a full disk, a kill, and any way of cutting it into bands."""

import itertools
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.canvas.formats.images import load_picture, read_texts
from sfumato.canvas.formats.save import open_writer, save_bands, save_canvas
from sfumato.canvas.formats.tiles import TileEncoding
from sfumato.core.errors import RequestError, StorageError
from sfumato.core.geometry import PixelSize

NAMES = ["a.png", "a.tif", "a.dzi"]
SIZE = PixelSize(300, 280)


def noise(size=SIZE):
    return np.random.default_rng(0).integers(0, 256, (size.height, size.width, 3), dtype=np.uint8)


def stop_half_way(writer):
    with writer:
        writer.write_band(noise()[:70])
        raise KeyboardInterrupt


def read_tree(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_there_before_the_end(tmp_path, name):
    writer = open_writer(tmp_path / name, SIZE, {})
    writer.write_band(noise())
    assert all(path.name.startswith(".a") and path.name.endswith(".part") for path in tmp_path.iterdir())
    writer.finish()
    assert (tmp_path / name).exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", NAMES)
def test_an_abort_leaves_what_was_there(tmp_path, name):
    save_bands(tmp_path / name, SIZE, [noise()], {"parameters": "old"})
    before = read_tree(tmp_path)
    writer = open_writer(tmp_path / name, SIZE, {})
    with pytest.raises(KeyboardInterrupt):
        stop_half_way(writer)
    assert read_tree(tmp_path) == before
    writer.abort()
    with pytest.raises(RequestError, match="closed"):
        writer.write_band(noise()[:1])


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path, full_disk, name):
    save_bands(tmp_path / name, SIZE, [noise()], {"parameters": "old"})
    before = read_tree(tmp_path)
    with full_disk(30_000), pytest.raises(StorageError, match="disk is full") as caught:
        save_bands(tmp_path / name, SIZE, (noise()[top : top + 10] for top in range(0, SIZE.height, 10)), {})
    assert "Free some disk space" in caught.value.do
    assert read_tree(tmp_path) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_fills_up_at_the_last_moment_is_no_different(tmp_path, full_disk, name):
    writer = open_writer(tmp_path / name, SIZE, {"parameters": "x" * 3000})
    writer.write_band(np.zeros((SIZE.height, SIZE.width, 3), np.uint8))
    with full_disk(100), pytest.raises(StorageError, match="disk is full"):
        writer.finish()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_error_with_three_parts(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for name in NAMES:
        with pytest.raises(StorageError, match="could not be written"):
            open_writer(tmp_path / "file" / name, SIZE, {})


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_band_is_refused(tmp_path, name):
    writer = open_writer(tmp_path / name, SIZE, {})
    for wrong in (np.zeros((5, 299, 3), np.uint8), np.zeros((5, 300), np.uint8), np.zeros((5, 300, 3), np.float32)):
        with pytest.raises(RequestError, match="a band is uint8"):
            writer.write_band(wrong)
    writer.write_band(noise()[:0])
    writer.write_band(noise()[:279])
    with pytest.raises(RequestError, match="280 rows"):
        writer.write_band(noise()[:2])
    with pytest.raises(RequestError, match="not complete") as caught:
        writer.finish()
    assert caught.value.got == "279 of 280 rows"
    assert not list(tmp_path.iterdir())


def test_other_suffixes_and_idle_options_are_refused(tmp_path):
    with pytest.raises(RequestError, match=r"\.tif"):
        open_writer(tmp_path / "a.gif", SIZE, {})
    with pytest.raises(RequestError, match="no tiles"):
        open_writer(tmp_path / "a.png", SIZE, {}, TileEncoding(jpeg_quality=90))


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_do_not_depend_on_the_bands(tmp_path, make_picture, name):
    picture = make_picture(600, 530)
    trees = []
    for number, cuts in enumerate(([530], [1] * 530, [256, 1, 255, 18], [100, 0, 254, 176])):
        folder = tmp_path / str(number)
        edges = np.cumsum([0, *cuts]).tolist()
        bands = [picture[top:bottom] for top, bottom in itertools.pairwise(edges)]
        save_bands(folder / name, PixelSize(600, 530), bands, {"parameters": "x"})
        trees.append(read_tree(folder))
    assert all(tree == trees[0] for tree in trees)


def measure_peak(path, height):
    """Return the most bytes of arrays and Python objects alive while a picture of 512 px width is written."""
    band = np.zeros((64, 512, 3), np.uint8)
    tracemalloc.start()
    try:
        with open_writer(path, PixelSize(512, height), {}) as writer:
            for _ in range(0, height, 64):
                writer.write_band(band)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", NAMES)
def test_memory_does_not_follow_the_height(tmp_path, name):
    low, high = (measure_peak(tmp_path / str(height) / name, height) for height in (1024, 4096))
    # Four times the rows, 4.7 MB of pixels more; what grows is two small levels.
    assert high < low + 200_000


def test_a_kill_leaves_only_temporary_names(tmp_path):
    script = """
import os, signal, sys
import numpy as np
from pathlib import Path
from sfumato.canvas.formats.save import open_writer
from sfumato.core.geometry import PixelSize

writers = [open_writer(Path(sys.argv[1]) / name, PixelSize(300, 600), {}) for name in ("a.png", "a.tif", "a.dzi")]
for writer in writers:
    writer.write_band(np.zeros((550, 300, 3), np.uint8))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=False, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.returncode == -signal.SIGKILL
    left = sorted(path.name.rsplit(".", 2)[0] for path in tmp_path.iterdir())
    assert left == [".a.png", ".a.tif", ".a_files"]
    assert all(path.suffix == ".part" for path in tmp_path.iterdir())


@pytest.mark.parametrize("name", [*NAMES, "a.jpg", "a.webp"])
def test_a_picture_in_memory_goes_to_every_format(tmp_path, texts, name):
    save_canvas(tmp_path / name, Image.fromarray(noise()), texts)
    assert read_texts(tmp_path / name) == texts


def test_transparent_parts_of_a_pyramid_are_white(tmp_path):
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    save_canvas(tmp_path / "a.dzi", clear, {})
    assert load_picture(tmp_path / "a_files" / "5" / "0_0.png").getpixel((3, 3)) == (255, 255, 255)
    save_canvas(Path(tmp_path) / "a.png", clear, {})
    assert load_picture(tmp_path / "a.png").mode == "RGBA"
