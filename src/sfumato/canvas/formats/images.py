"""Pictures from outside, read with suspicion, and pictures of ours, written whole.

Only PNG, JPEG and WebP are opened, and the size in the header decides before a pixel is decoded.
Knows text chunks as names and texts; `metadata` writes what stands in them. Pictures that are read
and written in pieces live in `canvas`; of those only the texts are read here.
Start reading at `load_picture` and `save_picture`.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from sfumato.canvas.formats.colour_profile import find_conversion, make_srgb_profile
from sfumato.canvas.formats.deepzoom_read import read_index
from sfumato.canvas.formats.png_write import SRGB_CHUNK, add_texts
from sfumato.canvas.formats.tiff_read import read_tiff_texts
from sfumato.core import serialize
from sfumato.core.errors import DAMAGED_DO, RequestError, SfumatoError, StorageError, UnsafeFileError
from sfumato.core.files import file_sha256, open_regular, write_atomic
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.provenance import LONGEST_XMP_BYTES, XMP_NAME
from sfumato.core.request import RenderRequest
from sfumato.core.settings import load_settings

__all__ = [
    "count_decode_bytes",
    "file_sha256",
    "load_picture",
    "read_header",
    "read_request",
    "read_size",
    "read_texts",
    "save_picture",
]

# The first bytes of each format; the file's name says nothing about its content.
_PNG, _JPEG, _RIFF, _WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"WEBP"
# JPEG allows no more EXIF than this; PNG would.
_LONGEST_EXIF_BYTES = 65536
# Readers of AUTOMATIC1111 pictures expect this prefix and UTF-16 in big-endian order.
_EXIF_UTF16, _EXIF_ASCII = b"UNICODE\0", b"ASCII\0\0\0"
# Names of the JSON texts of ComfyUI: the graph as run, and as drawn.
_COMFY_NAMES = ("prompt", "workflow")
# EXIF has one text for people and one free blob; the blob carries every other text as JSON bytes.
_EXIF_TAGS: Mapping[str, int] = {"parameters": ExifTags.Base.UserComment, "sfumato": ExifTags.Base.MakerNote}
# Bytes that a pixel takes while a picture is opened: decoded, turned upright and converted, four channels each.
_DECODE_BYTES = 12
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def load_picture(path: Path | str, *, most_pixels: int | None = None) -> Image.Image:
    """Read a picture upright in 8-bit sRGB, or RGBA where it has transparency; of an animation the first frame.

    Colours are converted where the picture has a colour profile. Without `most_pixels` the setting
    `max_picture_pixels` holds.

    Raises:
        RequestError: no such file, another format, a damaged file, or a colour profile that cannot be used.
        UnsafeFileError: the header promises more than that many pixels, or a text chunk is a bomb.
    """
    most_pixels = load_settings().max_picture_pixels if most_pixels is None else most_pixels
    with _open_picture(Path(path)) as picture:
        _check_size(picture.size, most_pixels, path)
        picture.load()
        return _to_rgb(ImageOps.exif_transpose(picture))


def read_size(path: Path | str) -> PixelSize:
    """Return the size that a picture has upright, from its header alone.

    Raises:
        RequestError: no such file, another format, or a damaged header.
        UnsafeFileError: the header promises more pixels than `max_picture_pixels`, or a text chunk is a bomb.
    """
    with _open_picture(Path(path)) as picture:
        _check_size(picture.size, load_settings().max_picture_pixels, path)
        return _upright_size(picture, _read_exif(picture))


def count_decode_bytes(path: Path | str) -> int:
    """Return the memory that `load_picture` takes at most, from the header alone.

    Raises: as `read_size`.
    """
    return read_size(path).area * _DECODE_BYTES


def read_texts(path: Path | str) -> dict[str, str]:
    """Read the texts stored in a picture (also .tif and .dzi of ours), without decoding its pixels.

    Raises:
        RequestError: no such file, another format, or a damaged file.
        UnsafeFileError: a text chunk is a bomb.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".dzi":
        return dict(read_index(Path(path)).texts)
    if suffix in (".tif", ".tiff"):
        return read_tiff_texts(Path(path))
    with _open_picture(Path(path)) as picture:
        return _list_texts(picture, _read_exif(picture))


@dataclass(frozen=True, kw_only=True)
class PictureHeader:
    """Hold what a picture file says before its pixels: size upright, mode as Pillow names it, profile, texts by name."""

    format: str
    size: PixelSize
    mode: str
    icc_profile: bytes
    is_srgb: bool
    texts: Mapping[str, str]


