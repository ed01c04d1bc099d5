"""Pictures to train, calibrate and judge a reader with: three ranges of seeds that never meet.

Knows the world and tables on disk, no network. Start reading at `draw_training`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfumato.critic.reader.questions import Word
from sfumato.lab.reader.words import find_labels
from sfumato.train.store import ExampleStore
from sfumato.world.people.goofs import HAND_FAULTS
from sfumato.world.stream import Sample, Wish, make_sample

# Each range is ten million wide, so no number of pictures runs into the next; 10 and 20 million belong
# to the training and held-out pictures of `mini` (train_mini_pictures).
TRAINING_SEEDS = 30_000_000
# Temperatures and what counts as legible are chosen here, so the judged pictures stay unseen.
CALIBRATION_SEEDS = 40_000_000
JUDGING_SEEDS = 50_000_000
# Scenes whose captions become prompts.
PROMPT_SEEDS = 60_000_000
PICTURE_PX = 128
ROWS_PER_WRITE = 128
# More hands, far people and poses than in the mix of `mini`: they are what is hard to read.
SHARES = {
    "portrait": 0.17, "half": 0.11, "full": 0.17, "group": 0.12, "wide": 0.08, "hand": 0.20, "hands": 0.02,
    "thing": 0.06, "pair": 0.04, "place": 0.02, "texture": 0.01,
}  # fmt: skip
# Half of the hands is right: a reader that has seen only right hands reads five whatever is there.
FAULT_SHARE = 0.5

Labels = dict[str, Word]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Hold drawn pictures uint8 [N, H, W, 3], what they show, and the samples they come from."""

    pictures: NDArray[np.uint8]
    labels: tuple[Labels, ...]
    samples: tuple[Sample, ...]


def draw_mix(first_seed: int, count: int, *, shot: str = "", faults: bool = False) -> Drawn:
    """Draw `count` pictures of the mix that `mini` is trained on, or of one shot; about 3 ms each."""
    seeds = range(first_seed, first_seed + count)
    return _gather(
        [draw_hand(seed) if faults else make_sample(seed, size=PICTURE_PX, wish=Wish(shot=shot)) for seed in seeds]
    )


def draw_hand(seed: int) -> Sample:
    """Draw a close-up of a hand with a planted fault, where one applies."""
    rng = random.Random(f"reader {seed}")
    wish = Wish(shot="hand", fault=rng.choice(tuple(HAND_FAULTS)), amount=rng.choice((0.6, 0.8, 1.0)))
    return make_sample(seed, size=PICTURE_PX, wish=wish)


def draw_training_sample(seed: int) -> Sample:
    """Draw one training picture of a reader."""
    rng = random.Random(f"reader {seed}")
    shot = rng.choices(list(SHARES), list(SHARES.values()))[0]
    if shot == "hand" and rng.random() < FAULT_SHARE:
        return draw_hand(seed)
    return make_sample(seed, size=PICTURE_PX, wish=Wish(shot=shot))


def open_training(state: Path, *, round_trips: bool = False) -> ExampleStore:
    """Open the table of training pictures, or of their round trips through an autoencoder."""
    return ExampleStore(state / ("round_trips" if round_trips else "pictures"), (PICTURE_PX, PICTURE_PX, 3), "uint8")


def draw_training(state: Path, count: int, *, keep_going: Callable[[], bool] = lambda: True) -> ExampleStore:
    """Fill the training table up to `count` pictures, on from where it ended."""
    store = open_training(state)
    store.trim()
    while len(store) < count and keep_going():
        done = len(store)
        block = range(TRAINING_SEEDS + done, TRAINING_SEEDS + min(count, done + ROWS_PER_WRITE))
        drawn = _gather([draw_training_sample(seed) for seed in block])
        store.append(drawn.pictures, drawn.labels)
    return store


def _gather(samples: list[Sample]) -> Drawn:
    pictures = np.stack([sample.image for sample in samples])
    return Drawn(pictures, tuple(find_labels(sample) for sample in samples), tuple(samples))
