"""A DeepZoom picture has the levels, tiles and overlaps that viewers expect, and never half of them."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from sfumato.canvas.formats.deepzoom_index import DeepZoomIndex, parse_index
from sfumato.canvas.formats.images import read_request
from sfumato.canvas.formats.pyramid import halve
from sfumato.canvas.formats.save import open_writer, save_bands
from sfumato.canvas.formats.tiles import TileEncoding
from sfumato.core.errors import RequestError, StorageError
from sfumato.core.files import file_sha256
from sfumato.core.geometry import PixelSize

SCHEMA = "{http://schemas.microsoft.com/deepzoom/2008}"


def save(path, picture, texts=None, packing=None):
    with open_writer(path, PixelSize(picture.shape[1], picture.shape[0]), texts or {}, packing) as writer:
        writer.write_band(picture)


def read_tree(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (254, 254), (255, 256), (600, 509), (509, 1)])
def test_every_tile_is_where_a_viewer_looks_for_it(tmp_path, make_picture, size):
    """The arithmetic of viewers: level n has ceil(size / 2^(top - n)) pixels, a tile its inner neighbours' first."""
    whole = make_picture(*size)
    save(tmp_path / "a.dzi", whole)
    top = int(np.ceil(np.log2(max(size))))
    expected = set()
    for level in range(top, -1, -1):
        height, width = whole.shape[:2]
        assert (width, height) == tuple(-(-side // 2 ** (top - level)) for side in size)
        for column in range(-(-width // 254)):
            for row in range(-(-height // 254)):
                name = f"{level}/{column}_{row}.png"
                expected.add(name)
                part = whole[max(0, row * 254 - 1) : row * 254 + 255, max(0, column * 254 - 1) : column * 254 + 255]
                with Image.open(tmp_path / "a_files" / name) as tile:
                    assert np.array_equal(np.asarray(tile), part), name
        whole = halve(whole)
    assert set(read_tree(tmp_path / "a_files")) == expected


def test_the_description_is_xml_that_viewers_know(tmp_path, make_picture, texts):
    save(tmp_path / "a.dzi", make_picture(300, 200), texts, TileEncoding(jpeg_quality=90, tile_px=510))
    image = ET.parse(tmp_path / "a.dzi").getroot()
    assert image.tag == f"{SCHEMA}Image"
    assert dict(image.attrib) == {"Format": "jpg", "Overlap": "1", "TileSize": "510"}
    assert dict(image.find(f"{SCHEMA}Size").attrib) == {"Width": "300", "Height": "200"}
    with Image.open(tmp_path / "a_files" / "9" / "0_0.jpg") as tile:
        assert (tile.format, tile.size) == ("JPEG", (300, 200))


def test_the_request_comes_back(tmp_path, make_picture, texts, stored):
    save(tmp_path / "a.dzi", make_picture(48, 32), texts)
    assert read_request(tmp_path / "a.dzi") == stored


def test_the_digest_of_the_description_covers_the_tiles(tmp_path, make_picture):
    picture = make_picture(300, 200)
    save(tmp_path / "a.dzi", picture)
    picture[150, 20] += 1
    save(tmp_path / "b.dzi", picture)
    save(tmp_path / "c.dzi", picture)
    first, second, third = (file_sha256(tmp_path / name) for name in ("a.dzi", "b.dzi", "c.dzi"))
    assert first != second
    assert second == third


def test_an_older_picture_is_replaced_whole(tmp_path, make_picture):
    save(tmp_path / "a.dzi", make_picture(600, 600))
    save(tmp_path / "a.dzi", make_picture(30, 20))
    save(tmp_path / "b.dzi", make_picture(30, 20))
    assert read_tree(tmp_path / "a_files") == read_tree(tmp_path / "b_files")
    assert {path.name for path in tmp_path.iterdir()} == {"a.dzi", "a_files", "b.dzi", "b_files"}


def test_the_saved_page_of_a_browser_is_never_removed(tmp_path, make_picture):
    (tmp_path / "a_files").mkdir()
    (tmp_path / "a_files" / "photo.jpg").write_bytes(b"dear")
    with pytest.raises(RequestError, match="something else"):
        save(tmp_path / "a.dzi", make_picture(30, 20))
    (tmp_path / "b_files").symlink_to(tmp_path / "a_files")
    with pytest.raises(RequestError, match="something else"):
        save(tmp_path / "b.dzi", make_picture(30, 20))
    assert (tmp_path / "a_files" / "photo.jpg").read_bytes() == b"dear"
    (tmp_path / "a_files" / "photo.jpg").rename(tmp_path / "a_files" / "2023")
    with pytest.raises(RequestError, match="something else"):
        save(tmp_path / "a.dzi", make_picture(30, 20))
    assert {path.name for path in tmp_path.iterdir()} == {"a_files", "b_files"}


def test_a_refused_last_step_brings_the_older_picture_back(tmp_path, make_picture):
    save(tmp_path / "a.dzi", make_picture(300, 200))
    before = read_tree(tmp_path)
    writer = open_writer(tmp_path / "a.dzi", PixelSize(30, 20), {})
    writer.write_band(make_picture(30, 20))
    # The very last thing is the move of the new words to their name; without them it fails.
    original = writer._sink._swap

    def swap(new, described):
        described._beside.unlink()
        original(new, described)

    writer._sink._swap = swap
    with pytest.raises(StorageError):
        writer.finish()
    assert read_tree(tmp_path) == before


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<Image/>",
        b'<Image TileSize="254" Overlap="1" Format="png"><Size Width="0" Height="5"/></Image>',
        b'<Image TileSize="254" Overlap="1" Format="exe"><Size Width="5" Height="5"/></Image>',
        b'<Image TileSize="-2" Overlap="1" Format="png"><Size Width="5" Height="5"/></Image>',
        b'<Image TileSize="254" Overlap="9999" Format="png"><Size Width="5" Height="5"/></Image>',
        b'<Image TileSize="254" Overlap="1" Format="png"><Size Width="9e9" Height="5"/></Image>',
        b'<!DOCTYPE x [<!ENTITY a "b">]><Image TileSize="&a;" Overlap="1" Format="png"><Size Width="5" Height="5"/></Image>',
    ],
)
def test_other_descriptions_are_refused(raw):
    with pytest.raises(RequestError):
        parse_index(raw)


def test_descriptions_of_other_programs_are_read():
    raw = b"""<?xml version='1.0'?><Image xmlns='x' TileSize='256' Overlap='0' Format='JPEG'>
    <Size Height='3' Width='4'></Size></Image>"""
    found = parse_index(raw)
    assert found == DeepZoomIndex(size=PixelSize(4, 3), tile_px=256, overlap_px=0, suffix="jpeg")


def test_words_survive_whatever_they_are(texts):
    hostile = {"parameters": "</sf:Texts><Size Width='1'/>]]>&amp;\x00\x1b\ud7ff", "sfumato": texts["sfumato"]}
    description = DeepZoomIndex(size=PixelSize(4, 3), tile_px=254, overlap_px=1, suffix="png", texts=hostile)
    assert parse_index(description.to_xml().encode()).texts == hostile
    assert re.fullmatch(r"[\x20-\x7e\n]*", description.to_xml())


def test_bands_may_have_any_height(tmp_path, make_picture):
    picture = make_picture(530, 700)
    for name, cut in (("a", 700), ("b", 1), ("c", 255)):
        bands = (picture[top : top + cut] for top in range(0, 700, cut))
        save_bands(tmp_path / f"{name}.dzi", PixelSize(530, 700), bands, {})
    assert read_tree(tmp_path / "a_files") == read_tree(tmp_path / "b_files") == read_tree(tmp_path / "c_files")
    assert (tmp_path / "a.dzi").read_bytes() == (tmp_path / "b.dzi").read_bytes() == (tmp_path / "c.dzi").read_bytes()
