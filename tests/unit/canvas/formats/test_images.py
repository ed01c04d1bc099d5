"""Pictures in and out: formats, orientation, depth, and what a hostile file can do."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sfumato.canvas.formats.images import load_picture, read_request, read_texts, save_picture
from sfumato.core.errors import RequestError, StorageError, UnsafeFileError
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.write import write_metadata
from sfumato.core.request import RenderRequest

REQUEST = RenderRequest(
    prompt='a "café" — 猫, \U0001f431\nsecond: line', negative="x", size=PixelSize(48, 32), seed=2**64 - 1
)


@pytest.fixture
def noise():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width, height, *chunks, depth=8):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".PNG"])
def test_request_comes_back_from_every_format(tmp_path, noise, suffix):
    path = tmp_path / f"a{suffix}"
    save_picture(path, noise, write_metadata(REQUEST))
    assert read_request(path) == REQUEST
    assert read_texts(path)["parameters"] == write_metadata(REQUEST)["parameters"]
    assert load_picture(path).size == noise.size


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_lossless_formats_keep_every_bit(tmp_path, noise, suffix):
    path = tmp_path / f"a{suffix}"
    save_picture(path, noise, {})
    assert np.array_equal(np.asarray(load_picture(path)), np.asarray(noise))


def test_same_picture_gives_the_same_bytes(tmp_path, noise):
    for name in ("a.png", "b.png"):
        save_picture(tmp_path / name, noise, write_metadata(REQUEST))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_png_texts_are_readable_by_others(tmp_path, noise):
    save_picture(tmp_path / "a.png", noise, write_metadata(REQUEST))
    with Image.open(tmp_path / "a.png") as picture:
        assert set(picture.text) == {"parameters", "sfumato", "XML:com.adobe.xmp"}


def test_transparency_and_orientation(tmp_path):
    clear = Image.new("RGBA", (4, 2), (255, 0, 0, 128))
    save_picture(tmp_path / "a.png", clear, {})
    assert load_picture(tmp_path / "a.png").getpixel((0, 0)) == (255, 0, 0, 128)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert load_picture(tmp_path / "turned.jpg").size == (20, 40)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    grey = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert [pixel[0] for pixel in np.asarray(load_picture(tmp_path / "a.png"))[0]] == [0, 1, 128, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(path)
    loaded = load_picture(path)
    assert loaded.mode in ("RGB", "RGBA")
    assert loaded.convert("RGB").getpixel((3, 3)) == (255, 255, 255)


def test_only_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ((250, 0, 0), (0, 250, 0))]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert load_picture(tmp_path / "a.png").getpixel((0, 0)) == (250, 0, 0)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PDF", "PPM", "ICO"])
def test_other_formats_are_refused_whatever_their_name(tmp_path, kind):
    Image.new("RGB", (16, 16)).save(tmp_path / "a", format=kind)
    (tmp_path / "a").rename(tmp_path / "a.png")
    with pytest.raises(RequestError, match="PNG, JPEG or WebP"):
        load_picture(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(60_000, 60_000), (1, 2**31 - 1)])
def test_giant_is_refused_from_its_header(tmp_path, size):
    # A few hundred bytes that promise gigabytes.
    (tmp_path / "a.png").write_bytes(png(*size, chunk(b"IDAT", zlib.compress(bytes(1000)))))
    with pytest.raises(UnsafeFileError, match="pixels"):
        load_picture(tmp_path / "a.png")


def test_giant_webp_is_refused_from_its_header(tmp_path):
    stream = io.BytesIO()
    Image.new("RGBA", (16, 16), (1, 2, 3, 4)).save(stream, format="WEBP", lossless=True, exif=b"Exif\0\0" + bytes(8))
    raw = bytearray(stream.getvalue())
    assert raw[12:16] == b"VP8X"
    raw[24:30] = b"\xff\x3f\x00" * 2
    (tmp_path / "a.webp").write_bytes(raw)
    with pytest.raises(UnsafeFileError):
        load_picture(tmp_path / "a.webp", most_pixels=2**20)


def test_limit_is_the_callers(tmp_path, noise):
    save_picture(tmp_path / "a.png", noise, {})
    with pytest.raises(UnsafeFileError, match="MAX_PICTURE_PIXELS"):
        load_picture(tmp_path / "a.png", most_pixels=100)


def test_limit_is_the_setting_otherwise(tmp_path, noise, monkeypatch):
    save_picture(tmp_path / "a.png", noise, {})
    monkeypatch.setenv("SFUMATO_MAX_PICTURE_PIXELS", "100")
    with pytest.raises(UnsafeFileError, match="100 pixels"):
        load_picture(tmp_path / "a.png")


@pytest.mark.parametrize("read", [load_picture, read_texts, read_request])
@pytest.mark.parametrize("name", [b"zTXt", b"iTXt"])
def test_text_bomb_is_refused(tmp_path, read, name):
    packed = zlib.compress(bytes(50_000_000), 9)
    body = b"parameters\0\0" + packed if name == b"zTXt" else b"parameters\0\1\0\0\0" + packed
    raw = png(1, 1, chunk(name, body), chunk(b"IDAT", zlib.compress(b"\0\0")))
    assert len(raw) < 100_000
    (tmp_path / "a.png").write_bytes(raw)
    with pytest.raises(UnsafeFileError, match="too much text"):
        read(tmp_path / "a.png")


def test_colour_profile_bomb_is_refused(tmp_path):
    body = b"icc\0\0" + zlib.compress(bytes(200_000_000), 9)
    (tmp_path / "a.png").write_bytes(png(1, 1, chunk(b"iCCP", body), chunk(b"IDAT", zlib.compress(b"\0\0"))))
    with pytest.raises(UnsafeFileError):
        load_picture(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_every_truncation_is_an_error_or_a_picture_never_a_crash(tmp_path, noise, suffix):
    path = tmp_path / f"a.{suffix}"
    save_picture(path, noise, write_metadata(REQUEST))
    raw = path.read_bytes()
    for keep in range(0, len(raw), max(1, len(raw) // 60)):
        path.write_bytes(raw[:keep])
        for read in (load_picture, read_texts):
            try:
                read(path)
            except (RequestError, UnsafeFileError):
                continue


# Pillow grumbles about damaged EXIF and goes on; that is what is wanted from it.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_flipped_bytes_are_an_error_or_a_picture_never_a_crash(tmp_path, noise, suffix):
    path = tmp_path / f"a.{suffix}"
    save_picture(path, noise, write_metadata(REQUEST))
    raw = path.read_bytes()
    stream = np.random.default_rng(1)
    for _ in range(150):
        broken = bytearray(raw)
        for place in stream.integers(0, min(len(raw), 400), 3):
            broken[place] = stream.integers(0, 256)
        path.write_bytes(broken)
        try:
            load_picture(path, most_pixels=10_000_000)
        except (RequestError, UnsafeFileError):
            continue


def test_foreign_text_in_our_place_is_no_request(tmp_path, noise):
    for text in ("", "{}", "[1]", '{"kind": "render", "prompt": "x", "size": "8x8", "model_url": "x"}', "\x1b[31m"):
        save_picture(tmp_path / "a.png", noise, {"sfumato": text})
        with pytest.raises(RequestError):
            read_request(tmp_path / "a.png")
    save_picture(tmp_path / "a.png", noise, {})
    with pytest.raises(RequestError, match="no request"):
        read_request(tmp_path / "a.png")


def test_paths_that_are_no_pictures(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("absent.png", "empty.png", "pipe.png", "."):
        with pytest.raises(RequestError):
            load_picture(tmp_path / name)


def test_saving_refuses_other_suffixes_and_oversized_texts(tmp_path, noise):
    with pytest.raises(RequestError, match=r"saved as \.png"):
        save_picture(tmp_path / "a.gif", noise, {})
    with pytest.raises(StorageError, match="do not fit"):
        save_picture(tmp_path / "a.jpg", noise, {"parameters": "x" * 70_000})
    assert list(tmp_path.iterdir()) == []


def test_little_endian_comments_of_other_tools_are_read(tmp_path, noise):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "a cat\nSteps: 3".encode("utf-16-le")
    noise.save(tmp_path / "a.jpg", exif=exif)
    assert read_texts(tmp_path / "a.jpg")["parameters"] == "a cat\nSteps: 3"


def test_texts_of_other_tools_stay_text(tmp_path, noise):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("workflow", '{"nodes": []}')
    noise.save(tmp_path / "a.png", pnginfo=texts)
    assert read_texts(tmp_path / "a.png")["workflow"] == '{"nodes": []}'
