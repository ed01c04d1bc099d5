"""The pictures that a request starts from: read, their masks softened, filled, or grown, and noted by digest.

Whatever changes them is done before the request is made, so that the request names what is drawn from. Knows no model
but the native size. Start reading at `make_source`, then `read_crop`.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from sfumato.canvas.formats.images import file_sha256, load_picture
from sfumato.canvas.mask import read_mask
from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import RequestError
from sfumato.core.files import find_cache_folder, write_atomic
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import ImageSource, InpaintSource, RenderRequest, Source, TextSource
from sfumato.core.request_parts.edit import MOST_BLUR_PX, MOST_PADDING_PX, Borders, CropBox
from sfumato.core.validate import check_int
from sfumato.workflows.edit.fill import check_fill, fill_masked, grow_borders
from sfumato.workflows.values import PictureLike, RequestValues

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfumato.models.contract import ModelContract

_OF_MASKS = ("mask_blur", "mask_fill", "only_masked", "mask_padding")


def store_picture(picture: Image.Image) -> Path:
    """Keep a picture in memory as a PNG in the cache, named by its digest, so that its request can be repeated."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    packed = stream.getvalue()
    path = find_cache_folder() / "inputs" / f"{hashlib.sha256(packed).hexdigest()}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, lambda file: file.write(packed))
    return path


def find_file(picture: PictureLike) -> Path:
    """Return the file of a picture; one in memory is kept in the cache."""
    return store_picture(picture) if isinstance(picture, Image.Image) else Path(picture)


def make_source(values: RequestValues, stored: RenderRequest | None) -> Source:
    """Return what a request starts from: noise, a picture, or a picture and a mask.

    Raises:
        RequestError: a setting has no effect, or a picture cannot be read.
    """
    before = stored.source if stored else TextSource()
    _check_words(values)
    if values.init is None:
        for name in ("mask", "outpaint", "mask_blur", "mask_fill"):
            if getattr(values, name) is not None:
                raise RequestError(f"`{name}` has no effect without `init`", do="Add `init`, the picture to change.")
        if isinstance(before, ImageSource | InpaintSource):
            return before if values.strength is None else replace(before, strength=values.strength)
        if values.strength is not None:
            raise RequestError("`strength` has no effect without `init`", do="Add `init`, or use `slice_strength`.")
        return before
    if values.outpaint is not None:
        return _make_outpaint(values)
    path, digest = _describe_file(values.init, "init")
    strength = DEFAULTS.strength if values.strength is None else values.strength
    if values.mask is None:
        for name in _OF_MASKS:
            if getattr(values, name) is not None:
                raise RequestError(f"`{name}` has no effect without `mask`", do="Add `mask`, or leave it out.")
        return ImageSource(path=path, sha256=digest, strength=strength)
    mask, mask_digest = _describe_file(values.mask, "mask")
    source = InpaintSource(path=path, sha256=digest, mask=mask, mask_sha256=mask_digest, strength=strength)
    fill, blur = values.mask_fill or DEFAULTS.mask_fill, values.mask_blur or 0
    return source if fill == DEFAULTS.mask_fill and not blur else _change(source, fill, blur)


