"""Writes samples of the world to a folder: pictures, truth as JSON, masks as PNG, and a contact sheet.

Start reading at `sample_world`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.formats.images import save_picture
from sfumato.core.errors import RequestError
from sfumato.core.files import write_atomic
from sfumato.world.broad.characters import CHARACTERS
from sfumato.world.broad.compose import CHARACTER_SHOTS
from sfumato.world.compose import MIXES
from sfumato.world.people.goofs import FAULTS
from sfumato.world.scene import MORE_SHOTS, SHOTS, STYLES
from sfumato.world.stream import BROAD, WORLD_VERSION, Sample, Wish, make_sample
from sfumato.world.truth import Truth

SHEET_COLUMNS = 8
LARGEST_SIZE_PX = 8192
MOST_SAMPLES = 1_000_000
SHEET_PICTURES = 64
SHEET_TILE_PX = 128


@dataclass(frozen=True)
class WorldSamples:
    """What was written: the folder, the contact sheet, and one record per sample."""

    folder: Path
    sheet: Path
    records: tuple[dict[str, object], ...]


def sample_world(
    count: int, seed: int, folder: Path, *, size: int = 128, wish: Wish | None = None, each_mask: bool = False
) -> WorldSamples:
    """Draw `count` samples from `seed` on and write them to `folder`.

    Per sample: NAME.png, NAME.json (caption, labels, faults, part tree), NAME_parts.png (16-bit, the id of the topmost
    part of each pixel) and, with `each_mask`, NAME_masks/PART.png for every part and group (255 where it is seen).

    Raises:
        RequestError: a count, size or word outside the world.
        StorageError: the folder cannot be written.
    """
    wish = wish or Wish()
    _check(count, size, wish)
    wish = replace(wish, with_truth=True)
    records: list[dict[str, object]] = []
    tiles: list[NDArray[np.uint8]] = []
    for number in range(count):
        sample = make_sample(seed + number, size=size, wish=wish)
        name = f"{seed + number:08d}"
        records.append(_write_sample(folder, name, sample, seed=seed + number, each_mask=each_mask))
        if len(tiles) < SHEET_PICTURES:
            tiles.append(make_tile(sample.image))
    sheet = folder / "contact_sheet.png"
    save_picture(sheet, Image.fromarray(join_tiles(tiles)), {})
    return WorldSamples(folder, sheet, tuple(records))


def _check(count: int, size: int, wish: Wish) -> None:
    if not 1 <= count <= MOST_SAMPLES:
        raise RequestError("the number of samples is out of range", got=count, do=f"Ask for 1 to {MOST_SAMPLES}.")
    if not 16 <= size <= LARGEST_SIZE_PX:
        raise RequestError("the size is out of range", got=size, do=f"Ask for 16 to {LARGEST_SIZE_PX} pixels.")
    for what, word, known in (
        ("mix", wish.mix, (*MIXES, BROAD)),
        ("shot", wish.shot, (*SHOTS, *MORE_SHOTS) if wish.mix == BROAD else SHOTS),
        ("style", wish.style, STYLES),
        ("fault", wish.fault, FAULTS),
    ):
        if word and word not in known:
            raise RequestError(f"no such {what} in the world", got=word, do=f"Use one of: {', '.join(known)}.")
    _check_character(wish)


def _check_character(wish: Wish) -> None:
    if not wish.character:
        if wish.age:
            raise RequestError("an age needs a character", got=wish.age, do="Name a character of the mix broad.")
        return
    ages = {one.name: tuple(seen.age for seen in one.appearances()) for one in CHARACTERS}
    if wish.mix != BROAD:
        raise RequestError("named characters live in the mix broad", got=wish.mix, do=f"Use the mix {BROAD}.")
    if wish.character not in ages:
        raise RequestError("no such character", got=wish.character, do=f"Use one of: {', '.join(ages)}.")
    if wish.age and wish.age not in ages[wish.character]:
        do = f"Use one of: {', '.join(ages[wish.character])}."
        raise RequestError("this character has no such age", got=wish.age, do=do)
    if wish.shot and wish.shot not in CHARACTER_SHOTS:
        raise RequestError(
            "this shot shows no character", got=wish.shot, do=f"Use one of: {', '.join(CHARACTER_SHOTS)}."
        )


def _write_sample(folder: Path, name: str, sample: Sample, *, seed: int, each_mask: bool) -> dict[str, object]:
    assert sample.truth is not None, "samples are drawn with their truth"
    record: dict[str, object] = {
        "picture": f"{name}.png",
        "parts": f"{name}_parts.png",
        "seed": seed,
        "world_version": WORLD_VERSION,
        "caption": sample.caption,
        "captions": list(sample.captions),
        "labels": sample.labels,
        "faults": [fault.to_json() for fault in sample.faults],
    }
    save_picture(folder / f"{name}.png", Image.fromarray(sample.image), {})
    save_picture(folder / f"{name}_parts.png", Image.fromarray(sample.truth.ids), {})
    text = json.dumps(record | {"truth": sample.truth.to_json()}, indent=1)
    write_atomic(folder / f"{name}.json", lambda stream: stream.write(text.encode()))
    if each_mask:
        write_masks(folder / f"{name}_masks", sample.truth)
    return record


def write_masks(folder: Path, truth: Truth) -> None:
    """Write one PNG for every part and group that shows: 255 where it is seen."""
    for path in truth.names():
        mask = truth.mask(path)
        if mask.any():
            save_picture(folder / f"{path.replace('/', '.')}.png", Image.fromarray(mask.astype(np.uint8) * 255), {})


def make_tile(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture as a square of a contact sheet, made smaller where it has to be."""
    picture = Image.fromarray(image)
    picture.thumbnail((SHEET_TILE_PX, SHEET_TILE_PX), Image.Resampling.LANCZOS)
    tile = np.full((SHEET_TILE_PX, SHEET_TILE_PX, 3), 255, np.uint8)
    small = np.asarray(picture)
    tile[: small.shape[0], : small.shape[1]] = small
    return tile


def join_tiles(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return the contact sheet of squares of one size."""
    columns = min(SHEET_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    blank = np.full((SHEET_TILE_PX, SHEET_TILE_PX, 3), 255, np.uint8)
    filled = tiles + [blank] * (rows * columns - len(tiles))
    return np.vstack([np.hstack(filled[row * columns : (row + 1) * columns]) for row in range(rows)])
