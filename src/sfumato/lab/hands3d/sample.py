"""Writes samples of 3-D hands to a folder, as `sample_world` does for drawings, with a sheet of pictures and of masks.

Start reading at `sample_hands`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.formats.images import save_picture
from sfumato.core.errors import RequestError
from sfumato.core.files import write_atomic
from sfumato.lab.train_mini.sample_world import (
    MOST_SAMPLES,
    SHEET_PICTURES,
    WorldSamples,
    join_tiles,
    make_tile,
    write_masks,
)
from sfumato.world.hands3d.labels import JOINT_NAMES, part_colours
from sfumato.world.hands3d.mesh import HandMesh
from sfumato.world.hands3d.stream import HANDS3D_VERSION, HandPicture, HandWish, make_hand_picture


def sample_hands(
    mesh: HandMesh,
    count: int,
    seed: int,
    folder: Path,
    *,
    size: int = 256,
    wish: HandWish | None = None,
    each_mask: bool = False,
) -> WorldSamples:
    """Draw `count` hands from `seed` on and write them to `folder`.

    Per sample: NAME.png, NAME.json (captions, labels, joints, digits, fault, part tree), NAME_parts.png (16-bit label
    ids) and, with `each_mask`, NAME_masks/PART.png. The sheets are contact_sheet.png and mask_sheet.png.

    Raises:
        RequestError: a count, size or word that does not exist here.
        StorageError: the folder cannot be written.
    """
    if not 1 <= count <= MOST_SAMPLES:
        raise RequestError("the number of samples is out of range", got=count, do=f"Ask for 1 to {MOST_SAMPLES}.")
    records: list[dict[str, object]] = []
    pictures: list[NDArray[np.uint8]] = []
    masks: list[NDArray[np.uint8]] = []
    colours = part_colours()
    for number in range(seed, seed + count):
        sample = make_hand_picture(mesh, number, size=size, wish=wish)
        records.append(_write_hand(folder, f"{number:08d}", sample, seed=number, each_mask=each_mask))
        if len(pictures) < SHEET_PICTURES:
            pictures.append(make_tile(sample.image))
            masks.append(make_tile(colours[sample.parts]))
    sheet = folder / "contact_sheet.png"
    save_picture(sheet, Image.fromarray(join_tiles(pictures)), {})
    save_picture(folder / "mask_sheet.png", Image.fromarray(join_tiles(masks)), {})
    return WorldSamples(folder, sheet, tuple(records))


def _write_hand(folder: Path, name: str, sample: HandPicture, *, seed: int, each_mask: bool) -> dict[str, object]:
    truth = sample.truth()
    joints = {
        word: None if np.isnan(point).any() else [round(float(number), 2) for number in point]
        for word, point in zip(JOINT_NAMES[: len(sample.joints)], sample.joints, strict=True)
    }
    record: dict[str, object] = {
        "picture": f"{name}.png",
        "parts": f"{name}_parts.png",
        "seed": seed,
        "hands3d_version": HANDS3D_VERSION,
        "caption": sample.caption,
        "captions": list(sample.captions),
        "labels": sample.labels,
        "faults": [sample.fault.to_json()] if sample.fault else [],
    }
    save_picture(folder / f"{name}.png", Image.fromarray(sample.image), {})
    save_picture(folder / f"{name}_parts.png", Image.fromarray(truth.ids), {})
    text = json.dumps(record | {"joints": joints, "truth": truth.to_json()}, indent=1)
    write_atomic(folder / f"{name}.json", lambda stream: stream.write(text.encode()))
    if each_mask:
        write_masks(folder / f"{name}_masks", truth)
    return record
