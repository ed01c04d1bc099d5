"""Boxes of faces, hands and persons that were read by eye in public renders, and the pictures that they belong to.

Knows the file of labels and the digests of its pictures, no finder. Start reading at `read_labels`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sfumato.core.errors import RequestError
from sfumato.core.files import open_regular
from sfumato.core.geometry import PixelBox
from sfumato.core.serialize import parse_json

HALVES = ("calibrate", "judge")
KINDS = ("face", "hand", "person")
# The file in the repository has 43 kB.
LARGEST_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledThing:
    """Hold what an eye saw: its kind and its box, px.

    `drawn` tells cartoons, toys, statues and robots from what is human or nearly. A `skipped` thing counts neither as
    missed nor as false.
    """

    kind: str
    box: PixelBox
    drawn: bool = False
    skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPicture:
    """Hold a picture's file name, its SHA-256, its half, and the things in it."""

    name: str
    sha256: str
    half: str
    things: tuple[LabelledThing, ...]


def read_labels(path: Path, half: str) -> tuple[LabelledPicture, ...]:
    """Return the labelled pictures of one half, in the order of the file.

    Raises:
        RequestError: there is no such file, or it holds no such labels.
    """
    with open_regular(path, what="the file of labels") as stream:
        raw = stream.read(LARGEST_FILE_BYTES + 1)
    if len(raw) > LARGEST_FILE_BYTES:
        raise RequestError("a file of labels has at most 1 MiB", got=str(path), do="Name another file in `labels`.")
    try:
        rows = cast("dict[str, Any]", parse_json(raw.decode(), what="the file of labels"))["pictures"]
        pictures = tuple(_read_picture(row) for row in rows)
    except (KeyError, TypeError, ValueError) as error:
        do = "Write it like tests/labels/real.json."
        raise RequestError("a file of labels lacks something", got=f"{type(error).__name__}: {error}", do=do) from error
    return tuple(picture for picture in pictures if picture.half == half)


def find_pictures(pictures: tuple[LabelledPicture, ...], folder: Path) -> tuple[Path, ...]:
    """Return the file of each picture.

    Raises:
        RequestError: a picture is missing, or another one than was labelled.
    """
    places = tuple(folder / picture.name for picture in pictures)
    for picture, place in zip(pictures, places, strict=True):
        with open_regular(place, what="a labelled picture") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != picture.sha256:
            do = "Fetch the pictures again: sfumato parts get renders"
            raise RequestError("a labelled picture is another one than was labelled", got=str(place), do=do)
    return places


def _read_picture(row: Any) -> LabelledPicture:
    name, half = str(row["name"]), str(row["half"])
    if Path(name).name != name or half not in HALVES:
        raise ValueError(f"{name}, {half}")
    return LabelledPicture(
        name=name, sha256=str(row["sha256"]), half=half, things=tuple(_read_thing(one) for one in row["things"])
    )


def _read_thing(row: Any) -> LabelledThing:
    left, top, width, height = (int(side) for side in row["box"])
    if row["kind"] not in KINDS:
        raise ValueError(row["kind"])
    return LabelledThing(
        kind=row["kind"],
        box=PixelBox(left, top, left + width, top + height),
        drawn=row.get("style") == "drawn",
        skipped=bool(row.get("skip", False)),
    )
