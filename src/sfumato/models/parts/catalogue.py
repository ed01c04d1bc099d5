"""Parts by name: pretrained weights that ship inside ordinary packages, and where their converted files lie.

Knows the cache and its digests; opens no package and goes nowhere. The table itself is in `rows`. Start reading at
`find_part`.
"""

from __future__ import annotations

import difflib
import hashlib
import shutil
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.core.errors import ModelError, RequestError
from sfumato.core.files import expand_path, find_cache_folder
from sfumato.core.settings import load_settings
from sfumato.models.parts.rows import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfumato.models.parts.rows import Part

NOTES = "sfumato"
"""The one text in the header of a converted file: a JSON object that the converter wrote."""
BY_NAME = {part.name: part for part in PARTS}


def find_part(name: str) -> Path | None:
    """Return the converted file, or the folder, of a part in the cache; None where it is absent or has another digest.

    Raises:
        RequestError: no part has this name.
    """
    part = pick_part(name)
    place = place_part(part)
    if not place.exists() or not part.sha256:
        return None
    return place if _digest(place, _stamp(place)) == part.sha256 else None


def describe_state(part: Part) -> str:
    """Return whether a part is there: ready, absent (and its client too), damaged, or not convertible here."""
    if find_part(part.name) is not None:
        return "ready"
    if not part.sha256:
        return "not converted by this version"
    if place_part(part).exists():
        return "damaged"
    return "absent, and npm is missing" if part.package.client == "npm" and not shutil.which("npm") else "absent"


def check_part(name: str) -> Path:
    """Return the converted file, or the folder, of a part.

    Raises:
        RequestError: no part has this name.
        ModelError: it was not fetched yet; says the command that fetches it.
    """
    place = find_part(name)
    if place is None:
        raise ModelError("a part was not fetched yet", got=name, do=advise_fetch([name]))
    return place


def advise_fetch(names: Iterable[str]) -> str:
    """Return the sentence with the one command that fetches parts."""
    return f"Fetch it once: sfumato parts get {' '.join(names)}"


def pick_part(name: str) -> Part:
    """Return the row of a part.

    Raises:
        RequestError: no part has this name.
    """
    if name not in BY_NAME:
        near = difflib.get_close_matches(name, BY_NAME, n=1)
        do = f"Did you mean {near[0]}?" if near else f"Parts: {', '.join(BY_NAME)}."
        raise RequestError("no part has this name", got=name, do=do)
    return BY_NAME[name]


def place_part(part: Part) -> Path:
    """Return where the converted file, or the folder, of a part lies or will lie."""
    return find_parts_folder() / (part.name if part.is_folder else f"{part.name}.safetensors")


def find_parts_folder() -> Path:
    """Return the folder of the setting `parts`, or the usual one in the user's cache."""
    text = load_settings().parts
    return expand_path(text, what="the folder of parts") if text else find_cache_folder() / "parts"


def digest_folder(folder: Path) -> str:
    """Return the digest of a folder: of the lines `SHA-256 path`, in the order of the paths, of all its files."""
    lines = [
        f"{_digest_file(path)} {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
        if path.is_file()
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamp(place: Path) -> tuple[int, int, int]:
    status = place.stat()
    return (status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(place: Path, stamp: tuple[int, int, int]) -> str:
    """Return the digest of what lies in the cache, once for each state of it."""
    del stamp
    return digest_folder(place) if place.is_dir() else _digest_file(place)
