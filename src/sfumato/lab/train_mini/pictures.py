"""Draw the world once and keep it on disk, so that training never waits for drawing.

Whole pictures, square, wide and tall, and crops of large ones.
It knows the world and the example store, no network. Start reading at `draw_pictures`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sfumato.train.store import ExampleStore
from sfumato.world.crop import make_crop
from sfumato.world.stream import Wish, make_sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# Training and held-out pictures come from seed ranges that nothing else in the project uses.
TRAINING_SEEDS = 10_000_000
SEEDS_PER_TABLE = 1_000_000
HELD_OUT_SEEDS = 20_000_000
HELD_OUT_PICTURES = 2048
ROWS_PER_WRITE = 128


@dataclass(frozen=True)
class PictureTable:
    """A kind of training picture: its folder's name, its size in pixels, and how many there are per square one."""

    name: str
    width: int
    height: int
    share: float
    crops: bool = False


SQUARES = PictureTable("pictures", 128, 128, 1.0)
HELD_OUT = PictureTable("held_out", 128, 128, 0.0)
CROPS = PictureTable("pictures_crops", 128, 128, 0.3, crops=True)
# The order fixes the seeds. Sizes are what a render takes as its base for wide and tall pictures.
TABLES = (
    SQUARES,
    CROPS,
    PictureTable("pictures_176x96", 176, 96, 0.2),
    PictureTable("pictures_96x176", 96, 176, 0.13),
    PictureTable("pictures_144x112", 144, 112, 0.1),
    PictureTable("pictures_112x144", 112, 144, 0.1),
)


def open_pictures(state: Path, table: PictureTable = SQUARES) -> ExampleStore:
    """Open a table of drawn pictures: uint8 [height, width, 3], notes hold captions and labels."""
    return ExampleStore(state / table.name, (table.height, table.width, 3), "uint8")


def choose_seeds(table: PictureTable) -> range:
    """Return the seeds of a table's pictures, in order."""
    first = HELD_OUT_SEEDS if table is HELD_OUT else TRAINING_SEEDS + SEEDS_PER_TABLE * TABLES.index(table)
    return range(first, first + SEEDS_PER_TABLE)


def draw_pictures(
    state: Path, squares: int, table: PictureTable = SQUARES, *, keep_going: Callable[[], bool] = lambda: True
) -> int:
    """Fill a table in its share of `squares` pictures; return how many it holds. 3 ms of one core each, crops 15."""
    count = HELD_OUT_PICTURES if table is HELD_OUT else round(squares * table.share)
    store = open_pictures(state, table)
    store.trim()
    seeds = choose_seeds(table)
    while len(store) < count and keep_going():
        done = len(store)
        drawn = [_draw(table, seed) for seed in seeds[done : min(count, done + ROWS_PER_WRITE)]]
        store.append(np.stack([image for image, _ in drawn]), [note for _, note in drawn])
    return len(store)


def _draw(table: PictureTable, seed: int) -> tuple[NDArray[np.uint8], dict[str, object]]:
    if table.crops:
        crop = make_crop(seed, size=table.height)
        return crop.image, {"captions": list(crop.captions), "labels": {"scale": crop.scale}}
    sample = make_sample(seed, size=table.height, wish=Wish(aspect=table.width / table.height))
    return sample.image, {"captions": list(sample.captions), "labels": dict(sample.labels)}
