"""A pool of 3-D hands: rendered once to a folder by several processes, resumable, then streamed in batches.

A hand costs 60 to 100 ms, so it is never rendered inside a training loop. The pool holds shards; a shard appears whole
or not at all. Knows no network. Start reading at `render_pool`, then `HandPool.batches`.
"""

from __future__ import annotations

import json
import multiprocessing
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import RequestError, StorageError
from sfumato.core.files import write_atomic
from sfumato.core.seeds import sub_stream
from sfumato.world.hands3d.faults import FAULTS_3D
from sfumato.world.hands3d.labels import DIGIT_NAMES, JOINT_NAMES
from sfumato.world.hands3d.mesh import HandMesh, load_hand_mesh
from sfumato.world.hands3d.stream import HANDS3D_VERSION, HandPicture, HandWish, make_hand_picture
from sfumato.world.truth import STATES

MOST_HANDS, MOST_WORKERS = 1_000_000, 64
SETTINGS = "pool.json"
VIEWS = ("palm", "back", "side")
FAULT_IDS = ("", *FAULTS_3D)
LEAST_AMOUNT = 0.4


@dataclass(frozen=True)
class PoolSettings:
    """Everything that decides the bytes of a pool.

    With `faults` every second hand repeats the seed before it with a planted fault, the kinds in turn.
    """

    count: int = 30_000
    seed: int = 1
    size: int = 128
    mix: str = "any"
    faults: bool = True
    shard: int = 256  # hands in a file: at 128 pixels 17 MB; even, so that a pair stays together
    version: int = HANDS3D_VERSION

    def check(self) -> None:
        """Raise RequestError for a number or word out of range."""
        if not 1 <= self.count <= MOST_HANDS:
            raise RequestError("the number of hands is out of range", got=self.count, do=f"Use 1 to {MOST_HANDS}.")
        if self.shard < 2 or self.shard % 2:
            raise RequestError("the hands of a shard are no even number", got=self.shard, do="Use 256.")
        HandWish(self.mix).check()

    @property
    def shards(self) -> int:
        """How many shards the pool has when it is whole."""
        return -(-self.count // self.shard)

    def pick(self, number: int) -> tuple[int, HandWish]:
        """Return the seed and the wish of a hand of the pool."""
        if not self.faults:
            return self.seed + number, HandWish(self.mix)
        seed = self.seed + number // 2
        if number % 2 == 0:
            return seed, HandWish(self.mix)
        amount = float(sub_stream(seed, "hand3d", "pool amount").uniform(LEAST_AMOUNT, 1.0))
        return seed, HandWish(self.mix, fault=FAULTS_3D[number // 2 % len(FAULTS_3D)], amount=amount)


@dataclass(frozen=True)
class HandBatch:
    """N hands as arrays. Label ids are those of `world.hands3d.labels`, states those of `world.truth.STATES`."""

    images: NDArray[np.uint8]  # [N, H, W, 3]
    parts: NDArray[np.uint8]  # [N, H, W]
    joints: NDArray[np.float32]  # [N, 25, 2] in pixels, NaN where there is none
    states: NDArray[np.uint8]  # [N, 6] by digit, place in STATES
    seen: NDArray[np.float32]  # [N, 6], share of each digit that shows
    countable: NDArray[np.bool_]  # [N]
    faults: NDArray[np.uint8]  # [N], place in FAULT_IDS, 0 for none
    right: NDArray[np.bool_]  # [N]
    views: NDArray[np.uint8]  # [N], place in VIEWS
    captions: NDArray[np.str_]  # [N, 4], fullest first
    labels: NDArray[np.str_]  # [N], JSON
    seeds: NDArray[np.int64]  # [N]

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    def take(self, chosen: NDArray[np.int64]) -> HandBatch:
        """Return some of the hands."""
        return HandBatch(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


def join_batches(batches: list[HandBatch]) -> HandBatch:
    """Return several batches as one."""
    names = [field.name for field in fields(HandBatch)]
    return HandBatch(**{name: np.concatenate([getattr(batch, name) for batch in batches]) for name in names})


def render_pool(
    folder: Path,
    mesh_file: Path,
    settings: PoolSettings,
    *,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> HandPool:
    """Render what a pool still lacks, `workers` processes at a time, and return it.

    Stopped at any time, it goes on where it was: whole shards are kept. `on_progress` gets the shards that are there
    and their number.

    Raises:
        RequestError: a number out of range, or the folder holds a pool of other settings.
        StorageError: the folder cannot be written.
    """
    settings.check()
    if not 1 <= workers <= MOST_WORKERS:
        raise RequestError("the number of workers is out of range", got=workers, do=f"Use 1 to {MOST_WORKERS}.")
    _settle(folder, settings)
    lacking = [number for number in range(settings.shards) if not _place(folder, number).exists()]
    done = settings.shards - len(lacking)
    if on_progress is not None:
        on_progress(done, settings.shards)
    for more, _ in enumerate(_render_shards(folder, mesh_file, settings, lacking, workers), 1):
        if on_progress is not None:
            on_progress(done + more, settings.shards)
    return HandPool(folder)


def _settle(folder: Path, settings: PoolSettings) -> None:
    place = folder / SETTINGS
    if not place.exists():
        text = json.dumps(asdict(settings), indent=1)
        write_atomic(place, lambda stream: stream.write(text.encode()))
    found = _read_settings(folder)
    if found == settings:
        return
    do = f"Use its settings ({asdict(found)}), or another folder."
    raise RequestError("the folder holds a pool of other settings", got=str(folder), do=do)


def _read_settings(folder: Path) -> PoolSettings:
    try:
        return PoolSettings(**json.loads((folder / SETTINGS).read_text()))
    except OSError as error:
        do = "Render it first, or name its folder."
        raise RequestError("there is no pool of hands", got=str(folder), do=do) from error
    except (ValueError, TypeError) as error:
        raise StorageError(
            "the settings of a pool cannot be read", got=str(folder / SETTINGS), do="Delete it."
        ) from error


def _render_shards(
    folder: Path, mesh_file: Path, settings: PoolSettings, numbers: list[int], workers: int
) -> Iterator[int]:
    if workers == 1:
        for number in numbers:
            yield render_shard(folder, mesh_file, settings, number)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        waiting = {executor.submit(render_shard, folder, mesh_file, settings, number) for number in numbers}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


@lru_cache(maxsize=1)
def _load_mesh(mesh_file: Path) -> HandMesh:
    return load_hand_mesh(mesh_file)


def render_shard(folder: Path, mesh_file: Path, settings: PoolSettings, number: int) -> int:
    """Render one shard and return its number; runs in a process of its own."""
    mesh = _load_mesh(mesh_file)
    rows: list[HandBatch] = []
    for place in range(number * settings.shard, min((number + 1) * settings.shard, settings.count)):
        seed, wish = settings.pick(place)
        rows.append(_pack(make_hand_picture(mesh, seed, size=settings.size, wish=wish), seed))
    shard = join_batches(rows)
    arrays = {field.name: getattr(shard, field.name) for field in fields(shard)}
    write_atomic(_place(folder, number), lambda stream: np.savez(stream, **arrays))
    return number


def _place(folder: Path, number: int) -> Path:
    return folder / f"shard_{number:05d}.npz"


def _pack(hand: HandPicture, seed: int) -> HandBatch:
    joints = np.full((len(JOINT_NAMES), 2), np.nan, np.float32)
    joints[: len(hand.joints)] = hand.joints
    states = np.full(len(DIGIT_NAMES), STATES.index("absent"), np.uint8)
    seen = np.zeros(len(DIGIT_NAMES), np.float32)
    for digit in hand.digits:
        states[DIGIT_NAMES.index(digit.name)] = STATES.index(digit.state)
        seen[DIGIT_NAMES.index(digit.name)] = digit.seen_share
    return HandBatch(
        images=hand.image[None],
        parts=hand.parts[None],
        joints=joints[None],
        states=states[None],
        seen=seen[None],
        countable=np.array([hand.countable]),
        faults=np.array([FAULT_IDS.index(hand.fault.kind if hand.fault else "")], np.uint8),
        right=np.array([hand.labels["hand_side"] == "right"]),
        views=np.array([VIEWS.index(str(hand.labels["hand_view"]))], np.uint8),
        captions=np.array([hand.captions]),
        labels=np.array([json.dumps(hand.labels)]),
        seeds=np.array([seed], np.int64),
    )


class HandPool:
    """A pool on disk. Shards that are there can be used while others are still rendered."""

    def __init__(self, folder: Path) -> None:
        """Open a pool; RequestError where there is none."""
        self.folder = folder
        self.settings = _read_settings(folder)

    def shards(self) -> list[int]:
        """List the shards that are there."""
        return [number for number in range(self.settings.shards) if _place(self.folder, number).exists()]

    def __len__(self) -> int:
        """Return how many hands are there."""
        shard, count = self.settings.shard, self.settings.count
        return sum(min(shard, count - shard * number) for number in self.shards())

    def load(self, number: int) -> HandBatch:
        """Return one shard.

        Raises:
            StorageError: it cannot be read.
        """
        place = _place(self.folder, number)
        try:
            with np.load(place, allow_pickle=False) as arrays:
                return HandBatch(**{field.name: arrays[field.name] for field in fields(HandBatch)})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise StorageError(
                "a shard of hands cannot be read", got=str(place), do="Delete it and render again."
            ) from error

    def split(self, held_out: float = 0.1) -> tuple[list[int], list[int]]:
        """Return the shards to train on and those held out; a seed lies in one of them only."""
        numbers = self.shards()
        count = min(len(numbers) - 1, max(1, round(held_out * len(numbers)))) if len(numbers) > 1 else 0
        return numbers[: len(numbers) - count], numbers[len(numbers) - count :]

    def batches(self, size: int, seed: int, *, shards: list[int] | None = None, mixed: int = 4) -> Iterator[HandBatch]:
        """Yield one pass over the hands in random order, `size` at a time; the last batch may be smaller.

        Hands of `mixed` shards are shuffled together, so that memory stays bounded. Pass another `seed` each time.
        """
        rng = sub_stream(seed, "hand3d", "order")
        numbers = list(self.shards() if shards is None else shards)
        rng.shuffle(numbers)
        left: HandBatch | None = None
        for start in range(0, len(numbers), mixed):
            hands = join_batches([self.load(number) for number in numbers[start : start + mixed]])
            order = rng.permutation(len(hands)).astype(np.int64)
            hands = hands.take(order) if left is None else join_batches([left, hands.take(order)])
            whole = len(hands) // size * size
            for at in range(0, whole, size):
                yield hands.take(np.arange(at, at + size))
            left = hands.take(np.arange(whole, len(hands))) if whole < len(hands) else None
        if left is not None:
            yield left
