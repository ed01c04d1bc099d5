"""What an autoencoder keeps of drawn pictures: eyes and mouths by head height, and grids over flat skies.

It knows the world's truth and an autoencoder as a function from pictures to pictures. Start reading at
`measure_round_trips`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sfumato.lab.train_mini.pictures import HELD_OUT_PICTURES, HELD_OUT_SEEDS
from sfumato.world.stream import Wish, make_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from sfumato.world.truth import Truth

    Pictures = NDArray[np.float32]
    """[N, H, W, 3] in 0 to 1."""

# Behind the pictures that training measures, in the range of seeds that is held out.
FIRST_SEED = HELD_OUT_SEEDS + HELD_OUT_PICTURES
FEATURES = ("eye_left", "eye_right", "mouth")
HEAD_HEIGHTS_PX = ((0, 16), (16, 24), (24, 32), (32, 64), (64, 256))
MARGIN_PX = 2
# Half of the contrast, at the right place: what the eye still takes for an eye.
LEAST_GAIN, LEAST_CORRELATION = 0.5, 0.7
FLAT_SKY_PX = 32
# A drawn sky is a slow gradient; a bird or a cloud's border is steeper than this between neighbours.
FLATTEST_STEP = 0.02


@dataclass(frozen=True)
class RoundTrips:
    """Hold what was measured.

    `psnr_db`: mean over pictures. `faces`: for each range of head heights in pixels, how many faces show all
    of their eyes and mouth after the round trip, and how many there were. `grid`: RMS at the periods of
    8, 4 and 2 pixels in flat skies, decoded beside drawn, in grey levels of 255.
    """

    psnr_db: float
    faces: Mapping[str, tuple[int, int]]
    grid: Mapping[int, tuple[float, float]]


def measure_round_trips(
    run: Callable[[Pictures], Pictures], *, count: int = 256, first_seed: int = FIRST_SEED, batch: int = 16
) -> RoundTrips:
    """Draw `count` held-out pictures, pass them through `run`, and measure what is left. 4 ms each to draw."""
    errors: list[float] = []
    faces = {f"{low}-{high}": [0, 0] for low, high in HEAD_HEIGHTS_PX}
    grids: list[tuple[dict[int, float], dict[int, float]]] = []
    for start in range(first_seed, first_seed + count, batch):
        seeds = range(start, min(start + batch, first_seed + count))
        samples = [make_sample(seed, wish=Wish(with_truth=True)) for seed in seeds]
        drawn = np.stack([sample.image for sample in samples]).astype(np.float32) / np.float32(255)
        decoded = run(drawn).clip(0, 1)
        for sample, ours, truth in zip(samples, decoded, drawn, strict=True):
            errors.append(10 * np.log10(1 / max(1e-10, float(np.square(ours - truth).mean()))))
            assert sample.truth is not None, "asked for"
            for height, kept in find_faces(sample.truth, ours, truth):
                name = next(f"{low}-{high}" for low, high in HEAD_HEIGHTS_PX if low <= height < high)
                faces[name][0] += kept
                faces[name][1] += 1
            sky = sample.truth.mask("place/sky")
            grids += [(measure_grid(ours[box]), measure_grid(truth[box])) for box in find_flat_squares(truth, sky)]
    grid = {
        period: (_root_mean(a[period] for a, _ in grids), _root_mean(b[period] for _, b in grids))
        for period in (8, 4, 2)
    }
    return RoundTrips(float(np.mean(errors)), {name: (kept, seen) for name, (kept, seen) in faces.items()}, grid)


def find_faces(truth: Truth, ours: Pictures, drawn: Pictures) -> list[tuple[int, bool]]:
    """Return each face's head height in pixels and whether both eyes and the mouth are left; glasses are left out."""
    found: list[tuple[int, bool]] = []
    for head in [name for name in truth.names() if name.endswith("/head")]:
        box = truth.box(head)
        marks = [truth.box(f"{head}/{feature}") for feature in FEATURES]
        if box is None or None in marks or truth.box(f"{head}/glasses") is not None:
            continue
        kept = all(mark is not None and is_kept(ours, drawn, mark) for mark in marks)
        found.append((box[3] - box[1], kept))
    return found


def is_kept(ours: Pictures, drawn: Pictures, box: tuple[int, int, int, int]) -> bool:
    """Tell whether a mark (left, top, right, bottom) of a drawn picture is still there with half of its contrast."""
    left, top, right, bottom = box
    cut = np.s_[max(0, top - MARGIN_PX) : bottom + MARGIN_PX, max(0, left - MARGIN_PX) : right + MARGIN_PX]
    a, b = (picture[cut].mean(axis=2) for picture in (ours, drawn))
    a, b = a - a.mean(), b - b.mean()
    power, cross = float(np.square(b).sum()), float((a * b).sum())
    correlation = cross / max(1e-9, float(np.linalg.norm(a)) * power**0.5)
    return bool(cross >= LEAST_GAIN * power and correlation >= LEAST_CORRELATION)


def find_flat_squares(picture: Pictures, sky: NDArray[np.bool_]) -> list[tuple[slice, slice]]:
    """Return squares of sky, on a lattice, in which neighbours hardly differ."""
    height, width = sky.shape
    side, found = FLAT_SKY_PX, list[tuple[slice, slice]]()
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            box = np.s_[top : top + side, left : left + side]
            steps = (np.abs(np.diff(picture[box], axis=axis)).max() for axis in (0, 1))
            if sky[box].all() and max(steps) < FLATTEST_STEP:
                found.append(box)
    return found


def measure_grid(square: Pictures) -> dict[int, float]:
    """Return the RMS, in grey levels of 255, of the waves of 8, 4 and 2 px across or down a square of 32 px.

    A decoder that doubles three times leaves its screen door at these periods.
    """
    grey = square.mean(axis=2)
    # A slow gradient would leak into all frequencies: take the best plane away, and round the ends off.
    rows, columns = np.mgrid[: grey.shape[0], : grey.shape[1]]
    plane = np.stack([np.ones(grey.size), rows.ravel(), columns.ravel()], axis=1)
    flat = grey.ravel() - plane @ np.linalg.lstsq(plane, grey.ravel(), rcond=None)[0]
    window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1]))
    power = np.abs(np.fft.fft2(flat.reshape(grey.shape) * window)) ** 2 / (window**2).sum() / grey.size
    size = grey.shape[0]
    waves = {period: {size // period, size - size // period} for period in (8, 4, 2)}
    return {
        period: 255 * float(sum(power[i, :].sum() + power[:, i].sum() for i in lines)) ** 0.5
        for period, lines in waves.items()
    }


def _root_mean(values: Iterable[float]) -> float:
    squares = [value**2 for value in values]
    return (sum(squares) / max(1, len(squares))) ** 0.5
