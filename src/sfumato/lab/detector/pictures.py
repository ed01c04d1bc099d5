"""Pictures to train, calibrate and judge a detector with: three ranges of seeds that never meet.

A view is what the detector looks at: a whole scene, or a part of one drawn several times larger. Knows the world, an autoencoder and
tables on disk, no detector. Start reading at `draw_view`, then `draw_training`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sfumato.critic.detector.network import KINDS
from sfumato.critic.detector.pyramid import LARGEST_PX, SMALLEST_PX
from sfumato.lab.detector.scenes import make_scattered
from sfumato.lab.detector.truth import Box, TrueBox, find_objects, list_marks
from sfumato.lab.reader.autoencoder_round_trip import RoundTrip, pass_autoencoder
from sfumato.train.store import ExampleStore
from sfumato.world.people.goofs import FAULTS
from sfumato.world.shapes import make_shapes
from sfumato.world.stream import Wish, draw_scene, make_sample
from sfumato.world.truth import Truth

# Below 100 million live the seeds of mini, its reader and the self-check; each range is ten million wide.
TRAINING_SEEDS, CALIBRATION_SEEDS, JUDGING_SEEDS = 110_000_000, 120_000_000, 130_000_000
SEEDS_PER_TABLE = 1_000_000
ROWS_PER_WRITE = 64
# People of all sizes; places without anybody are a twelfth.
SHOTS = {
    "portrait": 0.09, "half": 0.11, "full": 0.15, "group": 0.16, "wide": 0.16, "hand": 0.07, "hands": 0.03,
    "thing": 0.09, "pair": 0.06, "place": 0.05, "texture": 0.03,
}  # fmt: skip
SCATTERED_SHARE, FAULT_SHARE = 0.40, 0.12
ASPECTS = (1.0, 1.0, 16 / 9, 9 / 16, 4 / 3, 3 / 4)
# A third shows a whole scene; the others are parts of scenes up to six times larger, most of them near an object.
WHOLE_SHARE, NEAR_SHARE = 0.38, 0.75
MOST_ZOOM, LARGEST_SHEET_PX = 6.0, 800
# Smaller pictures than a view lie in its corner, as small pictures do in the network's input.
SMALLER_SHARE, SMALLEST_VIEW_PX = 0.15, 48
# Some views are enlarged, as large renders are on their way; what was too small before is not asked for after.
ENLARGED_SHARE, MOST_ENLARGED = 0.2, 4.0
# Half goes through the autoencoder, with noise as denoisers leave it (unit-variance latents).
DECODED_SHARE = 0.5
LATENT_NOISE = (0.0, 0.1, 0.2, 0.3)
GREY = 128


@dataclass(frozen=True, eq=False)
class MarkedPicture:
    """Hold a picture uint8 [H, W, 3] and its marks."""

    picture: NDArray[np.uint8]
    marks: tuple[TrueBox, ...]


@dataclass(frozen=True)
class ViewTable:
    """A table of training views: its folder's name, the side of its views in px, and how many there are per small one."""

    name: str
    side: int
    share: float


# Large views show that a part of a large person is no small person.
TABLES = (ViewTable("views", 128, 1.0), ViewTable("views_large", 256, 0.1))


