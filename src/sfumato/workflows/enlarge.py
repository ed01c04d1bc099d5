"""A picture enlarged without a diffusion model: by resampling, or by a network of the ESRGAN family alone.

What `upscale` does where no model is named: nothing in the picture is drawn anew. Start reading at `enlarge`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from PIL import Image

from sfumato.canvas.formats.images import file_sha256, load_picture, read_size
from sfumato.canvas.formats.save import BAND_SUFFIXES, check_place, save_bands, save_canvas
from sfumato.canvas.pixels import cut_bands
from sfumato.core import serialize
from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.resampling import fit_box
from sfumato.models.upscaler.upscaler import load_upscaler
from sfumato.render.sampling.pixels import flatten
from sfumato.workflows.files.name_output import OUT_FOLDER, is_folder, make_stem

if TYPE_CHECKING:
    from sfumato.core.resampling import ReadPixels


@dataclass(frozen=True, slots=True, kw_only=True)
class EnlargeRequest:
    """Everything that changes the pixels of an enlarged picture: the picture, the new size, the upscaler."""

    kind: ClassVar[str] = "enlarge"
    path: str
    sha256: str
    size: PixelSize
    upscaler: str = DEFAULTS.upscaler


@dataclass(frozen=True, eq=False, kw_only=True)
class EnlargedPicture:
    """Hold an enlarged picture: in memory, or in the file `path` where it was written."""

    request: EnlargeRequest
    path: Path | None = None
    pixels: Image.Image | None = None

    @property
    def image(self) -> Image.Image:
        """Return the picture as a PIL image, RGB."""
        if self.pixels is not None:
            return self.pixels
        assert self.path is not None, "a picture is in memory or in a file"
        return load_picture(self.path)

    def save(self, path: Path | str) -> Path:
        """Write the picture; the suffix names the format.

        Raises:
            RequestError: the suffix is unknown.
            StorageError: the disk refuses.
        """
        save_canvas(path, self.image, _write_texts(self.request))
        return Path(path)

    def to_json(self) -> dict[str, object]:
        """Return the facts as JSON values."""
        where = str(self.path) if self.path else None
        return {"path": where, "size": str(self.request.size), "method": self.request.upscaler}


def enlarge(
    picture: Path, size: PixelSize, *, upscaler: str = DEFAULTS.upscaler, out: Path | None = None, device: str = "cpu"
) -> EnlargedPicture:
    """Enlarge a picture file to `size`, whose aspect it is cropped to; write it to `out`, or return it in memory.

    Written formats in bands (.png, .tif, .dzi) take memory for the source and one band.

    Raises:
        RequestError: the picture cannot be read, or the size is smaller than the picture.
        UnsafeFileError: the picture or the upscaler's file is refused.
        StorageError: the disk refuses.
    """
    if out is not None:
        check_place(out, size)
    source = np.asarray(flatten(load_picture(picture)))
    own = PixelSize(source.shape[1], source.shape[0])
    if size.width < own.width or size.height < own.height:
        raise RequestError("a picture grows to a larger size", got=f"{own} to {size}", do="Ask for a larger size.")
    request = EnlargeRequest(path=str(picture.resolve()), sha256=file_sha256(picture), size=size, upscaler=upscaler)
    compute: ReadPixels = load_upscaler(upscaler, torch.device(device)).enlarge_into(
        lambda box: source[box.slices_hw], own, size, fit_box(own, size)
    )
    if out is None:
        return EnlargedPicture(request=request, pixels=Image.fromarray(compute(size.box)))
    if out.suffix.lower() in BAND_SUFFIXES:
        save_bands(out, size, (compute(band) for band in cut_bands(size)), _write_texts(request))
    else:
        save_canvas(out, Image.fromarray(compute(size.box)), _write_texts(request))
    return EnlargedPicture(request=request, path=out)


def read_size_of(picture: Path) -> PixelSize:
    """Return the size of a picture file, upright.

    Raises:
        RequestError: it cannot be read.
    """
    return read_size(picture)


def choose_output(out: Path | None, picture: Path, size: PixelSize) -> Path:
    """Return the file for an enlarged picture: `out`, or a free name in that folder (default `out/`)."""
    if out is not None and not is_folder(out):
        return out
    folder = out or OUT_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{make_stem(picture.stem)}-{size}"
    names = (folder / f"{stem}{f'-{count}' if count > 1 else ''}.png" for count in itertools.count(1))
    return next(path for path in names if not path.exists())


def _write_texts(request: EnlargeRequest) -> dict[str, str]:
    return {"sfumato": serialize.canonical_text(serialize.to_json(request))}
