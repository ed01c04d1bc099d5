"""Pictures with any colour profile are seen in sRGB, and pictures of ours say that they are."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from sfumato.canvas.formats.colour_profile import find_conversion, make_srgb_profile
from sfumato.canvas.formats.images import load_picture, save_picture
from sfumato.canvas.formats.read import open_regions
from sfumato.canvas.formats.save import save_canvas
from sfumato.core.errors import RequestError


def swap_primaries():
    """Return a profile in which red and green are exchanged: the difference is as large as it can be."""
    raw = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {}
    for at in range(132, 132 + 12 * struct.unpack(">I", raw[128:132])[0], 12):
        places[bytes(raw[at : at + 4])] = struct.unpack(">I", raw[at + 4 : at + 8])[0] + 8
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    raw[red : red + 12], raw[green : green + 12] = raw[green : green + 12], raw[red : red + 12]
    return bytes(raw)


SWAPPED = swap_primaries()


@pytest.mark.parametrize(("suffix", "slack"), [(".png", 1), (".webp", 1), (".jpg", 5)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_profile_is_converted_in_every_format_and_mode(tmp_path, suffix, slack, mode):
    if (suffix == ".jpg" and mode != "RGB") or (suffix == ".webp" and mode == "P"):
        pytest.skip("the format has no such mode")
    path = tmp_path / f"a{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    Image.new("RGB", (64, 64), (0, 255, 0)).convert(mode).save(path, icc_profile=SWAPPED, **options)
    found = load_picture(path)
    assert np.abs(np.subtract(found.convert("RGB").getpixel((9, 9)), (255, 0, 0))).max() <= slack


def test_transparency_passes_the_conversion(tmp_path):
    Image.new("RGBA", (4, 4), (0, 255, 0, 77)).save(tmp_path / "a.png", icc_profile=SWAPPED)
    assert load_picture(tmp_path / "a.png").getpixel((0, 0))[3] == 77


def test_a_grey_picture_with_a_profile_for_colours_stays_grey(tmp_path):
    Image.new("L", (4, 4), 100).save(tmp_path / "a.png", icc_profile=SWAPPED)
    found = load_picture(tmp_path / "a.png").getpixel((0, 0))
    assert max(found) - min(found) <= 1
    assert abs(found[0] - 100) <= 1


def test_bands_of_a_large_png_are_converted_too(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=SWAPPED)
    whole = np.asarray(load_picture(tmp_path / "a.png"))
    assert np.array_equal(np.concatenate(list(open_regions(tmp_path / "a.png").walk())), whole)
    assert np.abs(whole.astype(int) - pixels).max() > 50


@pytest.mark.parametrize(
    "profile", [make_srgb_profile(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()]
)
def test_srgb_by_any_maker_changes_no_bit(tmp_path, profile):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=profile)
    assert find_conversion(profile) is None
    assert np.array_equal(np.asarray(load_picture(tmp_path / "a.png")), pixels)


@pytest.mark.parametrize("profile", [b"no profile", SWAPPED[:200], SWAPPED[:300], bytes(400)])
def test_a_damaged_profile_is_refused_with_advice(tmp_path, profile):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", icc_profile=profile)
    with pytest.raises(RequestError, match="profile") as caught:
        load_picture(tmp_path / "a.png")
    assert "sRGB" in caught.value.do


def test_our_profile_is_srgb_to_a_colour_engine():
    opened = ImageCms.ImageCmsProfile(io.BytesIO(make_srgb_profile()))
    assert opened.profile.xcolor_space.strip() == "RGB"
    cube = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    there = ImageCms.profileToProfile(Image.fromarray(cube), opened, ImageCms.createProfile("sRGB"))
    assert np.abs(np.asarray(there).astype(int) - cube).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_what_we_save_says_that_it_is_srgb(tmp_path, suffix, mode):
    path = tmp_path / f"a{suffix}"
    save_picture(path, Image.new(mode, (8, 8), (1, 2, 3)), {"parameters": "x"})
    with Image.open(path) as picture:
        assert picture.info.get("srgb") == 0 if suffix == ".png" else picture.info["icc_profile"] == make_srgb_profile()
        assert suffix != ".png" or "icc_profile" not in picture.info


def test_bands_say_that_they_are_srgb(tmp_path):
    picture = Image.new("RGB", (40, 30), (1, 2, 3))
    save_canvas(tmp_path / "a.tif", picture, {})
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert [page.iccprofile for page in tiff.pages] == [make_srgb_profile()]
    from sfumato.canvas.formats.save import save_bands
    from sfumato.core.geometry import PixelSize

    save_bands(tmp_path / "b.png", PixelSize(40, 30), [np.asarray(picture)], {})
    with Image.open(tmp_path / "b.png") as found:
        assert found.info["srgb"] == 0
