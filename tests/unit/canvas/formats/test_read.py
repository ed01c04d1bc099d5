"""Boxes of large pictures come back from every format, and damage is an error."""

import numpy as np
import pytest
from PIL import Image

from sfumato.canvas.formats import png_read
from sfumato.canvas.formats.pyramid import halve
from sfumato.canvas.formats.read import open_region, open_regions, read_reduced
from sfumato.canvas.formats.save import open_writer, save_bands
from sfumato.canvas.formats.tiles import TileEncoding
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox, PixelSize

BOXES = [PixelBox(0, 0, 700, 530), PixelBox(0, 0, 1, 1), PixelBox(699, 529, 700, 530), PixelBox(250, 250, 520, 260)]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.dzi"])
@pytest.mark.parametrize("box", BOXES)
def test_a_box_is_what_was_written_there(tmp_path, make_picture, name, box):
    picture = make_picture(700, 530)
    save_bands(tmp_path / name, PixelSize(700, 530), [picture], {})
    assert np.array_equal(open_region(tmp_path / name, box), picture[box.slices_hw])


@pytest.mark.parametrize("name", ["a.tif", "a.dzi"])
def test_levels_are_halves(tmp_path, make_picture, name):
    picture = make_picture(700, 530)
    save_bands(tmp_path / name, PixelSize(700, 530), [picture], {})
    sizes = open_regions(tmp_path / name).sizes
    assert sizes[0] == PixelSize(700, 530)
    for level, size in enumerate(sizes):
        assert np.array_equal(open_region(tmp_path / name, size.box, level=level), picture)
        picture = halve(picture)
    with pytest.raises(RequestError, match="levels 0 to"):
        open_region(tmp_path / name, PixelBox(0, 0, 1, 1), level=len(sizes))


@pytest.mark.parametrize("name", ["a.tif", "a.dzi"])
def test_lossy_tiles_come_back_nearly(tmp_path, make_picture, name):
    picture = make_picture(300, 300)
    with open_writer(tmp_path / name, PixelSize(300, 300), {}, TileEncoding(jpeg_quality=95)) as writer:
        writer.write_band(picture)
    found = open_region(tmp_path / name, PixelBox(200, 100, 300, 290))
    assert np.abs(found.astype(int) - picture[100:290, 200:300]).mean() < 5


def test_a_png_is_read_in_bands(tmp_path, make_picture, monkeypatch):
    monkeypatch.setattr(png_read, "_BAND_BYTES", 5000)
    monkeypatch.setattr(png_read, "_READ_BYTES", 700)
    picture = make_picture(90, 200)
    save_bands(tmp_path / "a.png", PixelSize(90, 200), [picture], {})
    assert np.array_equal(open_region(tmp_path / "a.png", PixelBox(3, 50, 80, 199)), picture[50:199, 3:80])


def test_pngs_of_other_programs_are_read_when_they_are_of_our_kind(tmp_path, make_picture):
    picture = make_picture(90, 40)
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert np.array_equal(open_region(tmp_path / "a.png", PixelBox(1, 2, 90, 40)), picture[2:, 1:])
    for mode in ("L", "RGBA", "P"):
        Image.fromarray(picture).convert(mode).save(tmp_path / "b.png")
        with pytest.raises(RequestError, match="8-bit colour"):
            open_region(tmp_path / "b.png", PixelBox(0, 0, 1, 1))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.dzi"])
@pytest.mark.parametrize("most", [1, 100, 256, 300, 9999])
def test_a_small_picture_of_a_large_one_is_the_same_from_every_format(tmp_path, make_picture, name, most):
    picture = make_picture(700, 530)
    save_bands(tmp_path / name, PixelSize(700, 530), [picture], {})
    while max(picture.shape[:2]) > most:
        picture = halve(picture)
    assert np.array_equal(read_reduced(tmp_path / name, most_px=most), picture)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.dzi"])
def test_a_walk_gives_every_row_once(tmp_path, make_picture, name):
    picture = make_picture(90, 700)
    save_bands(tmp_path / name, PixelSize(90, 700), [picture], {})
    assert np.array_equal(np.concatenate(list(open_regions(tmp_path / name).walk())), picture)


def test_a_png_that_ends_early_is_damaged(tmp_path, make_picture):
    save_bands(tmp_path / "a.png", PixelSize(90, 40), [make_picture(90, 40)], {})
    raw = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(raw[:600])
    with pytest.raises(RequestError, match="missing"):
        open_region(tmp_path / "a.png", PixelBox(0, 39, 1, 40))


def test_boxes_outside_and_other_files_are_refused(tmp_path, make_picture):
    save_bands(tmp_path / "a.tif", PixelSize(30, 20), [make_picture(30, 20)], {})
    for box in (PixelBox(0, 0, 31, 5), PixelBox(-1, 0, 5, 5)):
        with pytest.raises(RequestError, match="outside"):
            open_region(tmp_path / "a.tif", box)
    (tmp_path / "a.png").write_text("no picture")
    for name in ("a.png", "none.tif", "none.dzi", "a.gif"):
        with pytest.raises(RequestError):
            open_region(tmp_path / name, PixelBox(0, 0, 1, 1))


@pytest.mark.parametrize(("name", "quality"), [("a.png", None), ("a.tif", None), ("a.tif", 90)])
def test_damage_is_an_error_or_a_picture_never_a_crash(tmp_path, make_picture, name, quality):
    path, size = tmp_path / name, PixelSize(60, 50)
    with open_writer(
        path, size, {}, TileEncoding(tile_px=None if name == "a.png" else 32, jpeg_quality=quality)
    ) as writer:
        writer.write_band(make_picture(60, 50))
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    failures = 0
    for _ in range(200):
        broken = bytearray(raw)
        for place in rng.integers(0, len(raw), 4):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken)
        try:
            assert open_region(path, size.box).shape == (50, 60, 3)
        except RequestError:
            failures += 1
    assert failures > 10


def test_damaged_tiles_are_named(tmp_path, make_picture):
    save_bands(tmp_path / "a.dzi", PixelSize(60, 50), [make_picture(60, 50)], {})
    tile = tmp_path / "a_files" / "6" / "0_0.png"
    raw = tile.read_bytes()
    for broken in (b"", raw[:100], (tmp_path / "a_files" / "5" / "0_0.png").read_bytes()):
        tile.write_bytes(broken)
        with pytest.raises(RequestError, match="tile"):
            open_region(tmp_path / "a.dzi", PixelBox(0, 0, 60, 50))
    tile.unlink()
    with pytest.raises(RequestError, match="cannot be opened"):
        open_region(tmp_path / "a.dzi", PixelBox(0, 0, 60, 50))
