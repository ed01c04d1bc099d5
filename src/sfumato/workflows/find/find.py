"""Find faces, hands, people and things in a picture: choose the finders, run them, and join what they saw.

Knows picture files and finders by their rows; no network. Start reading at `find_things`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sfumato.canvas.formats.images import load_picture, read_texts
from sfumato.canvas.formats.read import RegionPixels, open_regions
from sfumato.canvas.pixels import MemoryPixels, PixelStore
from sfumato.core.errors import ModelError, RequestError
from sfumato.core.files import check_path
from sfumato.core.found import Found
from sfumato.core.geometry import PixelSize
from sfumato.core.serialize import parse_json
from sfumato.critic.finders.finder import Finder
from sfumato.models.describe import MINI
from sfumato.models.parts.catalogue import advise_fetch
from sfumato.workflows.find.finders import FINDERS, choose_rows, list_kinds, make_finders

_REGION_SUFFIXES = (".tif", ".tiff", ".dzi")
# Two finders see the same thing where they say the same kind and share more than this of the union.
MOST_COVER = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundThings:
    """Hold what was found in a picture, which finders looked, and the parts whose lack kept others from looking."""

    found: tuple[Found, ...]
    size: PixelSize
    by: tuple[str, ...]
    missing: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the form of `sfumato find --json`."""
        return {
            "found": [one.to_json() for one in self.found],
            "size": [self.size.width, self.size.height],
            "finders": list(self.by),
            "missing": list(self.missing),
        }


def find_things(
    picture: Path | str | Image.Image | PixelStore, *, kinds: Iterable[str] = (), by: str = ""
) -> FoundThings:
    """Find things in a picture: a file, a PIL image, or an open canvas.

    `kinds` keeps only these kinds; `by` names one finder. A picture that `mini` drew, as its stored request says, is
    looked at by the finder of drawn pictures too. A finder whose parts were not fetched is left out and told in
    `missing`.

    Raises:
        RequestError: no such picture, an unknown kind or finder, or a finder that knows none of the kinds.
        UnsafeFileError: the picture has more pixels than pictures from outside may have.
        ModelError: no finder can look, because its parts were not fetched yet; says the command.
    """
    wanted = check_kinds(kinds)
    check_finder(by)
    rows = choose_rows(drawn=is_drawn(picture), kinds=wanted, by=by)
    if not rows:
        named = f"the finder {by}" if by else "no finder for this picture"
        raise RequestError(f"{named} knows these kinds", got=", ".join(sorted(wanted)), do="Leave `kinds` out.")
    missing = {row.name: row.list_missing() for row in rows}
    absent = tuple(dict.fromkeys(name for names in missing.values() for name in names))
    ready = [row for row in rows if not missing[row.name]]
    if not ready:
        raise ModelError(
            "finding needs parts that were not fetched yet", got=", ".join(absent), do=advise_fetch(absent)
        )
    store = open_store(picture)
    found = run_finders(make_finders(ready), store)
    kept = tuple(one for one in found if not wanted or one.kind in wanted)
    return FoundThings(found=kept, size=store.size, by=tuple(row.name for row in ready), missing=absent)


def run_finders(finders: Sequence[Finder], pixels: PixelStore) -> tuple[Found, ...]:
    """Return what several finders see, each thing once, the surest first."""
    return join_found(one for finder in finders for one in finder.find(pixels))


def join_found(found: Iterable[Found]) -> tuple[Found, ...]:
    """Return things without those that a surer finding of the same kind, by another finder, covers."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: -one.confidence):
        rivals = [other for other in kept if other.kind == one.kind and other.by != one.by]
        if all(_measure_cover(one, other) <= MOST_COVER for other in rivals):
            kept.append(one)
    return tuple(kept)


def check_kinds(kinds: Iterable[str]) -> frozenset[str]:
    """Return kinds of things after a check that some finder knows each.

    Raises:
        RequestError: none does.
    """
    wanted = frozenset(kind.strip() for kind in kinds)
    unknown = sorted(wanted - set(list_kinds()))
    if unknown:
        raise RequestError("no finder knows this kind", got=", ".join(unknown), do=f"Kinds: {', '.join(list_kinds())}.")
    return wanted


def check_finder(name: str) -> None:
    """Check that there is a finder of a name; the empty name leaves the choice open.

    Raises:
        RequestError: there is none.
    """
    names = [row.name for row in FINDERS]
    if name and name not in names:
        raise RequestError("no finder has this name", got=name, do=f"Finders: {', '.join(names)}.")


def is_drawn(picture: Path | str | Image.Image | PixelStore) -> bool:
    """Tell whether a picture says that `mini` drew it: a file by its stored request, any other picture never does.

    Raises:
        RequestError: there is no such picture.
    """
    if not isinstance(picture, Path | str):
        return False
    check_path(Path(picture), what="the picture")
    text = read_texts(picture).get("sfumato")
    if text is None:
        return False
    try:
        request = parse_json(text, what="the request in the picture")
    except RequestError:
        return False
    return isinstance(request, dict) and request.get("model") == MINI


def open_store(picture: Path | str | Image.Image | PixelStore) -> PixelStore:
    """Open a picture for reading by boxes; large .tif and .dzi pictures stay on the disk.

    Raises:
        RequestError: no such file, another format, or a damaged file.
        UnsafeFileError: it has more pixels than pictures from outside may have.
    """
    if isinstance(picture, Path | str):
        path = Path(picture)
        if path.suffix.lower() in _REGION_SUFFIXES:
            return RegionPixels(open_regions(path))
        picture = load_picture(path)
    if isinstance(picture, Image.Image):
        flat = Image.new("RGB", picture.size, "white")
        # What is transparent is shown on white paper.
        flat.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
        return MemoryPixels(PixelSize(*flat.size), np.asarray(flat).copy())
    return picture


def _measure_cover(one: Found, other: Found) -> float:
    shared = one.box.find_overlap(other.box)
    return 0.0 if shared is None else shared.area / (one.box.area + other.box.area - shared.area)
