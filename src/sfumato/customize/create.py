"""Make a concept from photos: look at every picture, copy it with its mask and caption, lock the evaluation.

Knows picture files; no model. Start reading at `create_concept`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.canvas.formats.images import load_picture, save_picture
from sfumato.canvas.mask import read_mask
from sfumato.core.errors import RequestError, SfumatoError
from sfumato.core.files import file_sha256, make_storage_error, name_unfinished, open_regular
from sfumato.core.geometry import PixelSize
from sfumato.core.validate import check_text
from sfumato.customize.concept import (
    SUFFIX,
    ConceptFolder,
    ConceptPicture,
    check_name,
    concepts_folder,
    write_concept,
    write_json,
)
from sfumato.customize.trigger import check_trigger, names_trigger

if TYPE_CHECKING:
    from PIL import Image

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
# Two pictures say what they have in common with each other only by chance, and one of three is held out.
LEAST_PICTURES, MOST_PICTURES = 3, 1000
SHORTEST_SIDE_PX = 64
LONGEST_CAPTION_BYTES = 8192
EVALUATION = "evaluation.json"
# {} stands for the trigger, or for the class noun where the base alone draws. Locked when the concept is made, so that
# cards of later builds compare.
PROMPTS = (
    "a portrait of {} in a meadow",
    "{} waving on a beach, half body",
    "{} walking in a street, full body",
    "a cartoon of {} in a room, full body",
)
SEEDS = (101, 102, 103, 104)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConcept:
    """Say what a concept is to be: see `ConceptFolder`. `trigger` is the name where it is left out."""

    name: str
    photos: Path
    noun: str
    trigger: str = ""
    description: str = ""


def create_concept(wanted: NewConcept, find_mask: Callable[[Path], Image.Image | None] | None = None) -> ConceptFolder:
    """Make NAME.concept in the folder of concepts; it is there whole, or not at all.

    Beside IMG.png lie its mask IMG_mask.png and its caption IMG.txt, both left out at will. A caption says the trigger.
    `find_mask` makes the mask of a photo that has none.

    Raises:
        RequestError: a name or word that will not do, too few pictures, the same one twice, or a concept of this name.
        UnsafeFileError: a picture is larger than pictures from outside may be.
        StorageError: the disk refuses.
    """
    check_name(wanted.name)
    trigger = wanted.trigger or wanted.name
    check_trigger(trigger)
    _check_noun(wanted.noun, trigger)
    target = concepts_folder() / f"{wanted.name}{SUFFIX}"
    if target.exists():
        do = "Choose another name, or remove that folder first."
        raise RequestError("there is a concept of this name", got=str(target), do=do)
    photos = list_photos(wanted.photos)
    concept = ConceptFolder(
        path=target.absolute(), name=wanted.name, trigger=trigger, noun=wanted.noun, description=wanted.description
    )
    beside = name_unfinished(target)
    try:
        for name in ("pictures", "masks"):
            (beside / name).mkdir(parents=True)
        pictures = tuple(_copy(photo, beside, trigger, find_mask) for photo in photos)
        _check_distinct(pictures)
        write_concept(replace(concept, path=beside, pictures=pictures))
        write_json(beside / EVALUATION, {"prompts": list(PROMPTS), "seeds": list(SEEDS)})
        beside.replace(target)
    except OSError as error:
        raise make_storage_error(target, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return replace(concept, pictures=pictures)


def list_photos(folder: Path) -> list[Path]:
    """List the pictures of a folder by name, masks left out.

    Raises:
        RequestError: there is no such folder, or it holds too few or too many.
    """
    if not folder.is_dir():
        raise RequestError("there is no folder of photos here", got=str(folder), do="Name the folder that holds them.")
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES
        and path.is_file()
        and not path.stem.endswith("_mask")
        and not path.name.startswith(".")
    )
    if not LEAST_PICTURES <= len(found) <= MOST_PICTURES:
        do = (
            "Add pictures of the same subject (.png, .jpg, .webp): five that differ in place and pose are a good start."
        )
        what = f"a concept is learned from {LEAST_PICTURES} to {MOST_PICTURES} pictures"
        raise RequestError(what, got=f"{len(found)} in {folder}", do=do)
    return found


def _check_noun(noun: str, trigger: str) -> None:
    check_text("the class", noun, most=80)
    if not noun.strip():
        raise RequestError("the concept needs a class", do="Say what it is in a word or two: man, dog, house.")
    if names_trigger(trigger, noun):
        raise RequestError("the class holds the trigger", got=noun, do="Say what it is in other words: man, dog.")


def _copy(
    photo: Path, folder: Path, trigger: str, find_mask: Callable[[Path], Image.Image | None] | None
) -> ConceptPicture:
    picture = load_picture(photo)
    if min(picture.size) < SHORTEST_SIDE_PX:
        got = f"{photo}: {picture.width}x{picture.height}"
        raise RequestError(f"a picture has at least {SHORTEST_SIDE_PX} px on each side", got=got, do="Leave it out.")
    shutil.copyfile(photo, folder / "pictures" / photo.name)
    found = ConceptPicture(file=photo.name, sha256=file_sha256(photo), caption=_read_caption(photo, trigger))
    mask = photo.with_name(f"{photo.stem}_mask.png")
    if not mask.exists():
        drawn = None if find_mask is None else find_mask(photo)
        if drawn is None:
            return found
        path = folder / "masks" / mask.name
        save_picture(path, drawn, {})
        return replace(found, mask=mask.name, mask_sha256=file_sha256(path))
    try:
        read_mask(load_picture(mask), PixelSize(*picture.size))
    except SfumatoError as error:
        raise RequestError(f"the mask {mask.name} does not fit: {error.what}", got=error.got, do=error.do) from error
    shutil.copyfile(mask, folder / "masks" / mask.name)
    return replace(found, mask=mask.name, mask_sha256=file_sha256(mask))


def _read_caption(photo: Path, trigger: str) -> str:
    path = photo.with_suffix(".txt")
    if not path.exists():
        return ""
    with open_regular(path, what="a caption") as stream:
        text = " ".join(stream.read(LONGEST_CAPTION_BYTES).decode(errors="replace").split())
    if text and not names_trigger(trigger, text):
        do = f'Write {trigger} where the subject is meant: "{trigger} in a meadow".'
        raise RequestError("a caption does not say the trigger", got=f"{path.name}: {text}", do=do)
    return text


def _check_distinct(pictures: tuple[ConceptPicture, ...]) -> None:
    first: dict[str, str] = {}
    for picture in pictures:
        if picture.sha256 in first:
            got = f"{first[picture.sha256]} and {picture.file}"
            raise RequestError("two pictures are the same file", got=got, do="Leave one of them out.")
        first[picture.sha256] = picture.file
