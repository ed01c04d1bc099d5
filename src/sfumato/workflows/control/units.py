"""Units of control as callers say them: read from a text, their pictures made, and noted by digest in a request.

Start reading at `make_control_refs`; `ControlUnit` is in `workflows.values`. Networks are opened by `attach_controls`.
"""

from __future__ import annotations

import functools
import hashlib
import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.canvas.formats.images import file_sha256, load_picture, save_picture
from sfumato.core.errors import RequestError
from sfumato.core.request import InpaintSource
from sfumato.core.request_parts.control import MODES, ControlRef
from sfumato.models.control.control_file import check_control_fits, open_control
from sfumato.models.control.modules import CROP, MODULES, NONE, check_module, make_control_picture
from sfumato.models.control.residuals import load_control
from sfumato.models.describe import describe_checkpoint
from sfumato.render.sampling.pixels import flatten
from sfumato.workflows.edit.sources import cut_crop, find_file
from sfumato.workflows.values import ControlUnit

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from PIL.Image import Image

    from sfumato.core.geometry import PixelSize
    from sfumato.core.request import RenderRequest
    from sfumato.models.control.control_file import ControlSource
    from sfumato.models.latent_model import LatentModel

_SHARES = re.compile(r"(\d*\.?\d+)-(\d*\.?\d+)")
_NUMBER = re.compile(r"\d*\.?\d+")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_FORM = "NETWORK:PICTURE, and after them with colons a weight, steps as 0-0.8, canny, or a mode"


def parse_unit(text: str) -> ControlUnit:
    """Read `NETWORK:PICTURE[:WEIGHT][:START-END][:MODULE][:MODE]`; what follows the picture may stand in any order.

    Raises:
        RequestError: the text is something else.
    """
    network, _, rest = text.partition(":")
    unit = ControlUnit(network=network.strip(), picture="")
    while rest:
        before, colon, last = rest.rpartition(":")
        changed = _read_word(unit, last) if colon else None
        if changed is None:
            break
        unit, rest = changed, before
    if not network.strip() or not rest:
        raise RequestError("`control` names a network and a picture", got=text, do=f"Write {_FORM}.")
    return replace(unit, picture=Path(rest))


def _read_word(unit: ControlUnit, word: str) -> ControlUnit | None:
    """Return a unit with what a word says; None where it is no such word."""
    shares = _SHARES.fullmatch(word)
    if shares:
        return replace(unit, start=float(shares[1]), end=float(shares[2]))
    if _NUMBER.fullmatch(word):
        return replace(unit, weight=float(word))
    if word in MODULES:
        return replace(unit, module=word)
    return replace(unit, mode=word) if word in MODES else None


def make_control_refs(units: Iterable[str | ControlUnit | ControlRef], size: PixelSize) -> tuple[ControlRef, ...]:
    """Return what a request of `size` says of units: their pictures are made now, so that it names what is drawn from.

    Raises:
        RequestError: a unit says no network or picture, or its picture cannot be read.
        ModelError, UnsafeFileError: its network cannot be opened.
    """
    return tuple(one if isinstance(one, ControlRef) else _make_ref(one, size) for one in units)


def _make_ref(said: str | ControlUnit, size: PixelSize) -> ControlRef:
    unit = parse_unit(said) if isinstance(said, str) else said
    check_module(unit.module)
    source = open_control(unit.network)
    picture = unit.picture
    if unit.module != NONE or unit.fit != CROP or unit.thresholds is not None:
        loaded = load_picture(picture) if isinstance(picture, str | Path) else picture
        picture = make_control_picture(
            flatten(loaded), unit.module, size=size, fit=unit.fit, thresholds=unit.thresholds
        )
    path = find_file(picture)
    # A path is resolved, so that the request is repeated from another folder; a name stays one.
    name = str(source.path.resolve()) if Path(unit.network).exists() else unit.network
    return ControlRef(
        network=name,
        network_sha256=digest_network(source),
        picture=str(path.resolve()),
        sha256=file_sha256(path, what="the picture of `control`"),
        weight=unit.weight,
        start=unit.start,
        end=unit.end,
        mode=unit.mode,
    )


def digest_network(source: ControlSource) -> str:
    """Return the SHA-256 (hex) of the weights of a control network; of several files, that of their digests.

    Cost: reads the files, once for each state of them.
    """
    found = [_digest(path, path.stat().st_size, path.stat().st_mtime_ns) for path in source.paths]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


@functools.lru_cache(maxsize=16)
def _digest(path: Path, _size: int, _changed_ns: int) -> str:
    return file_sha256(path, what="the control network")


def check_controls(request: RenderRequest) -> int:
    """Check the control networks of a request before anything is loaded; return how many weights they have together.

    Raises:
        ModelError: one is not there, or does not fit the model.
        UnsafeFileError: the gate refuses one.
        RequestError: it is another than the request was made with.
    """
    parameters, base = dict[str, int](), None
    for one in request.controls:
        if one.network in parameters:
            continue
        source = open_control(_find_network(one.network))
        base = base or describe_checkpoint(request.model, vae=request.vae, prediction=request.prediction)
        check_control_fits(source, base)
        found = digest_network(source)
        if found != one.network_sha256:
            do = "Name it anew as `control` to draw with what it is now."
            got = f"{one.network}: {found[:12]}, in the request {one.network_sha256[:12]}"
            raise RequestError("the control network is not the one of the request", got=got, do=do)
        parameters[one.network] = source.parameters
    return sum(parameters.values())


def _find_network(name: str) -> str:
    """Return a path that is there, or the name that a file of the folder of models may have."""
    path = Path(name)
    return name if path.exists() or not path.is_absolute() else path.name


def cut_control(picture: Image, request: RenderRequest, init: tuple[int, int] | None) -> Image:
    """Return a control picture as a request draws it: of a masked part that alone is drawn, that part.

    Raises:
        RequestError: it has another size than the picture whose part is drawn.
    """
    if request.crop is None or not isinstance(request.source, InpaintSource):
        return picture
    if picture.size != init:
        do = "Give a control picture of the size of `init`."
        got = f"{picture.width}x{picture.height}"
        raise RequestError("nobody knows which part of the control picture is drawn", got=got, do=do)
    return cut_crop(picture.convert("RGB"), request.crop, request.size)


def write_control_pictures(request: RenderRequest, out: Path) -> tuple[Path, ...]:
    """Write what the control networks of a request see; of several, the second goes to NAME-2 and so on.

    Raises:
        RequestError: there is no control, or the suffix names no picture format.
        StorageError: the disk refuses.
    """
    if not request.controls:
        raise RequestError("`control_out` has no effect without `control`", do="Add `control`, or leave it out.")
    if out.suffix.lower() not in _SUFFIXES:
        do = f"Use {', '.join(_SUFFIXES)}."
        raise RequestError("`control_out` names no picture format", got=str(out), do=do)
    places = [out, *(out.with_stem(f"{out.stem}-{index + 2}") for index in range(len(request.controls) - 1))]
    for one, place in zip(request.controls, places, strict=True):
        save_picture(place, flatten(load_picture(Path(one.picture))), {})
    return tuple(places)


@contextmanager
def attach_controls(model: LatentModel, request: RenderRequest) -> Generator[None]:
    """Open the control networks of a request for a while; `model.controls` has them by name.

    Raises:
        ModelError, UnsafeFileError: as `models.control.residuals.load_control`.
    """
    if request.controls:
        names = dict.fromkeys(one.network for one in request.controls)
        model.controls = {name: load_control(_find_network(name), model.policy) for name in names}
    try:
        yield
    finally:
        model.controls = {}