def read_header(path: Path | str) -> PictureHeader:
    """Read what a PNG, JPEG or WebP says before its pixels.

    Raises:
        RequestError: no such file, another format, or a damaged header.
        UnsafeFileError: a text chunk is a bomb.
    """
    with _open_picture(Path(path)) as picture:
        exif = _read_exif(picture)
        return PictureHeader(
            format=picture.format or "",
            size=_upright_size(picture, exif),
            mode=picture.mode,
            icc_profile=bytes(picture.info.get("icc_profile") or b""),
            is_srgb="srgb" in picture.info,
            texts=_list_texts(picture, exif),
        )


def read_request(path: Path | str) -> RenderRequest:
    """Read back the request stored in a picture of ours.

    Raises:
        RequestError: the picture carries no request, or one that this version cannot read.
        UnsafeFileError: the picture is hostile.
    """
    text = read_texts(path).get("sfumato")
    if text is None:
        raise RequestError("the picture carries no request", got=str(path), do="Use a picture saved by sfumato.")
    return RenderRequest.from_json(serialize.parse_json(text, what="the request in the picture"))


def save_picture(path: Path | str, picture: Image.Image, metadata: Mapping[str, str]) -> None:
    """Write a picture and its texts; it appears at `path` whole or not at all. The suffix is the format.

    Raises:
        RequestError: the suffix is none of .png .jpg .jpeg .webp.
        StorageError: the disk refuses, or the texts do not fit the format.
    """
    path = Path(path)
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        do = "Give it one of these suffixes."
        raise RequestError("a picture is saved as .png, .jpg or .webp", got=path.name, do=do)
    options = _png_options(metadata) if kind == "PNG" else _exif_options(kind, metadata)
    if kind == "JPEG" and picture.mode != "RGB":
        picture = picture.convert("RGB")
    try:
        write_atomic(path, lambda stream: picture.save(stream, format=kind, **options))
    except ValueError as error:
        raise StorageError(f"the texts do not fit into {kind}", got=str(error), do="Save as .png.") from error


@contextmanager
def _open_picture(path: Path) -> Generator[ImageFile.ImageFile]:
    with open_regular(path, what="the picture") as stream:
        try:
            with _open_plugin(stream, path) as picture:
                yield picture
        except SfumatoError:
            raise
        except Image.DecompressionBombError as error:
            do = "Make it smaller."
            raise UnsafeFileError("the picture is too large to open", got=f"{path}: {error}", do=do) from error
        except ValueError as error:
            # Pillow's own limits on text chunks and colour profiles speak up as ValueError.
            do = "Save it anew without its texts and its colour profile."
            raise UnsafeFileError("the picture holds too much text", got=f"{path}: {error}", do=do) from error
        except (OSError, SyntaxError, EOFError) as error:
            raise RequestError("the picture is damaged", got=f"{path}: {error}", do=DAMAGED_DO) from error


def _open_plugin(stream: BinaryIO, path: Path) -> ImageFile.ImageFile:
    # The plugins are called by name: Image.open would try formats that we never need, and it only
    # warns about sizes, through a process-wide filter that threads share.
    head = stream.read(12)
    stream.seek(0)
    if head.startswith(_PNG):
        return PngImagePlugin.PngImageFile(stream)
    if head.startswith(_JPEG):
        return JpegImagePlugin.JpegImageFile(stream)
    if head.startswith(_RIFF) and head[8:] == _WEBP:
        return WebPImagePlugin.WebPImageFile(stream)
    raise RequestError("a picture has to be PNG, JPEG or WebP", got=str(path), do="Convert it first.")


def _check_size(size: tuple[int, int], most_pixels: int, path: Path | str) -> None:
    if size[0] * size[1] > most_pixels:
        raise UnsafeFileError(
            f"the picture has more than {most_pixels} pixels",
            got=f"{path}: {size[0]}x{size[1]}",
            do="Make it smaller, or raise SFUMATO_MAX_PICTURE_PIXELS.",
        )


def _upright_size(picture: ImageFile.ImageFile, exif: Image.Exif) -> PixelSize:
    width, height = picture.size
    # Values 5 to 8 of the EXIF orientation turn the picture by a quarter.
    is_turned = exif.get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    return PixelSize(height, width) if is_turned else PixelSize(width, height)


