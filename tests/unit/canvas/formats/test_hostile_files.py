"""Files that claim or hide much: time grows no faster than the file, memory only with what is used."""

import contextlib
import os
import struct
import time
import tracemalloc

import pytest
from PIL import Image

from hostile import write_png
from sfumato.canvas.formats.deepzoom_index import LONGEST_BYTES, parse_index
from sfumato.canvas.formats.images import count_decode_bytes, read_size, read_texts
from sfumato.canvas.formats.read import open_regions
from sfumato.core.errors import RequestError, SfumatoError
from sfumato.core.geometry import PixelSize

SIZE = b'<Size Width="1" Height="1"/>'
# What a reader could try twice: long words, gaps, quotes and brackets without their ends.
FILLINGS = [
    b"a",
    b"a ",
    b" ",
    b"a=",
    b'a="',
    b"a='b",
    b"<Image ",
    b"<sf:Texts>",
    b"&#9",
    b"&#x9",
    b"&",
    b":",
    b'a="b" ',
]


@pytest.mark.parametrize("filling", FILLINGS)
@pytest.mark.parametrize(
    "around", [b"<Image %b>" + SIZE, b"%b", b"<Image/>" + SIZE + b"<sf:Texts>%b</sf:Texts>", b"<Size %b>"]
)
def test_a_description_takes_linear_time(filling, around):
    raw = around.replace(b"%b", filling * (LONGEST_BYTES // len(filling)))
    began = time.process_time()
    with pytest.raises(RequestError):
        parse_index(raw)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(("width", "height"), [(10**9, 1), (1, 10**9), (10**4000, 1)])
def test_a_description_of_an_impossible_size_is_refused(width, height):
    image = b'<Image Format="png" Overlap="1" TileSize="254">'
    with pytest.raises(RequestError):
        parse_index(image + f'<Size Width="{width}" Height="{height}"/>'.encode())


def write_tiff(path, tags, kind, count, directories=40):
    """Write directories whose tags all point at the same bytes."""
    size = 8 + 20 * len(tags) + 8
    place = 16 + size * directories
    width = {2: 1, 3: 2, 4: 4, 16: 8}[kind]
    with path.open("wb") as stream:
        stream.write(b"II\x2b\0" + struct.pack("<HHQ", 8, 0, 16))
        for number in range(directories):
            entries = b"".join(struct.pack("<HHQQ", tag, kind, count // width, place) for tag in tags)
            following = 0 if number + 1 == directories else 16 + size * (number + 1)
            stream.write(struct.pack("<Q", len(tags)) + entries + struct.pack("<Q", following))
        stream.truncate(place + count)


@pytest.mark.parametrize("kind", [2, 3, 4, 16])
@pytest.mark.parametrize("count", [1024 * 1024, 1024**3], ids=["1 MB", "sparse 1 GB"])
@pytest.mark.parametrize(
    "tags", [[254, 256, 257, 258, 259, 262, 277, 284, 296, 317, 322, 323, 324, 325, 530], [324, 325]]
)
@pytest.mark.parametrize("read", [read_texts, open_regions])
def test_a_tiff_takes_memory_for_what_is_used(tmp_path, kind, count, tags, read):
    write_tiff(tmp_path / "a.tif", tags, kind, count)
    tracemalloc.start()
    began = time.process_time()
    with contextlib.suppress(SfumatoError):
        read(tmp_path / "a.tif")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 1024**2
    assert time.process_time() - began < 2


def test_the_size_and_the_memory_of_a_picture_are_known_before_it_is_decoded(tmp_path):
    write_png(tmp_path / "a.png", 16384, 16384)
    assert read_size(tmp_path / "a.png") == PixelSize(16384, 16384)
    assert count_decode_bytes(tmp_path / "a.png") >= 16384 * 16384 * 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_the_size_is_that_of_the_upright_picture(tmp_path, orientation, suffix):
    from sfumato.canvas.formats.images import load_picture

    path, exif = tmp_path / f"a{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (20, 10)).save(path, exif=exif)
    assert read_size(path).shape_hw[::-1] == load_picture(path).size


def test_a_place_of_a_tile_beyond_the_file_is_an_error(tmp_path):
    from sfumato.canvas.formats.save import save_canvas

    path = tmp_path / "a.tif"
    save_canvas(path, Image.new("RGB", (40, 40)), {})
    raw = path.read_bytes()
    # The first tile starts behind the header.
    place = raw.index(struct.pack("<QQ", 324 | 16 << 16 | 1 << 32, 0)[:6])
    for value in (len(raw), 2**63 - 1, 2**64 - 1):
        path.write_bytes(raw[: place + 12] + struct.pack("<Q", value) + raw[place + 20 :])
        regions = open_regions(path)
        with pytest.raises(RequestError, match="damaged"):
            regions.read(regions.sizes[0].box)
    assert os.path.getsize(path) == len(raw)