def read_crop(
    values: RequestValues, source: Source, contract: ModelContract, stored: RenderRequest | None
) -> CropBox | None:
    """Return the box that alone is drawn, None where the whole picture is; it holds the mask with room around.

    Raises:
        RequestError: the setting has no effect, or the mask selects nothing.
    """
    if values.init is None and values.only_masked is None:
        return stored.crop if stored else None
    if not values.only_masked:
        if values.mask_padding is not None:
            raise RequestError("`mask_padding` has no effect without `only_masked`", do="Say `only_masked`.")
        return None
    if not isinstance(source, InpaintSource):
        raise RequestError("`only_masked` has no effect without `mask`", do="Give `init` and `mask`.")
    mask = load_picture(Path(source.mask))
    size = PixelSize(*mask.size)
    shares = read_mask(mask, size)
    rows, columns = np.flatnonzero(shares.any(axis=1)), np.flatnonzero(shares.any(axis=0))
    tight = PixelBox(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    padding = DEFAULTS.mask_padding if values.mask_padding is None else values.mask_padding
    box = _grow_box(tight, padding, size, _read_aspect(values, contract))
    return CropBox(left=box.left, top=box.top, width=box.width, height=box.height)


def _read_aspect(values: RequestValues, contract: ModelContract) -> float:
    """Return the width over the height of what is drawn: of the size that was said, else of the native one."""
    said = contract.native if values.size is None else values.size
    if isinstance(said, str):
        said = PixelSize.parse(said)
    width, height = (said.width, said.height) if isinstance(said, PixelSize) else said
    return float(width) / float(height)


def choose_drawn_size(crop: CropBox, contract: ModelContract) -> PixelSize:
    """Return the size that a box is drawn at where nobody says one: the native area, in the shape of the box."""
    scale = (contract.native.area / crop.box.size.area) ** 0.5
    sides = [max(1, round(side * scale / contract.factor)) * contract.factor for side in (crop.width, crop.height)]
    return PixelSize(*sides)


def cut_crop(picture: Image.Image, crop: CropBox, size: PixelSize) -> Image.Image:
    """Return the box of a picture or mask, resampled to the size that it is drawn at."""
    box = crop.box
    cut = picture.crop((box.left, box.top, box.right, box.bottom))
    # A mask must not ring: bilinear for what has one channel.
    kind = Image.Resampling.BILINEAR if cut.mode in ("L", "1") else Image.Resampling.LANCZOS
    return cut.resize((size.width, size.height), kind)


def make_grey(shares: NDArray[np.float32]) -> Image.Image:
    """Return the mask picture of shares [H, W] in 0 to 1."""
    return Image.fromarray(np.rint(255 * shares).astype(np.uint8))


def _grow_box(box: PixelBox, padding: int, size: PixelSize, aspect: float) -> PixelBox:
    """Return a box with room around it, in a shape where the picture allows that; it stays inside the picture."""
    sides = (max(0, box.left - padding), max(0, box.top - padding), box.right + padding, box.bottom + padding)
    box = PixelBox(*sides).clip(size)
    wide = min(size.width, max(box.width, round(box.height * aspect)))
    high = min(size.height, max(box.height, round(box.width / aspect)))
    left = min(max(0, (box.left + box.right - wide) // 2), size.width - wide)
    top = min(max(0, (box.top + box.bottom - high) // 2), size.height - high)
    return PixelBox(left, top, left + wide, top + high)


def _check_words(values: RequestValues) -> None:
    if values.mask_fill is not None:
        check_fill(values.mask_fill)
    if values.mask_blur is not None:
        check_int("`mask_blur`", values.mask_blur, low=0, high=MOST_BLUR_PX)
    if values.mask_padding is not None:
        check_int("`mask_padding`", values.mask_padding, low=0, high=MOST_PADDING_PX)


def _make_outpaint(values: RequestValues) -> InpaintSource:
    """Return the source of a picture that grows at its sides: what is new is masked, with a soft seam."""
    assert values.init is not None, "it was looked at before"
    assert values.outpaint is not None, "somebody asked for it"
    for name in ("mask", "mask_fill", "only_masked", "mask_padding"):
        if getattr(values, name) is not None:
            raise RequestError(f"`{name}` has no effect with `outpaint`", do="Leave one of them out.")
    borders = Borders.parse(values.outpaint) if isinstance(values.outpaint, str) else values.outpaint
    overlap = DEFAULTS.outpaint_overlap if values.mask_blur is None else values.mask_blur
    picture, mask = grow_borders(_load(values.init), borders, overlap)
    return _describe_pair(picture, mask, DEFAULTS.outpaint_strength if values.strength is None else values.strength)


def _change(source: InpaintSource, fill: str, blur_px: int) -> InpaintSource:
    """Return the source with its mask softened and what is under it filled."""
    mask, picture = load_picture(Path(source.mask)), load_picture(Path(source.path))
    shares: NDArray[np.float32] = read_mask(mask, PixelSize(*picture.size))
    if fill != DEFAULTS.mask_fill:
        picture = fill_masked(picture, shares, fill)
    grey = make_grey(shares)
    if blur_px:
        grey = grey.filter(ImageFilter.GaussianBlur(blur_px))
    return _describe_pair(picture, grey, source.strength)


def _describe_pair(picture: Image.Image, mask: Image.Image, strength: float) -> InpaintSource:
    path, digest = _describe_file(picture, "init")
    place, mask_digest = _describe_file(mask, "mask")
    return InpaintSource(path=path, sha256=digest, mask=place, mask_sha256=mask_digest, strength=strength)


def _load(picture: PictureLike) -> Image.Image:
    return picture if isinstance(picture, Image.Image) else load_picture(Path(picture))


def _describe_file(picture: PictureLike, setting: str) -> tuple[str, str]:
    path = find_file(picture)
    digest = file_sha256(path, what=f"the picture of `{setting}`")
    # A stored request is repeated in another folder too; the digest says whether it still is the same picture.
    return str(path.resolve()), digest
