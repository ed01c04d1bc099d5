"""A picture enlarged without a diffusion model: by a network of the ESRGAN family, or by resampling.

What `upscale` does where no model is named. Start reading at `enlarge`; `repeat` does a stored request again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from sfumato.canvas.formats.images import file_sha256, load_picture, read_size
from sfumato.canvas.formats.save import BAND_SUFFIXES, check_place, save_bands, save_canvas
from sfumato.canvas.pixels import cut_bands
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace, find_resumable, name_work
from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core import serialize
from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.resampling import Resampling, fit_box
from sfumato.models.measures.perceptual import find_distance
from sfumato.models.upscaler.find_upscaler import find_again, find_named
from sfumato.models.upscaler.number_type import choose_number_type
from sfumato.models.upscaler.upscaler import load_network, load_state, load_upscaler
from sfumato.render.sampling.pixels import flatten
from sfumato.workflows.enlarge.back_projection import measure_back_projection
from sfumato.workflows.enlarge.choose import SuitedUpscaler, choose_for, rehearse_named
from sfumato.workflows.enlarge.judge import EnlargedCheck, judge_enlarged
from sfumato.workflows.enlarge.network_pixels import OnShare, grow_pixels
from sfumato.workflows.enlarge.request import EnlargeRequest
from sfumato.workflows.files.name_output import OUT_FOLDER, is_folder, make_stem
from sfumato.workflows.prepare import check_folder

if TYPE_CHECKING:
    from sfumato.core.resampling import Pixels, ReadPixels

METHODS = ("lanczos", "esrgan")
# What of a folder is enlarged.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
OnLine = Callable[[str], None]


@dataclass(frozen=True, eq=False, kw_only=True)
class EnlargedPicture:
    """Hold an enlarged picture: in memory, or in the file `path` where it was written.

    `check` compares it with the picture; None for Lanczos and for networks that are run in tiles. `words` say why
    this upscaler was taken; empty where it was named.
    """

    request: EnlargeRequest
    path: Path | None = None
    pixels: Image.Image | None = None
    check: EnlargedCheck | None = None
    words: str = ""

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
        save_canvas(path, self.image, self.request.write_texts())
        return Path(path)

    def to_json(self) -> dict[str, object]:
        """Return the facts as JSON values."""
        return {
            "path": str(self.path) if self.path else None,
            "size": str(self.request.size),
            "method": self.request.method,
            "upscaler": self.request.upscaler,
            "upscaler_sha256": self.request.upscaler_sha256,
            "number_type": self.request.number_type,
            "check": self.check.to_json() if self.check else None,
            "words": self.words,
        }


def enlarge(
    picture: Path,
    size: PixelSize,
    *,
    method: str | None = None,
    upscaler: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    on_share: OnShare = lambda _: None,
) -> EnlargedPicture:
    """Enlarge a picture file to `size`, whose aspect it is cropped to; write it to `out`, or return it in memory.

    Without `method` and `upscaler` the fetched part that suits the picture is used, and Lanczos where there is none.
    `resume` goes on with work that was stopped at `out`. `on_share` gets the share of a network's work that is done.

    An ESRGAN network takes at most 2 GiB whatever the size, besides the picture; its fourfold result lies beside
    `out` while it works. Written formats in bands (.png, .tif, .dzi) take memory for one band.

    Raises:
        RequestError: the picture cannot be read, the size is smaller than the picture, or settings do not fit.
        ModelError: the upscaler is not there or is none.
        UnsafeFileError: the picture or the upscaler's file is refused.
        StorageError: the disk refuses.
    """
    check_method(method, upscaler)
    if out is not None:
        # A network works for minutes: a folder that cannot be written is told before.
        check_folder(out.parent)
        check_place(out, size)
    digest, source = file_sha256(picture, what="the picture"), _load_pixels(picture)
    _check_larger(source, size)
    if upscaler is None and method != "lanczos":
        suited = choose_for(source, networks_only=method == "esrgan")
    else:
        suited = SuitedUpscaler(chosen=find_named(upscaler or DEFAULTS.upscaler))
    chosen = suited.chosen
    state = load_state(chosen.weights, chosen.sha256) if chosen.weights else None
    request = EnlargeRequest(
        path=str(picture.resolve()),
        sha256=digest,
        size=size,
        upscaler=chosen.name,
        upscaler_sha256=chosen.sha256,
        number_type=choose_number_type(state, chosen.sha256) if state is not None else "fp32",
    )
    return _draw(request, source, suited, out=out, resume=resume, device=device, on_share=on_share)


def repeat(
    request: EnlargeRequest,
    *,
    out: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    on_share: OnShare = lambda _: None,
) -> EnlargedPicture:
    """Enlarge a picture as a stored request says: the same bytes on the same machine.

    Raises:
        RequestError: the picture is not there, or is another one.
        ModelError: the upscaler is not there, or has other weights.
        UnsafeFileError, StorageError: as `enlarge`.
    """
    picture = Path(request.path)
    if out is not None:
        check_place(out, request.size)
    if file_sha256(picture, what="the picture that was enlarged") != request.sha256:
        do = "Put the old picture back, or enlarge this one anew."
        raise RequestError("the picture that was enlarged is another one now", got=str(picture), do=do)
    suited = SuitedUpscaler(chosen=find_again(request.upscaler, request.upscaler_sha256))
    source = _load_pixels(picture)
    return _draw(request, source, suited, out=out, resume=resume, device=device, on_share=on_share)


def check_method(method: str | None, upscaler: str | None) -> None:
    """Check that a method and an upscaler fit.

    Raises:
        RequestError: an unknown method, or one of them would have no effect.
    """
    if method is None:
        return
    if method not in METHODS:
        raise RequestError("unknown method of upscale", got=method, do="Use lanczos, esrgan or cohesive.")
    names_lanczos = upscaler is not None and upscaler.casefold() == DEFAULTS.upscaler
    if upscaler is not None and names_lanczos != (method == "lanczos"):
        do = "Name a network as `upscaler`." if method == "esrgan" else "Say `method` esrgan."
        raise RequestError("`upscaler` and `method` do not fit", got=upscaler, do=do)


def read_size_of(picture: Path) -> PixelSize:
    """Return the size of a picture file, upright.

    Raises:
        RequestError: it cannot be read.
    """
    return read_size(picture)


def list_pictures(places: Iterable[Path]) -> list[Path]:
    """Return picture files: those named, and of a folder those in it, by name.

    Raises:
        RequestError: a folder holds no picture.
    """
    found = list[Path]()
    for place in places:
        if not place.is_dir():
            found.append(place)
            continue
        inside = sorted(path for path in place.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
        if not inside:
            do = f"Name a folder with {', '.join(PICTURE_SUFFIXES)} files."
            raise RequestError("the folder holds no picture", got=str(place), do=do)
        found += inside
    return found


def choose_output(out: Path | None, picture: Path, size: PixelSize, *, resume: bool = False) -> Path:
    """Return the file for an enlarged picture: `out`, or a free name in that folder (default `out/`).

    With `resume`, the name under which work was stopped, where there is such a name.
    """
    if out is not None and not is_folder(out):
        return out
    folder = out or OUT_FOLDER
    stem = f"{make_stem(picture.stem)}-{size}"
    names = (folder / f"{stem}{f'-{count}' if count > 1 else ''}.png" for count in itertools.count(1))
    for path in names:
        stopped = find_resumable(name_work(path))
        if (resume and stopped) or not (path.exists() or stopped):
            return path
    raise AssertionError("counting has no end")


def _draw(
    request: EnlargeRequest,
    source: Pixels,
    suited: SuitedUpscaler,
    *,
    out: Path | None,
    resume: bool,
    device: str,
    on_share: OnShare,
) -> EnlargedPicture:
    own, size, chosen = PixelSize(source.shape[1], source.shape[0]), request.size, suited.chosen
    box = fit_box(own, size)

    def read(part: PixelBox) -> Pixels:
        return source[part.slices_hw]

    state = load_state(chosen.weights, chosen.sha256) if chosen.weights else None
    if chosen.weights is None or state is None:
        name = chosen.name if chosen.weights is None else str(chosen.weights)
        compute = load_upscaler(name, torch.device(device)).enlarge_into(read, own, size, box)
        return _deliver(request, compute, out, words=chosen.words)
    network = load_network(chosen.weights, chosen.sha256, request.number_type)
    identity = {"enlarge": serialize.to_json(request)}
    workspace = MemoryWorkspace() if out is None else DiskWorkspace(name_work(out), identity, resume=resume)
    try:
        least_width = size.width / (box[2] - box[0]) * own.width
        store = grow_pixels(network, read, own, least_width, workspace, on_share)
        factor = store.size.width // own.width
        left, top, right, bottom = (side * factor for side in box)
        resampling = Resampling(store.size, size, (left, top, right, bottom))
        projection = measure_back_projection(source, store.read, factor)
        distance = find_distance()
        rehearsal = suited.rehearsal
        if distance is not None and rehearsal is None:
            rehearsal = rehearse_named(chosen, source, distance)
        check = judge_enlarged(source, store.read, factor, projection, rehearsal=rehearsal, distance=distance)

        def read_corrected(part: PixelBox) -> Pixels:
            return projection.correct(store.read, part)

        compute = partial(resampling.compute, read_corrected)
        done = _deliver(request, compute, out, check=check, words=chosen.words)
        if isinstance(workspace, DiskWorkspace):
            workspace.remove()
        return done
    finally:
        workspace.close()


def _deliver(
    request: EnlargeRequest, compute: ReadPixels, out: Path | None, *, words: str, check: EnlargedCheck | None = None
) -> EnlargedPicture:
    size = request.size
    if out is None:
        pixels = Image.fromarray(compute(size.box))
        return EnlargedPicture(request=request, pixels=pixels, check=check, words=words)
    if out.suffix.lower() in BAND_SUFFIXES:
        save_bands(out, size, (compute(band) for band in cut_bands(size)), request.write_texts())
    else:
        save_canvas(out, Image.fromarray(compute(size.box)), request.write_texts())
    return EnlargedPicture(request=request, path=out, check=check, words=words)


def _load_pixels(picture: Path) -> Pixels:
    return np.asarray(flatten(load_picture(picture)))


def _check_larger(source: Pixels, size: PixelSize) -> None:
    own = PixelSize(source.shape[1], source.shape[0])
    if size.width < own.width or size.height < own.height:
        raise RequestError("a picture grows to a larger size", got=f"{own} to {size}", do="Ask for a larger size.")
