"""Read the pictures that a request starts from, and check them before anything is loaded.

Knows files and sizes; no model and no plan. Start reading at `read_inputs`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL.Image import Resampling

from sfumato.canvas.formats.images import count_decode_bytes, file_sha256, load_picture, read_size
from sfumato.canvas.mask import read_mask
from sfumato.core.errors import BudgetError, RequestError
from sfumato.core.files import check_path
from sfumato.core.geometry import PixelSize
from sfumato.core.request import ImageSource, InpaintSource, PictureSource, RenderRequest, TextSource
from sfumato.render.progress import Inputs
from sfumato.render.sampling.pixels import put_inside
from sfumato.workflows.control.units import cut_control
from sfumato.workflows.edit.sources import cut_crop, make_grey
from sfumato.workflows.files.source_picture import count_source_bytes, open_picture

if TYPE_CHECKING:
    from PIL.Image import Image


_GB = 1024**3


def read_inputs(request: RenderRequest) -> Inputs:
    """Read the pictures a request names.

    Raises:
        RequestError: a file is not there, is no picture, is not the one the request was made with, or
            a mask has another size than its picture or selects nothing.
    """
    inputs = _read_source(request)
    if not request.controls:
        return inputs
    size = None
    if request.crop is not None and isinstance(request.source, InpaintSource):
        known = read_size(request.source.path)
        size = (known.width, known.height)
    pictures = [_read_same(one.picture, one.sha256, "`control`") for one in request.controls]
    return replace(inputs, controls=tuple(cut_control(one, request, size) for one in pictures))


def _read_source(request: RenderRequest) -> Inputs:
    source = request.source
    if isinstance(source, TextSource):
        return Inputs()
    check_path(Path(source.path), what="a picture of the request")
    if isinstance(source, InpaintSource):
        check_path(Path(source.mask), what="the mask of the request")
    if isinstance(source, PictureSource):
        _check_same(source.path, source.sha256, do="Put it back there, or start again with sfumato upscale.")
        return Inputs(source=open_picture(Path(source.path)))
    picture = _read_same(source.path, source.sha256, "`init`")
    if isinstance(source, ImageSource):
        return Inputs(picture=picture)
    if request.crop is not None:
        return _cut_inputs(picture, request, source)
    if picture.size != (request.size.width, request.size.height):
        got = f"size {request.size}, picture {picture.width}x{picture.height}"
        raise RequestError("inpainting keeps the size of the picture", got=got, do="Leave `size` out.")
    mask = _read_same(source.mask, source.mask_sha256, "`mask`")
    # Read again where it is used; here only so that what is wrong with it is found first.
    read_mask(mask, request.size)
    return Inputs(picture=picture, mask=mask)


def _cut_inputs(picture: Image, request: RenderRequest, source: InpaintSource) -> Inputs:
    """Return the box of a picture that alone is drawn, and its mask, at the size of the request."""
    assert request.crop is not None, "there is a box"
    mask = _read_same(source.mask, source.mask_sha256, "`mask`")
    if not PixelSize(*picture.size).box.contains(request.crop.box):
        raise RequestError("the box that is drawn lies outside the picture", got=f"{picture.width}x{picture.height}")
    grey = make_grey(read_mask(mask, PixelSize(*picture.size)))
    return Inputs(
        picture=cut_crop(picture.convert("RGB"), request.crop, request.size),
        mask=cut_crop(grey, request.crop, request.size),
    )


def put_back(drawn: Image, request: RenderRequest) -> Image:
    """Return the whole picture of a request of which one box was drawn; outside the mask every pixel keeps its bytes."""
    source, crop = request.source, request.crop
    assert isinstance(source, InpaintSource), "only a masked picture has a box"
    assert crop is not None, "there is a box"
    picture = load_picture(Path(source.path)).convert("RGB")
    shares = read_mask(load_picture(Path(source.mask)), PixelSize(*picture.size))
    box = crop.box
    place = (box.left, box.top, box.right, box.bottom)
    small = drawn.convert("RGB").resize((crop.width, crop.height), Resampling.LANCZOS)
    picture.paste(put_inside(picture.crop(place), small, shares[box.top : box.bottom, box.left : box.right]), place)
    return picture


def check_decoding(request: RenderRequest, memory_bytes: int) -> None:
    """Check, from headers alone, that the pictures of a request can be decoded in some memory.

    Raises:
        BudgetError: they take more.
        RequestError: a picture is not there, or is none.
        UnsafeFileError: a picture has more pixels than pictures from outside may have.
    """
    source = request.source
    for one in request.controls:
        check_path(Path(one.picture), what="a control picture")
    controls = sum(count_decode_bytes(one.picture) for one in request.controls if Path(one.picture).exists())
    if isinstance(source, TextSource):
        _check_bytes(controls, memory_bytes)
        return
    for path in [source.path, *([source.mask] if isinstance(source, InpaintSource) else [])]:
        check_path(Path(path), what="a picture of the request")
        if not Path(path).exists():
            # Said with more advice where the pictures are read.
            return
    if isinstance(source, PictureSource):
        needed = count_source_bytes(Path(source.path))
    else:
        needed = count_decode_bytes(source.path)
        if isinstance(source, InpaintSource):
            needed += count_decode_bytes(source.mask)
    _check_bytes(needed + controls, memory_bytes)


def _check_bytes(needed: int, memory_bytes: int) -> None:
    if needed > memory_bytes:
        got = f"{needed / _GB:.2f} of {memory_bytes / _GB:.2f} GB"
        do = "Make the picture smaller, or allow more memory."
        raise BudgetError("the pictures of the request do not fit the memory", got=got, do=do)


def _read_same(path: str, sha256: str, option: str) -> Image:
    if not Path(path).exists():
        raise RequestError(
            "a picture of the request is not there", got=path, do="Give it again, as `init`, `mask` or `control`."
        )
    _check_same(path, sha256, do=f"Give it as {option}.")
    return load_picture(path)


def _check_same(path: str, sha256: str, *, do: str) -> None:
    if not Path(path).exists():
        raise RequestError("a picture of the request is not there", got=path, do=do)
    found = file_sha256(path, what="a picture of the request")
    if found != sha256:
        raise RequestError("the picture is not the one of the request", got=f"{path}: {found}", do=do)
