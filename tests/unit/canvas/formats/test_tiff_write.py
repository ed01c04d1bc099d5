"""A TIFF of ours is a pyramid to tifffile and to libtiff (through Pillow), and its texts come back."""

import io
import json
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from sfumato.canvas.formats.images import read_request, read_texts
from sfumato.canvas.formats.pyramid import halve
from sfumato.canvas.formats.save import open_writer, save_bands
from sfumato.canvas.formats.tiff_directory import read_directories
from sfumato.canvas.formats.tiles import TileEncoding
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize


def save(path, picture, texts=None, packing=None):
    with open_writer(path, PixelSize(picture.shape[1], picture.shape[0]), texts or {}, packing) as writer:
        writer.write_band(picture)


@pytest.mark.parametrize("tile", [16, 256, 512])
@pytest.mark.parametrize("size", [(1, 1), (300, 17), (257, 513), (640, 600)])
def test_tifffile_reads_every_level(tmp_path, make_picture, size, tile):
    picture = make_picture(*size)
    save(tmp_path / "a.tif", picture, packing=TileEncoding(tile_px=tile))
    with tifffile.TiffFile(tmp_path / "a.tif") as opened:
        assert opened.is_bigtiff
        levels = [page.asarray() for page in opened.pages]
        assert [page.is_reduced for page in opened.pages] == [False] + [True] * (len(levels) - 1)
    expected = [picture]
    while max(expected[-1].shape[:2]) > tile:
        expected.append(halve(expected[-1]))
    assert len(levels) == len(expected)
    assert all(np.array_equal(one, other) for one, other in zip(levels, expected, strict=True))


def test_tifffile_sees_one_series_with_levels(tmp_path, make_picture):
    save(tmp_path / "a.tif", make_picture(1201, 700))
    with tifffile.TiffFile(tmp_path / "a.tif") as opened:
        assert len(opened.series) == 1
        assert opened.series[0].is_pyramidal
        shapes = [level.shape for level in opened.series[0].levels]
    assert shapes == [(700, 1201, 3), (350, 601, 3), (175, 301, 3), (88, 151, 3)]


@pytest.mark.parametrize("quality", [None, 95])
def test_libtiff_reads_every_level(tmp_path, make_picture, quality):
    picture = make_picture(700, 500)
    save(tmp_path / "a.tif", picture, packing=TileEncoding(jpeg_quality=quality))
    with Image.open(tmp_path / "a.tif") as opened:
        assert opened.n_frames == 3
        for level in range(3):
            opened.seek(level)
            seen = np.asarray(opened.convert("RGB")).astype(int)
            assert np.abs(seen - picture).mean() <= (0 if quality is None else 5)
            picture = halve(picture)


def test_every_tile_of_a_lossy_file_is_a_picture_of_its_own(tmp_path, make_picture):
    save(tmp_path / "a.tif", make_picture(300, 300), packing=TileEncoding(jpeg_quality=90))
    with tifffile.TiffFile(tmp_path / "a.tif") as opened:
        page = opened.pages[0]
        assert page.compression.name == "JPEG"
        assert page.photometric.name == "YCBCR"
        raw = (tmp_path / "a.tif").read_bytes()[page.dataoffsets[0] :][: page.databytecounts[0]]
    with Image.open(io.BytesIO(raw)) as tile:
        assert tile.size == (256, 256)


def test_the_request_comes_back(tmp_path, make_picture, texts, stored):
    save(tmp_path / "a.TIFF", make_picture(48, 32), texts)
    assert read_request(tmp_path / "a.TIFF") == stored
    assert read_texts(tmp_path / "a.TIFF") == texts
    with tifffile.TiffFile(tmp_path / "a.TIFF") as opened:
        assert json.loads(opened.pages[0].description) == texts
        assert opened.pages[0].software.startswith("sfumato")


def test_rational_resolution_and_order_of_tags(tmp_path, make_picture):
    save(tmp_path / "a.tif", make_picture(300, 300))
    with tifffile.TiffFile(tmp_path / "a.tif") as opened:
        page = opened.pages[0]
        assert page.tags["XResolution"].value == (1, 1)
        assert [tag.code for tag in page.tags] == sorted(tag.code for tag in page.tags)


def test_tiles_have_sides_that_tiff_allows(tmp_path):
    with pytest.raises(RequestError, match="multiple of 16"):
        open_writer(tmp_path / "a.tif", PixelSize(10, 10), {}, TileEncoding(tile_px=250))
    for wrong in ({"tile_px": 7}, {"tile_px": 10_000}, {"effort": 11}, {"jpeg_quality": 0}):
        with pytest.raises(RequestError):
            TileEncoding(**wrong)
    assert not list(tmp_path.iterdir())


def test_somebody_elses_description_is_no_text_of_ours(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16, 3), np.uint8), bigtiff=True, description="a walk")
    assert read_texts(tmp_path / "a.tif") == {}
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(RequestError, match="no BigTIFF"):
        read_texts(tmp_path / "b.tif")


def test_every_truncation_and_flip_is_an_error_or_a_text_never_a_crash(tmp_path, make_picture, texts):
    path = tmp_path / "a.tif"
    save_bands(path, PixelSize(100, 60), [make_picture(100, 60)], texts)
    raw = path.read_bytes()
    first = struct.unpack("<Q", raw[8:16])[0]
    rng = np.random.default_rng(0)
    broken = [raw[:keep] for keep in range(0, len(raw), 997)]
    for _ in range(300):
        flipped = bytearray(raw)
        flipped[rng.integers(first, first + 400)] = rng.integers(0, 256)
        broken.append(bytes(flipped))
    for each in broken:
        path.write_bytes(each)
        try:
            read_texts(path)
        except RequestError:
            continue


def test_directories_in_a_ring_end(tmp_path, make_picture):
    path = tmp_path / "a.tif"
    save(path, make_picture(30, 30))
    raw = bytearray(path.read_bytes())
    first = struct.unpack("<Q", raw[8:16])[0]
    (count,) = struct.unpack("<Q", raw[first : first + 8])
    place = first + 8 + 20 * count
    raw[place : place + 8] = struct.pack("<Q", first)
    with pytest.raises(RequestError, match="do not end"):
        read_directories(io.BytesIO(raw))
