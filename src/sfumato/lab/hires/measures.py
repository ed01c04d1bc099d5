"""What is measured of one large picture without counting objects: base, colour, seams and detail.

Everything is plain numbers that go into one line of JSON. Start reading at `measure_picture`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.core.cards import Measurement
from sfumato.core.geometry import PixelSize
from sfumato.core.seeds import sub_stream
from sfumato.critic.picture.base_comparison import crop_base
from sfumato.critic.picture.checks import Evidence
from sfumato.critic.picture.seams import FARTHEST_PX, Lines, measure_seams
from sfumato.critic.reader.reader import Reader
from sfumato.lab.frechet import Cloud, frechet_distance, make_cloud
from sfumato.lab.hires.prompts import draw_reference
from sfumato.lab.hires.store import Record

# Crops of one picture: about as many as fit side by side, but no more than say something new.
MOST_CROPS = 32
# Drawn scenes that crops are compared with.
REFERENCE_SCENES = 256
# Each round costs an eigenvalue problem; 200 give a spread to one part in twenty.
ROUNDS = 200
FID = "FID of native-size crops"


@dataclass(frozen=True, eq=False)
class Distance:
    """Hold how far the crops of some prompts lie from drawn ones: all of them, and each resample of the prompts."""

    prompts: tuple[int, ...]
    crops: int
    value: float
    resampled: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Crops:
    """Compare crops of pictures of one size with crops of other drawn scenes of that size. A leaf."""

    reader: Reader
    size: PixelSize
    seed: int
    cloud: Cloud

    def measure(self, pictures: Iterable[tuple[int, NDArray[np.uint8]]]) -> Distance | None:
        """Return how far (prompt, picture) lie from what is drawn, whole and resampled by pictures.

        None for one picture alone: a cloud has two points at least, and its spread needs several. As many
        pictures are resampled alike whatever they show, so methods can be compared resample by resample.
        """
        each = [(prompt, read_crops(self.reader, picture, (self.seed, prompt))) for prompt, picture in pictures]
        if len(each) < 2:
            return None
        features = [crops for _, crops in each]
        stream = sub_stream(self.seed, "crop bootstrap")
        picks = [stream.integers(len(each), size=len(each)) for _ in range(ROUNDS)]
        found = [frechet_distance(np.concatenate([features[i] for i in pick]), self.cloud) for pick in picks]
        whole = np.concatenate(features)
        return Distance(
            tuple(prompt for prompt, _ in each), len(whole), frechet_distance(whole, self.cloud), np.array(found)
        )


def describe_distance(name: str, distance: Distance) -> Measurement:
    """Return the row of a method; as far as its resamples spread on both sides of the value."""
    low, high = _spread_around(distance.value, distance.resampled)
    title, n = f"{name}: {FID}", len(distance.prompts)
    note = f"{distance.crops} crops"
    return Measurement(name=title, value=distance.value, unit="", n=n, low=max(0.0, low), high=high, note=note)


def compare_distances(names: tuple[str, str], ours: Distance, theirs: Distance) -> Measurement:
    """Return how much further one method lies than another, resampled prompt by prompt."""
    assert ours.prompts == theirs.prompts, "every case has a picture of every method"
    value = ours.value - theirs.value
    low, high = _spread_around(value, ours.resampled - theirs.resampled)
    title, n = f"{names[0]} less {names[1]}: {FID}", len(ours.prompts)
    return Measurement(name=title, value=value, unit="", n=n, low=low, high=high)


def _spread_around(value: float, resampled: NDArray[np.float64]) -> tuple[float, float]:
    # No percentiles: a resample shows some crops twice, which makes clouds of few crops look further away.
    spread = 1.96 * float(np.std(resampled))
    return value - spread, value + spread


def make_crops(reader: Reader, size: PixelSize, *, seed: int, scenes: int = REFERENCE_SCENES) -> Crops | None:
    """Read the drawn scenes that a size is compared with; None where a picture is smaller than a crop."""
    if min(size.width, size.height) < reader.shape.picture_px:
        return None
    drawn = enumerate(draw_reference(scenes, size, seed=seed))
    features = [read_crops(reader, picture, (seed, -1 - number)) for number, picture in drawn]
    return Crops(reader, size, seed, make_cloud(np.concatenate(features)))


def read_crops(reader: Reader, picture: NDArray[np.uint8], where: tuple[int, int]) -> NDArray[np.float32]:
    """Return the features of the crops of a picture, [crops, C]; `where` = (seed, prompt) chooses the places."""
    side, (height, width) = reader.shape.picture_px, picture.shape[:2]
    count = max(1, min(MOST_CROPS, (height // side) * (width // side)))
    places = choose_places((width, height), side, count, sub_stream(where[0], "crops", where[1]))
    return reader.read(cut_crops(picture, side, places)).features


# Pieces of lines are as long as a native window of mini, whatever the lattice, so methods are judged alike.
PIECE_PX = 128
# Lines without windows lie on the grid of cells too: decoders leave traces of it. A seam smears over about a cell.
CELL_PX, CLEAR_PX = 8, 16
# Octaves above what a base can hold, the coarsest first; 64 times the area brings three.
MOST_OCTAVES = 3
# Blobs are counted from here on: the limit of planted people on drawn scenes, the same in all records there are.
LEAST_BLOB_MASS = 78.74


@dataclass(frozen=True, slots=True)
class StepLines:
    """Hold the lines where windows ended: in any step, and in the last, which nothing can have smoothed."""

    every: Lines
    last: Lines

    def to_json(self) -> list[list[int]]:
        """Return columns and rows of every step, then of the last."""
        return [list(each) for lines in (self.every, self.last) for each in (lines.xs, lines.ys)]


def join_lines(records: Sequence[Sequence[Sequence[int]]]) -> StepLines:
    """Return the lines of several `StepLines.to_json` together."""
    xs, ys, last_xs, last_ys = (tuple(sorted({one for each in records for one in each[i]})) for i in range(4))
    return StepLines(Lines(xs, ys), Lines(last_xs, last_ys))


def measure_picture(picture: Image.Image, base: Image.Image, lines: StepLines) -> Record:
    """Measure a large picture beside its base, with the lines where its windows ended.

    `blobs` counts what the free map of phantoms finds heavier than `LEAST_BLOB_MASS`. `seams` holds
    [gradient ratio, colour step] of every piece of a line of any step (None where nothing is flat),
    `seams_last` those of the last step, `seams_off` of as many lines that are far from those. `small_parts` are
    [lost, all] of the base, `sharpness` [contrast, share of foggy places] (None where the base has no edges).
    """
    seen = Evidence(picture, base)
    lost, sharpness = seen.lost_parts, seen.sharpness
    return {
        "small_parts": [len(lost.parts), lost.of],
        "strongest_lost": round(lost.strongest, 3),
        "sharpness": [_finite(sharpness.contrast_db), _finite(sharpness.foggy_frac)],
        "psnr_db": round(seen.consistency.psnr_db, 3),
        "drift": round(seen.drift.p95, 3),
        "blobs": sum(blob.mass > LEAST_BLOB_MASS for blob in seen.added_objects.blobs),
        "blob_boxes": [list(blob.box) for blob in seen.added_objects.blobs if blob.mass > LEAST_BLOB_MASS][:8],
        "lattice": round(seen.lattice.deviations, 3),
        "seams": measure_pieces(picture, base, lines.every),
        "seams_last": measure_pieces(picture, base, lines.last),
        "seams_off": measure_pieces(picture, base, choose_control(lines.last, picture.size)),
        "octaves": [round(value, 4) for value in measure_octaves(picture, picture.width / base.width)],
    }


def measure_pieces(picture: Image.Image, base: Image.Image, lines: Lines) -> list[list[float | None]]:
    """Return [gradient ratio, colour step] of every piece of every line."""
    under = crop_base(base, picture.size).resize(picture.size, Image.Resampling.BICUBIC)
    reach = FARTHEST_PX + 1
    pieces: list[list[float | None]] = []
    for axis, places in ((0, lines.xs), (1, lines.ys)):
        across, along = picture.size if axis == 0 else picture.size[::-1]
        inside = [place for place in places if reach <= place <= across - reach]
        for place in inside:
            for start in range(0, along - PIECE_PX + 1, PIECE_PX):
                box = (place - reach, start, place + reach, start + PIECE_PX)
                pieces.append(_measure_piece((picture, under), box, axis))
    return pieces


def choose_control(lines: Lines, size: tuple[int, int]) -> Lines:
    """Return as many lines on the grid of cells, evenly spread, that lie away from the given ones where there is room."""
    xs, ys = (_choose_away(places, side) for places, side in zip((lines.xs, lines.ys), size, strict=True))
    return Lines(xs, ys)


def _choose_away(places: tuple[int, ...], side: int) -> tuple[int, ...]:
    grid = range(CELL_PX, side, CELL_PX)
    free = [place for place in grid if all(abs(place - line) >= CLEAR_PX for line in places)]
    count = min(len(free), len(places))
    return tuple(free[(2 * number + 1) * len(free) // (2 * count)] for number in range(count))


def _measure_piece(
    both: tuple[Image.Image, Image.Image], box: tuple[int, int, int, int], axis: int
) -> list[float | None]:
    box = box if axis == 0 else (box[1], box[0], box[3], box[2])
    line = Lines(xs=(FARTHEST_PX + 1,)) if axis == 0 else Lines(ys=(FARTHEST_PX + 1,))
    seams = measure_seams(both[0].crop(box), line, both[1].crop(box))
    return [_finite(seams.ratio_p95), _finite(seams.step_p95)]


def measure_octaves(picture: Image.Image, scale: float) -> list[float]:
    """Return the energy of lightness in each octave that a base `scale` times smaller cannot hold, coarsest first.

    Energy is the variance in levels squared, of the picture under a Hann window; the octaves end at the
    picture's own Nyquist frequency.
    """
    levels = np.asarray(picture.convert("L"), np.float64)
    window = np.hanning(levels.shape[0])[:, None] * np.hanning(levels.shape[1])[None, :]
    centred = (levels - (levels * window).sum() / window.sum()) * window
    power = np.abs(np.fft.rfft2(centred)) ** 2 / (levels.size * np.square(window).sum())
    # Every column of a real transform but the first (and an even last) stands for two.
    power[:, 1 : -1 if levels.shape[1] % 2 == 0 else None] *= 2
    down, across = np.fft.fftfreq(levels.shape[0])[:, None], np.fft.rfftfreq(levels.shape[1])[None, :]
    radius = np.maximum(np.abs(down), across)
    edges = _list_edges(scale)
    return [_sum_band(power, radius, (low, high)) for low, high in pairwise(edges)]


def cut_crops(picture: NDArray[np.uint8], side: int, starts: Sequence[tuple[int, int]]) -> list[NDArray[np.uint8]]:
    """Cut squares at places (left, top)."""
    return [picture[top : top + side, left : left + side] for left, top in starts]


def choose_places(
    size: tuple[int, int], side: int, count: int, stream: np.random.Generator
) -> tuple[tuple[int, int], ...]:
    """Choose random places (left, top) of `count` squares in a picture of (width, height)."""
    assert min(size) >= side, "a square fits into its picture"
    return tuple(
        (int(stream.integers(0, size[0] - side + 1)), int(stream.integers(0, size[1] - side + 1))) for _ in range(count)
    )


def _list_edges(scale: float) -> list[float]:
    octaves = max(1, min(MOST_OCTAVES, round(math.log2(max(scale, 1.0)))))
    return [0.5 / 2.0**place for place in range(octaves, -1, -1)]


def _sum_band(power: NDArray[np.float64], radius: NDArray[np.float64], band: tuple[float, float]) -> float:
    return float(power[(radius > band[0]) & (radius <= band[1])].sum())


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
