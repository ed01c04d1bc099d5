"""Which upscaler is meant by a name, a file or nothing: a fetched part, a file of the user's, or Lanczos.

Knows the cache of parts, the folder of models and digests; runs no network. A pickle of the ESRGAN family is
converted once, in the sandbox. Start reading at `choose_upscaler`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sfumato.core.errors import ModelError, RequestError, SfumatoError, UnsafeFileError
from sfumato.core.files import file_sha256, find_cache_folder
from sfumato.models.files.convert import convert_pickle
from sfumato.models.files.gate import PICKLES, check_weights_file
from sfumato.models.files.library import find_model_file
from sfumato.models.parts.catalogue import advise_fetch, check_part, find_part
from sfumato.models.parts.rows import PARTS
from sfumato.models.upscaler.detect_shape import find_upscaler
from sfumato.models.upscaler.upscaler import LANCZOS

if TYPE_CHECKING:
    from sfumato.core.resampling import Pixels

PHOTOGRAPHS, FLAT_ART = "x4plus", "x4plus-anime"
# Steps of grey between neighbours, of 255: the shading of a photograph, and an outline.
_SHADING, _OUTLINE = (2.0, 16.0), 32.0
# Of 66 pictures looked at (14 of scikit-image, 52 renders), photographs have 0.74 and more of shading, a photographed
# page of text 0.66, and drawings with outlines 0.48 and less. Soft drawings lie among the photographs, whose network
# suits them too.
_LEAST_SHADING = 0.6
_LONGEST_PX = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenUpscaler:
    """Hold an upscaler that was found: its name as a request says it, its weights and their digest, and why it is this one.

    `weights` is None and `sha256` empty for Lanczos. `sha256` is that of the file that was named: of a pickle, not of
    what it was converted to. `words` are for the user; empty where there is nothing to say.
    """

    name: str
    weights: Path | None = None
    sha256: str = ""
    words: str = ""


def choose_upscaler(name: str | None, pixels: Pixels) -> ChosenUpscaler:
    """Return the upscaler of a name; without one the part that suits the picture, or Lanczos where none was fetched.

    `pixels` are those of the picture, uint8 [height, width, 3].

    Raises:
        ModelError: there is no such file, it is no upscaler, or the part was not fetched.
        UnsafeFileError: the file does not pass the gate.
    """
    if name is not None:
        return find_named(name)
    flat = is_flat_art(pixels)
    kind = "a drawing with outlines" if flat else "a photograph or a painting"
    best, other = (FLAT_ART, PHOTOGRAPHS) if flat else (PHOTOGRAPHS, FLAT_ART)
    for part in (best, other):
        path = find_part(part)
        if path is not None:
            less = "" if part == best else f"; {best} suits it better: sfumato parts get {best}"
            return _hold_file(part, path, f"{part}: the picture looks like {kind}{less}")
    words = f"enlarged by Lanczos: resampling, nothing drawn anew. A network does better. {advise_fetch([best])}"
    return ChosenUpscaler(name=LANCZOS, words=words)


def list_networks() -> tuple[str, ...]:
    """Return the parts that are upscaling networks, fetched or not."""
    return tuple(part.name for part in PARTS if part.converter == "ncnn")


def find_named(name: str) -> ChosenUpscaler:
    """Return the upscaler that a name means: `lanczos`, a file, a part, or a file of the folder of models.

    Raises: as `choose_upscaler`.
    """
    if name.casefold() == LANCZOS:
        return ChosenUpscaler(name=LANCZOS)
    if not Path(name).exists() and name in list_networks():
        return _hold_file(name, check_part(name))
    path = find_model_file("upscaler", name)
    if path.suffix.lower() not in PICKLES:
        check_weights_file(path)
        return _hold_file(str(path.resolve()), path)
    digest = file_sha256(path, what="the upscaler")
    target = find_cache_folder() / "upscalers" / f"{path.stem}-{digest[:16]}.safetensors"
    words = ""
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        convert_pickle(path, target)
        words = f"{path.name} was converted once, in a sandbox, to {target}"
    if find_upscaler(check_weights_file(target)) is None:
        target.unlink(missing_ok=True)
        do = "Name an ESRGAN-family file."
        raise ModelError("no known upscaler has these weights", got=str(path), do=do)
    return ChosenUpscaler(name=str(path.resolve()), weights=target, sha256=digest, words=words)


def find_again(name: str, sha256: str) -> ChosenUpscaler:
    """Return the upscaler that a stored request names.

    Raises:
        ModelError: it is not there, or has another digest.
    """
    try:
        found = find_named(name)
    except (UnsafeFileError, RequestError):
        raise
    except SfumatoError as error:
        do = error.do or "Put it back, or enlarge the picture anew."
        raise ModelError("the upscaler of this picture is not there", got=name, do=do) from error
    if found.sha256 != sha256:
        do = "Put the old file back, or enlarge the picture anew."
        raise ModelError("the upscaler of this picture has other weights now", got=name, do=do)
    return found


def _hold_file(name: str, path: Path, words: str = "") -> ChosenUpscaler:
    return ChosenUpscaler(name=name, weights=path, sha256=file_sha256(path, what="the upscaler"), words=words)


def is_flat_art(pixels: Pixels) -> bool:
    """Tell whether the steps of a picture, uint8 [height, width, 3], are mostly outlines and not shading.

    Looks at the middle of a large picture.
    """
    return measure_shading(pixels) < _LEAST_SHADING


def measure_shading(pixels: Pixels) -> float:
    """Return how many of the clear steps between neighbours are shading, 0 to 1; 1 where there is no clear step."""
    height, width = pixels.shape[:2]
    top, left = max(0, height - _LONGEST_PX) // 2, max(0, width - _LONGEST_PX) // 2
    grey = pixels[top : top + _LONGEST_PX, left : left + _LONGEST_PX].astype(np.float32).mean(axis=2)
    if min(grey.shape) < 2:
        return 1.0
    across, down = np.abs(np.diff(grey, axis=1))[:-1], np.abs(np.diff(grey, axis=0))[:, :-1]
    steps = np.maximum(across, down)
    shading = int(((steps > _SHADING[0]) & (steps <= _SHADING[1])).sum())
    outlines = int((steps > _OUTLINE).sum())
    return shading / (shading + outlines) if shading + outlines else 1.0
