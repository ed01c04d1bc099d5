"""Colour profiles: pictures from outside are converted to sRGB, pictures of ours are tagged as sRGB.

Knows ICC profiles and pixels, no file. The tag is a profile of our own with fixed bytes, because a
library writes the current time into the profiles it makes. Start reading at `find_conversion`.

Source: ICC.1:2010 (profile format), IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from sfumato.core.errors import RequestError

Convert = Callable[[Image.Image], Image.Image]

# Colours an axis of the cube on which a profile is compared with sRGB.
_CUBE_SIDE = 9
# A profile that moves no colour of the cube further than this (of 255) is sRGB by another maker.
_SAME_COLOUR = 2
# The modes of pictures that fit the colour space a profile is made for.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# D50, the white of every profile, and the primaries of sRGB adapted to it.
_WHITE = (0.9642, 1.0, 0.8249)
_PRIMARIES = {
    b"rXYZ": (0.436066, 0.222488, 0.013916),
    b"gXYZ": (0.385147, 0.716873, 0.097076),
    b"bXYZ": (0.143066, 0.060608, 0.714096),
}
# Bradford's matrix from D65, the white of sRGB, to D50.
_ADAPTATION = (1.047882, 0.022919, -0.050201, 0.029587, 0.990479, -0.017059, -0.009232, 0.015076, 0.751678)
# Exponent, a, b, c, d of the curve: ((a x + b) ** g above d, c x below).
_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def find_conversion(profile: bytes) -> Convert | None:
    """Return a function that converts pictures with this ICC profile to 8-bit sRGB; None where the profile is sRGB.

    The function takes any mode and keeps transparency.

    Raises:
        RequestError: the profile is damaged, or is made for something other than RGB, grey or CMYK.
    """
    if profile == make_srgb_profile():
        return None
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = cast("Any", opened.profile).xcolor_space.strip()
        if space not in _MODES:
            raise _say_profile(f"a profile for {space}")
        transform = _make_transform(opened, _MODES[space])
        if space == "RGB" and _is_identity(transform):
            return None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise _say_profile(error) from error
    return functools.partial(_convert, transform, _MODES[space])


def make_rows_conversion(profile: bytes) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None:
    """Return the same for rows, uint8 [n, width, 3].

    Raises: as `find_conversion`.
    """
    convert = find_conversion(profile)
    return None if convert is None else lambda rows: np.asarray(convert(Image.fromarray(rows)))


@functools.cache
def make_srgb_profile() -> bytes:
    """Return our sRGB profile (ICC version 4), the same bytes at every call."""
    curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + b"".join(map(_fixed, _CURVE))
    tags = {
        b"desc": _text("sRGB"),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _xyz(_WHITE),
        b"chad": b"sf32" + bytes(4) + b"".join(map(_fixed, _ADAPTATION)),
        **{name: _xyz(values) for name, values in _PRIMARIES.items()},
        b"rTRC": curve,
    }
    body, table = b"", b""
    start = 128 + 4 + 12 * (len(tags) + 2)
    for name, raw in tags.items():
        # The three curves are one: their entries point to the same place.
        for alias in (b"rTRC", b"gTRC", b"bTRC") if name == b"rTRC" else (name,):
            table += alias + struct.pack(">II", start + len(body), len(raw))
        body += raw + bytes(-len(raw) % 4)
    head = struct.pack(">I4s4s4s4s4s", start + len(body), bytes(4), b"\4\x30\0\0", b"mntr", b"RGB ", b"XYZ ")
    # A fixed date, the signature, then nothing but the white of the connection space and our name.
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += b"".join(map(_fixed, _WHITE)) + b"sfmt"
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags) + 2) + table + body


def _make_transform(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    target = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(
        profile,
        ImageCms.ImageCmsProfile(target),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    levels = np.linspace(0, 255, _CUBE_SIDE).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(_CUBE_SIDE, -1, 3)
    there = np.asarray(_apply(transform, Image.fromarray(cube)))
    return int(np.abs(there.astype(np.int16) - cube).max()) <= _SAME_COLOUR


def _convert(transform: ImageCms.ImageCmsTransform, mode: str, picture: Image.Image) -> Image.Image:
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    if mode == "CMYK" and picture.mode != "CMYK":
        raise _say_profile(f"a profile for CMYK in a picture of mode {picture.mode}")
    if mode == "L" and picture.mode not in ("1", "L", "LA"):
        raise _say_profile(f"a profile for grey in a picture of mode {picture.mode}")
    # A grey picture with a profile for colours is common; so is a palette.
    bare = picture if picture.mode == mode else picture.convert("RGBA" if mode == "RGB" else mode).convert(mode)
    found = _apply(transform, bare)
    if alpha is not None:
        found.putalpha(alpha)
    return found


def _apply(transform: ImageCms.ImageCmsTransform, picture: Image.Image) -> Image.Image:
    found = ImageCms.applyTransform(picture, transform)
    assert found is not None, "a transform that is not in place returns a picture"
    return found


def _say_profile(got: object) -> RequestError:
    do = "Convert the picture to sRGB, or save it without its profile."
    return RequestError("the colour profile of the picture cannot be used", got=str(got), do=do)


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(_fixed, values))


def _text(words: str) -> bytes:
    raw = words.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(raw), 28) + raw
