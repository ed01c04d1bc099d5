"""Which kind of part every pixel of a training picture shows: what the autoencoder must not lose, what the teacher learns.

It knows the world's names of parts and the example store, no network. Start reading at `draw_parts`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sfumato.lab.train_mini.pictures import ROWS_PER_WRITE, PictureTable, choose_seeds, open_pictures
from sfumato.train.store import ExampleStore
from sfumato.world.crop import make_crop
from sfumato.world.stream import Wish, make_sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sfumato.world.truth import Truth

# The first pattern found in a path, its numbers and sides left out, gives the class; the order is the class's number.
# New ones go to the end: class maps on disk hold the numbers.
PATTERNS = (
    r"^$", r"head/eye$", r"head/brow$", r"head/mouth$", r"mouth/teeth$", r"head/nose$", r"head/ear$", r"head/glasses$",
    r"head/hair$", r"head$", r"neck$", r"torso$|hips$", r"skirt$", r"arm/upper$|sleeve$", r"arm/lower$|_arm/lower$",
    r"nail$", r"thumb/segment$", r"index/segment$", r"middle/segment$", r"ring/segment$", r"little/segment$", r"palm$",
    r"foot$", r"leg/", r"^place/sky$", r"^place/grass$", r"^place/sand$", r"^place/sea$", r"^place/hills$",
    r"^place/building$", r"^place/(pavement|road)$", r"^place/floor$", r"^place/wall$", r"^place/window$", r"crown$",
    r"trunk$", r"house/roof$", r"house/door$", r"house/window", r"^house/", r"dog/eye$|dog/nose$", r"^dog/",
    r"car/wheel", r"car/window$", r"^car/", r"watch/.*hand$", r"^watch/", r"cup/", r"lamp/", r"held_", r"^place/",
)  # fmt: skip
CLASSES = len(PATTERNS) + 1
"""The last class holds whatever no pattern names."""


def classify_parts(truth: Truth) -> NDArray[np.uint8]:
    """Return the class of every pixel's part, uint8 [H, W], below `CLASSES`."""
    table = np.array([_classify_path(path) for path in truth.paths], np.uint8)
    return table[truth.ids]


def open_parts(state: Path, table: PictureTable) -> ExampleStore:
    """Open the class maps of a table of pictures: uint8 [height, width], row by row as the pictures."""
    return ExampleStore(state / f"{table.name}_parts", (table.height, table.width), "uint8")


def draw_parts(state: Path, table: PictureTable, *, keep_going: Callable[[], bool] = lambda: True) -> int:
    """Draw the class maps of all pictures of a table; return how many it holds. 4 ms of one core each, crops 16."""
    store, count = open_parts(state, table), len(open_pictures(state, table))
    store.trim()
    seeds = choose_seeds(table)
    while len(store) < count and keep_going():
        done = len(store)
        drawn = [_draw(table, seed) for seed in seeds[done : min(count, done + ROWS_PER_WRITE)]]
        store.append(np.stack(drawn), [None] * len(drawn))
    return len(store)


def _classify_path(path: str) -> int:
    bare = re.sub(r"\d+|_(left|right)", "", path)
    return next((i for i, pattern in enumerate(PATTERNS) if re.search(pattern, bare)), CLASSES - 1)


def _draw(table: PictureTable, seed: int) -> NDArray[np.uint8]:
    if table.crops:
        truth = make_crop(seed, size=table.height).truth
    else:
        wish = Wish(aspect=table.width / table.height, with_truth=True)
        truth = make_sample(seed, size=table.height, wish=wish).truth
    assert truth is not None, "asked for"
    return classify_parts(truth)
