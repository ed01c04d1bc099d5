"""The sets of crops: to train on, to calibrate on, to judge on, and of the auditor; seeds and 3-D hands never shared.

Each is drawn once to a folder outside the repository. Knows the worlds and an autoencoder, no network of the critic.
Start reading at `make_table`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from sfumato.lab.critic.drawn_hands import draw_hand_examples
from sfumato.lab.critic.examples import (
    HandExamples,
    convert_hands3d,
    join_examples,
    open_examples,
    save_examples,
)
from sfumato.lab.hands3d.part import place_hand_mesh
from sfumato.lab.hands3d.pool import HandPool, PoolSettings, render_pool
from sfumato.lab.reader.autoencoder_round_trip import RoundTrip, pass_autoencoder

POOL = PoolSettings(count=5120, seed=201_000_000)
SETS = ("train", "calibrate", "judge", "audit")
# Shards of the pool (256 hands in pairs) and seeds of drawn hands of each set.
# The auditor has drawn hands of its own.
SHARDS = {"train": range(12), "calibrate": range(12, 16), "judge": range(16, 20), "audit": range(0)}
DRAWN_SEEDS = {"train": 210_000_000, "calibrate": 220_000_000, "judge": 230_000_000, "audit": 240_000_000}
DRAWN_COUNTS = {"train": 3600, "calibrate": 600, "judge": 600, "audit": 6000}
DECODED_SHARE, LATENT_NOISE = 0.15, (0.0, 0.1, 0.2)


def make_table(
    state: Path,
    which: str,
    kind: str,
    *,
    autoencoder: RoundTrip | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> HandExamples:
    """Return the crops of a set: `kind` is drawn or hands3d. Made on first use; some go through the autoencoder.

    Raises:
        ModelError: the part with the 3-D hand was not fetched yet.
        StorageError: the folder cannot be read or written.
    """
    name = f"{kind}_{which}"
    found = open_examples(state, name)
    if found is None:
        found = _draw(which) if kind == "drawn" else _render(state / "pool", which, on_progress)
        if autoencoder is not None:
            found = _decode_some(found, which, autoencoder)
        save_examples(state, name, found)
        found = open_examples(state, name)
        assert found is not None, "just written"
    return found


def _draw(which: str) -> HandExamples:
    return draw_hand_examples(DRAWN_SEEDS[which], DRAWN_COUNTS[which])


def _render(folder: Path, which: str, on_progress: Callable[[int, int], None] | None) -> HandExamples:
    wanted = SHARDS[which]
    there = set(HandPool(folder).shards()) if folder.exists() else set[int]()
    if not there.issuperset(wanted):
        render_pool(folder, place_hand_mesh(), POOL, on_progress=on_progress)
    pool = HandPool(folder)
    return join_examples([convert_hands3d(pool.load(number)) for number in wanted])


def _decode_some(examples: HandExamples, which: str, autoencoder: RoundTrip) -> HandExamples:
    """Pass some of the pictures through the autoencoder, each with one of the levels of noise on its latents."""
    rng, noise = random.Random(f"decoded hands {which}"), torch.Generator().manual_seed(SETS.index(which))
    levels = [rng.choice(LATENT_NOISE) if rng.random() < DECODED_SHARE else None for _ in range(len(examples))]
    images = examples.images.copy()
    for level in LATENT_NOISE:
        rows = [row for row, wanted in enumerate(levels) if wanted == level]
        if rows:
            images[rows] = pass_autoencoder(autoencoder, images[rows], jitter=level, noise=noise)
    return replace(examples, images=images)
