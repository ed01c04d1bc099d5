"""Which kind of part every pixel of a training picture shows: what the autoencoder must not lose, what the teacher learns.

It knows the world's names of parts and the example store, no network. Start reading at `draw_parts`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sfumato.lab.train_mini.pictures import ROWS_PER_WRITE, PictureTable, draw_example, open_pictures, read_world
from sfumato.train.store import ExampleStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sfumato.world.truth import Truth

# The first pattern found in a path, its numbers and sides left out, gives the class; the order is the class's number.
# New ones go to the end: class maps on disk hold the numbers. What the broad mix added joins the class nearest to it.
PATTERNS = (
    r"^$", r"head/eye$", r"head/brow$", r"head/mouth$", r"mouth/teeth$", r"head/nose$", r"head/ear$", r"head/glasses$",
    r"head/(hair|hat|beard|moustache)$", r"head$", r"neck$", r"torso$|hips$|scarf$", r"skirt$", r"arm/upper$|sleeve$",
    r"arm/lower$|_arm/lower$", r"nail$", r"thumb/segment$", r"index/segment$", r"middle/segment$", r"ring/segment$",
    r"little/segment$", r"palm$", r"foot$", r"leg/", r"^place/(sky|stars|sun|moon)$", r"^place/(grass|stems|flowers)$",
    r"^place/sand$", r"^place/sea$", r"^place/(hills|mountain|snow|forest)$", r"^place/building$",
    r"^place/(pavement|road)$", r"^place/floor$", r"^place/wall$", r"^place/window$", r"crown$", r"trunk$",
    r"house/roof$", r"house/door$", r"house/window", r"^house/", r"(dog|cat)/(eye|nose)$", r"^(dog|cat)/",
    r"(car|bicycle)/wheel", r"(car|boat)/window$", r"^(car|bicycle|boat)/", r"(watch|clock)/.*hand$", r"^(watch|clock)/", r"cup/|vase/",
    r"(lamp|chair|table|book)/", r"held_", r"^place/",
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
    """Draw the class maps of all pictures of a table; return how many it holds. 5 ms of one core each, a hand 80.

    Raises:
        StorageError: the pictures are of another world.
    """
    pictures = open_pictures(state, table)
    store, count = open_parts(state, table), len(pictures)
    store.trim()
    while len(store) < count and keep_going():
        total, done = read_world(pictures).total, len(store)
        drawn = [_draw(table, place, total) for place in range(done, min(count, done + ROWS_PER_WRITE))]
        store.append(np.stack(drawn), [None] * len(drawn))
    return len(store)


def _classify_path(path: str) -> int:
    bare = re.sub(r"\d+|_(left|right)", "", path)
    return next((i for i, pattern in enumerate(PATTERNS) if re.search(pattern, bare)), CLASSES - 1)


def _draw(table: PictureTable, place: int, total: int) -> NDArray[np.uint8]:
    truth = draw_example(table, place, total, with_truth=True).truth
    assert truth is not None, "asked for"
    return classify_parts(truth)