def draw_view(seed: int, side: int) -> MarkedPicture:
    """Draw one training view of `side` px square, its marks asked for the sizes a detector is trained on."""
    rng = random.Random(f"detector {seed}")
    enlarged = rng.uniform(1.5, MOST_ENLARGED) if rng.random() < ENLARGED_SHARE else 1.0
    inner = rng.randint(SMALLEST_VIEW_PX, side) if rng.random() < SMALLER_SHARE else side
    drawn = max(SMALLEST_VIEW_PX // 2, round(inner / enlarged))
    picture, truth = _draw_sheet(rng, seed, drawn)
    left, top, right, bottom = _choose_part(rng, truth, drawn)
    whole = {name: box for name, (_, box, _) in find_objects(truth).items()}
    part = Truth(truth.ids[top:bottom, left:right], truth.paths, truth.facts)
    scale = inner / drawn
    sizes = {"least_px": SMALLEST_PX, "most_px": LARGEST_PX / scale}
    marks = tuple(mark.move(0, 0, scale) for mark in list_marks(part, whole=whole, **sizes))
    return MarkedPicture(_fit(rng, picture[top:bottom, left:right], scale, side), marks)


def draw_scattered(seed: int, size: int) -> MarkedPicture:
    """Draw a picture `size` px square with people, houses and hands anywhere, everything of 8 px asked for."""
    scene = make_scattered(random.Random(f"scattered {seed}"))
    picture, truth = draw_scene(scene, make_shapes(scene), height_px=size, with_truth=True)
    assert truth is not None, "asked for"
    return MarkedPicture(picture, list_marks(truth))


def draw_whole(seed: int, size: int, *, shot: str = "") -> MarkedPicture:
    """Draw a picture of the mix that `mini` is trained on, or of one shot, everything of 8 px asked for."""
    sample = make_sample(seed, size=size, wish=Wish(shot=shot, with_truth=True))
    assert sample.truth is not None, "asked for"
    return MarkedPicture(sample.image, list_marks(sample.truth))


def open_views(state: Path, table: ViewTable) -> ExampleStore:
    """Open a table of training views; notes are lists of [kind, left, top, right, bottom, counts]."""
    return ExampleStore(state / table.name, (table.side, table.side, 3), "uint8")


def draw_training(
    state: Path,
    table: ViewTable,
    count: int,
    *,
    autoencoder: RoundTrip | None = None,
    keep_going: Callable[[], bool] = lambda: True,
) -> ExampleStore:
    """Fill a table up to `count` views, on from where it ended; half of them decoded where there is an autoencoder."""
    store = open_views(state, table)
    store.trim()
    while len(store) < count and keep_going():
        done = len(store)
        first = TRAINING_SEEDS + SEEDS_PER_TABLE * TABLES.index(table) + done
        views = [draw_view(seed, table.side) for seed in range(first, first + min(ROWS_PER_WRITE, count - done))]
        pictures = np.stack([view.picture for view in views])
        if autoencoder is not None:
            pictures = _decode_some(pictures, first, autoencoder)
        store.append(pictures, [write_marks(view.marks) for view in views])
    return store


def _draw_sheet(rng: random.Random, seed: int, drawn: int) -> tuple[NDArray[np.uint8], Truth]:
    """Draw the scene that a view of `drawn` px is cut from; no side of it is shorter."""
    zoom = 1.0 if rng.random() < WHOLE_SHARE else MOST_ZOOM ** rng.uniform(0.05, 1.0)
    aspect = 1.0 if zoom == 1.0 else rng.choice(ASPECTS)
    height = round(min(LARGEST_SHEET_PX, drawn * zoom) / min(1.0, aspect))
    if rng.random() < SCATTERED_SHARE:
        scene = make_scattered(rng, aspect=aspect)
        picture, truth = draw_scene(scene, make_shapes(scene), height_px=height, with_truth=True)
    else:
        shot = rng.choices(list(SHOTS), list(SHOTS.values()))[0]
        fault = rng.choice(FAULTS) if rng.random() < FAULT_SHARE and shot in ("half", "full", "group", "hand") else ""
        # Faults of bodies do not apply to a hand alone.
        fault = "" if shot == "hand" and "digit" not in fault else fault
        sample = make_sample(seed, size=height, wish=Wish(shot=shot, fault=fault, aspect=aspect, with_truth=True))
        picture, truth = sample.image, sample.truth
    assert truth is not None, "asked for"
    return picture, truth


def _choose_part(rng: random.Random, truth: Truth, side: int) -> tuple[int, int, int, int]:
    """Return the box of `side` px that is seen: near a random object of a random kind, or anywhere."""
    height, width = truth.ids.shape
    x, y = rng.random() * width, rng.random() * height
    boxes: dict[str, list[Box]] = {}
    for kind, box, _ in find_objects(truth).values():
        boxes.setdefault(kind, []).append(box)
    if boxes and rng.random() < NEAR_SHARE:
        box = rng.choice(boxes[rng.choice(sorted(boxes))])
        x = (box[0] + box[2]) / 2 + rng.uniform(-0.5, 0.5) * side
        y = (box[1] + box[3]) / 2 + rng.uniform(-0.5, 0.5) * side
    left, top = (int(min(max(at - side / 2, 0), whole - side)) for at, whole in ((x, width), (y, height)))
    return left, top, left + side, top + side


def _fit(rng: random.Random, part: NDArray[np.uint8], scale: float, side: int) -> NDArray[np.uint8]:
    """Enlarge a part, smoothly or sharply, and lay it into the corner of a grey view."""
    inner = round(part.shape[0] * scale)
    if inner != part.shape[0]:
        way = rng.choice((Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BILINEAR))
        part = np.asarray(Image.fromarray(part).resize((inner, inner), way))
    view = np.full((side, side, 3), GREY, np.uint8)
    view[:inner, :inner] = part
    return view


def _decode_some(pictures: NDArray[np.uint8], first: int, autoencoder: RoundTrip) -> NDArray[np.uint8]:
    """Pass half of the pictures through the autoencoder, each with one of the levels of noise."""
    rng, noise = random.Random(f"decoded {first}"), torch.Generator().manual_seed(first)
    levels = [rng.choice(LATENT_NOISE) if rng.random() < DECODED_SHARE else None for _ in range(len(pictures))]
    result = pictures.copy()
    for level in LATENT_NOISE:
        chosen = [row for row, wanted in enumerate(levels) if wanted == level]
        if chosen:
            result[chosen] = pass_autoencoder(autoencoder, pictures[chosen], jitter=level, noise=noise)
    return result


def write_marks(marks: tuple[TrueBox, ...]) -> list[list[float]]:
    """Return marks as the rows that are kept with a view."""
    return [[KINDS.index(mark.kind), *(round(side, 1) for side in mark.box), float(mark.counts)] for mark in marks]
