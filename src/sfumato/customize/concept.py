"""A concept on disk: the folder NAME.concept with pictures, masks, captions and `concept.toml`.

Knows files and words; no tensor and no model's weights. What a base learned lies below it, see `build`. Start reading
at `ConceptFolder`; `create` makes one from photos.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sfumato.core.errors import RequestError, StorageError
from sfumato.core.files import check_path, expand_path, file_sha256, open_regular, write_atomic
from sfumato.core.settings import load_settings
from sfumato.core.validate import check_text
from sfumato.models.files.library import models_folder

SUFFIX = ".concept"
CONFIG = "concept.toml"
FORMAT = 1
LONGEST_CONFIG_BYTES = 1 << 20
MOST_SHOWN = 8
# A folder name on every system, and what the file of an embedding is called.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptPicture:
    """One picture of a concept: file names inside the folder, digests, and a caption that says the trigger."""

    file: str
    sha256: str
    caption: str = ""
    mask: str = ""
    mask_sha256: str = ""

    def __post_init__(self) -> None:
        for what, value in (("picture", self.file), ("mask", self.mask)):
            check_text(f"the name of a {what}", value, most=255)
            if Path(value).name != value or value.startswith("."):
                raise RequestError(f"the {what} of a concept lies in its folder", got=value, do="Give its file name.")
        check_text("a caption", self.caption, most=2000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptFolder:
    """A concept: `trigger` is the word in prompts, `noun` its class, `description` what a stranger would see."""

    path: Path
    name: str
    trigger: str
    noun: str
    description: str = ""
    pictures: tuple[ConceptPicture, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        for what, value in (("trigger", self.trigger), ("class", self.noun)):
            check_text(f"the {what} of a concept", value, most=80, empty=False)
        check_text("the description of a concept", self.description, most=300)

    def find_picture(self, picture: ConceptPicture) -> Path:
        """Return where a picture lies."""
        return self.path / "pictures" / picture.file

    def find_mask(self, picture: ConceptPicture) -> Path | None:
        """Return where the mask of a picture lies, None where it has none."""
        return self.path / "masks" / picture.mask if picture.mask else None

    @property
    def state(self) -> Path:
        """Return the folder of stopped training."""
        return self.path / "state"

    @property
    def builds(self) -> Path:
        """Return the folder of what bases learned."""
        return self.path / "builds"

    def to_json(self) -> dict[str, Any]:
        """Return what `concept list` shows."""
        return {
            "name": self.name,
            "trigger": self.trigger,
            "class": self.noun,
            "description": self.description,
            "pictures": len(self.pictures),
            "masks": sum(bool(picture.mask) for picture in self.pictures),
            "path": str(self.path),
        }


def check_name(name: str) -> None:
    """Check the name of a concept.

    Raises:
        RequestError: it has other signs than a-z, 0-9, - and _, or more than 40.
    """
    if not _NAME.fullmatch(name):
        do = "Use a-z, 0-9, - and _, at most 40, a letter or digit first."
        raise RequestError("a concept cannot have this name", got=name, do=do)


def concepts_folder() -> Path:
    """Return the folder of concepts: SFUMATO_CONCEPTS, else `concepts` beside the folder of models, else the user's own.

    The user's own is `sfumato/concepts` in XDG_DATA_HOME or ~/.local/share.

    Raises:
        RequestError: SFUMATO_CONCEPTS names something that is no folder.
    """
    text = load_settings().concepts
    if text:
        folder = expand_path(text, what="the folder of concepts")
        if folder.exists() and not folder.is_dir():
            raise RequestError("SFUMATO_CONCEPTS names no folder", got=str(folder), do="Set it to a folder.")
        return folder
    models = models_folder()
    if models is not None:
        return models.parent / "concepts"
    base = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".local" / "share") / "sfumato" / "concepts"


def find_concept(ref: str | Path) -> ConceptFolder:
    """Open the concept of a name or a path.

    Raises:
        RequestError: there is none, or its `concept.toml` cannot be read.
    """
    path = expand_path(ref, what="the concept")
    if not (path / CONFIG).is_file():
        if len(path.parts) > 1 or (path.suffix == SUFFIX and path.exists()):
            raise RequestError("there is no concept in this folder", got=str(ref), do=f"It needs a {CONFIG}.")
        path = concepts_folder() / f"{path.name.removesuffix(SUFFIX)}{SUFFIX}"
        if not (path / CONFIG).is_file():
            raise _absent(str(ref))
    return read_concept(path)


def list_concepts() -> list[ConceptFolder]:
    """Return the concepts in the folder of concepts that can be read, by name."""
    found: list[ConceptFolder] = []
    for path in sorted(concepts_folder().glob(f"*{SUFFIX}")):
        try:
            found.append(read_concept(path))
        except RequestError:
            continue
    return found


def list_unreadable() -> list[RequestError]:
    """Return why folders in the folder of concepts cannot be read, an error for each."""
    found: list[RequestError] = []
    for path in sorted(concepts_folder().glob(f"*{SUFFIX}")):
        try:
            read_concept(path)
        except RequestError as error:
            found.append(error)
    return found


def read_concept(path: Path) -> ConceptFolder:
    """Read a concept's folder.

    Raises:
        RequestError: `concept.toml` is not there, broken, or of another version.
    """
    config = path / CONFIG
    check_path(config, what="the concept")
    with open_regular(config, what="the concept") as stream:
        raw = stream.read(LONGEST_CONFIG_BYTES + 1)
    try:
        values = tomllib.loads(raw.decode())
        if values.pop("format") != FORMAT:
            raise RequestError("the concept was written by another version", got=str(config), do="Make it anew.")
        values["noun"] = values.pop("class")
        pictures = tuple(ConceptPicture(**row) for row in values.pop("pictures", []))
        return ConceptFolder(path=path.absolute(), pictures=pictures, **values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        do = "Mend the file, or make the concept anew with sfumato concept new."
        raise RequestError("the concept's settings cannot be read", got=f"{config}: {error}", do=do) from error


def write_concept(concept: ConceptFolder) -> None:
    """Write `concept.toml`.

    Raises:
        StorageError: the disk refuses.
    """
    write_atomic(concept.path / CONFIG, lambda stream: stream.write(_write_toml(concept).encode()))


def check_pictures(concept: ConceptFolder) -> None:
    """Check that all pictures and masks are the files that they were.

    Raises:
        RequestError: one is missing or was changed.
    """
    for picture in concept.pictures:
        mask = concept.find_mask(picture)
        for path, digest in ((concept.find_picture(picture), picture.sha256), (mask, picture.mask_sha256)):
            if path is not None and (not path.exists() or file_sha256(path, what="a picture") != digest):
                do = "Put the file back, or make the concept anew with sfumato concept new."
                raise RequestError("a picture of the concept is gone or was changed", got=str(path), do=do)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, whole or not at all.

    Raises:
        StorageError: the disk refuses.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(path, lambda stream: stream.write(text.encode()))


def read_json_file(path: Path, *, what: str) -> Any:
    """Read a small JSON file of a concept.

    Raises:
        StorageError: it is not there or broken.
    """
    try:
        with open_regular(path, what=what) as stream:
            return json.loads(stream.read(LONGEST_CONFIG_BYTES))
    except (RequestError, ValueError, RecursionError) as error:
        raise StorageError(f"{what} cannot be read", got=f"{path}: {error}", do="Train the concept again.") from error


def _write_toml(concept: ConceptFolder) -> str:
    values = {"name": concept.name, "trigger": concept.trigger, "class": concept.noun}
    values["description"] = concept.description
    lines = [f"format = {FORMAT}", *(f"{name} = {_quote(value)}" for name, value in values.items())]
    for picture in concept.pictures:
        rows = {name: value for name, value in asdict(picture).items() if value}
        lines += ["", "[[pictures]]", *(f"{name} = {_quote(value)}" for name, value in rows.items())]
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    # A JSON string is a basic string of TOML, but for one sign.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _absent(name: str) -> RequestError:
    names = [path.name.removesuffix(SUFFIX) for path in concepts_folder().glob(f"*{SUFFIX}")]
    near = difflib.get_close_matches(name, names, n=3) or sorted(names)[:MOST_SHOWN]
    holds = f"{concepts_folder()} holds {', '.join(near)}." if near else "Make it with sfumato concept new."
    return RequestError("there is no concept of this name", got=name, do=holds)