def _list_texts(picture: ImageFile.ImageFile, exif: Image.Exif) -> dict[str, str]:
    found = _exif_texts(exif) | {str(name): text for name, text in picture.info.items() if isinstance(text, str)}
    packet = picture.info.get("xmp")
    if isinstance(packet, bytes) and len(packet) <= LONGEST_XMP_BYTES:
        found[XMP_NAME] = packet.decode(errors="replace")
    return found


def _read_exif(picture: ImageFile.ImageFile) -> Image.Exif:
    return _find_png_exif(picture) if isinstance(picture, PngImagePlugin.PngImageFile) else picture.getexif()


def _find_png_exif(picture: PngImagePlugin.PngImageFile) -> Image.Exif:
    """Return the EXIF of a PNG, which may stand behind the pixels; Pillow would decode all of them to get there."""
    exif, stream = Image.Exif(), picture.fp
    assert stream is not None, "the picture is open"
    if "exif" in picture.info:
        exif.load(picture.info["exif"])
        return exif
    stream.seek(len(_PNG))
    while len(head := stream.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"eXIf":
            exif.load(b"Exif\0\0" + stream.read(min(length, _LONGEST_EXIF_BYTES)))
            break
        stream.seek(length + 4, io.SEEK_CUR)
    return exif


def _to_rgb(picture: Image.Image) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if picture.mode.startswith(("I", "F")):
        # Pillow would clip 16-bit grey at 255; 257 maps 65535 to 255 exactly.
        grey = np.asarray(picture, dtype=np.float64) / 257.0
        picture = Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    if profile and (convert := find_conversion(profile)) is not None:
        return convert(picture)
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _png_options(metadata: Mapping[str, str]) -> dict[str, object]:
    texts = PngImagePlugin.PngInfo()
    texts.add(*SRGB_CHUNK)
    add_texts(texts, metadata)
    # Level 6 is zlib's own default; written down because the bytes of a picture are promised.
    return {"pnginfo": texts, "compress_level": 6}


def _exif_options(kind: str, metadata: Mapping[str, str]) -> dict[str, object]:
    exif = Image.Exif()
    folder = exif.get_ifd(ExifTags.IFD.Exif)
    if "parameters" in metadata:
        folder[_EXIF_TAGS["parameters"]] = _EXIF_UTF16 + metadata["parameters"].encode("utf-16-be")
    if "sfumato" in metadata:
        folder[_EXIF_TAGS["sfumato"]] = metadata["sfumato"].encode()
    # 95 is where JPEG stops showing ringing around thin lines; WebP is kept lossless.
    quality: dict[str, object]
    quality = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True, "exact": True}
    if XMP_NAME in metadata:
        quality["xmp"] = metadata[XMP_NAME].encode()
    return {"exif": exif.tobytes(), "icc_profile": make_srgb_profile(), **quality}


def _exif_texts(exif: Image.Exif) -> dict[str, str]:
    folder = exif.get_ifd(ExifTags.IFD.Exif)
    found: dict[str, str] = {}
    comment, blob = (folder.get(_EXIF_TAGS[name]) for name in ("parameters", "sfumato"))
    if isinstance(comment, bytes) and (text := _decode_comment(comment)):
        found["parameters"] = text
    if isinstance(blob, bytes):
        # Cameras keep binary notes here; those come out as nonsense that no reader asks for.
        found["sfumato"] = blob.decode(errors="replace")
    for value in exif.values():
        # ComfyUI writes `prompt:{...}` and `workflow:{...}` into tags that are meant for cameras.
        name, colon, text = value.partition(":") if isinstance(value, str) else ("", "", "")
        if colon and name.lower() in _COMFY_NAMES:
            found[name.lower()] = text
    return found


def _decode_comment(raw: bytes) -> str:
    """Return the text of a UserComment, whose first eight bytes name its encoding; tools do not always say the truth."""
    kind, rest = raw[:8], raw[8:]
    if kind == _EXIF_UTF16:
        return _decode_utf16(rest).rstrip("\0")
    if kind in (_EXIF_ASCII, bytes(8)):
        return rest.decode(errors="replace").strip("\0 ")
    return ""


def _decode_utf16(raw: bytes) -> str:
    # Some writers use little-endian; the first character of a prompt is practically never above U+00FF.
    order = "utf-16-le" if raw[:1] != b"\0" and raw[1:2] == b"\0" else "utf-16-be"
    return raw.decode(order, errors="replace")
