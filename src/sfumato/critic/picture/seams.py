"""Seams along known lines: gradients on a line against lines beside it, and steps of colour across it.

Reads a picture in strips around the lines, so memory follows one side of the picture, not its area.
Knows no window and no latent: lines are positions in pixels. Start reading at `measure_seams`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.color import deltaE_ciede2000

from sfumato.critic.picture.colour import to_lab
from sfumato.critic.picture.picture_reader import PictureReader

Array = NDArray[np.float32]

# Lines so far away on both sides are what a seam is compared with: beyond its own smear, still in the same place.
NEAREST_PX, FARTHEST_PX = 8, 32
# A real edge counts no more than this many levels a pixel: a seam is weak and long, an edge strong and short.
MOST_LEVELS = 8.0
# Half of one level of rounding: two flat sides have no gradient at all, and nothing may be divided by that.
FLOOR_LEVELS = 0.5
# Strips beside the line whose colours are compared: from, to. The first pixels may hold the smear of a blended seam.
NEAR_PX, FAR_PX = (4, 12), (12, 20)
# A segment of a line; all four strips of it have to be flat to be compared, by their spread in CIELAB lightness.
SEGMENT_PX = 16
FLATTEST_L = 4.0
# Fewer flat segments than this are a chance, no piece of a line.
FEWEST_SEGMENTS = 3


@dataclass(frozen=True, slots=True)
class Lines:
    """Name where seams may be, in px: columns `xs` and rows `ys`; a line lies before the pixel it names."""

    xs: tuple[int, ...] = ()
    ys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Seams:
    """Hold the seams of a picture, over pieces of lines between crossings.

    `ratio` is the gradient on the line over that of lines beside it, 1 without a seam; `step` the
    CIEDE2000 step of colour across it. NaN where nothing could be judged.
    """

    pieces: int
    ratio_p50: float
    ratio_p95: float
    step_p50: float
    step_p95: float


def measure_seams(picture: PictureReader, lines: Lines, base: Image.Image | None = None) -> Seams:
    """Measure what stands on the lines of a picture.

    With a `base` (shown whole by the picture: see `pairing.crop_base`) steps of colour that the base has
    too are taken away: they are edges of things, no seams.
    """
    ratios, steps = [], []
    for strip, under in _list_pieces(picture, lines, base):
        ratios.append(_compare_gradients(strip))
        step = _find_step(strip, under)
        steps += [] if step is None else [step]
    return Seams(len(ratios), *_percentiles(ratios), *_percentiles(steps))


def _list_pieces(
    picture: PictureReader, lines: Lines, base: Image.Image | None
) -> Iterator[tuple[Array, Array | None]]:
    """Yield strips [along, 2 * FARTHEST + 2, 3] around the pieces of every line, the line in the middle."""
    reach = FARTHEST_PX + 1
    for axis, places, crossings in ((0, lines.xs, lines.ys), (1, lines.ys, lines.xs)):
        across, along = (picture.width, picture.height) if axis == 0 else (picture.height, picture.width)
        for place in places:
            if not reach <= place <= across - reach:
                continue
            for start, end in _list_spans(along, crossings):
                box = (place - reach, start, place + reach, end)
                box = box if axis == 0 else (start, place - reach, end, place + reach)
                yield _read(picture, box, axis), None if base is None else _read_under(base, picture, box, axis)


def _list_spans(along: int, crossings: Sequence[int]) -> list[tuple[int, int]]:
    marks = sorted({0, along, *(cross for cross in crossings if 0 < cross < along)})
    return [span for span in pairwise(marks) if span[1] - span[0] >= FEWEST_SEGMENTS * SEGMENT_PX]


def _read(picture: PictureReader, box: tuple[int, int, int, int], axis: int) -> Array:
    rows = np.asarray(picture.crop(box).convert("RGB"), np.float32)
    return rows if axis == 0 else rows.transpose(1, 0, 2)


def _read_under(base: Image.Image, picture: PictureReader, box: tuple[int, int, int, int], axis: int) -> Array:
    wide, high = base.width / picture.width, base.height / picture.height
    part = (box[0] * wide, box[1] * high, box[2] * wide, box[3] * high)
    size = (box[2] - box[0], box[3] - box[1])
    rows = np.asarray(base.convert("RGB").resize(size, Image.Resampling.BICUBIC, box=part), np.float32)
    return rows if axis == 0 else rows.transpose(1, 0, 2)


def _compare_gradients(strip: Array) -> float:
    """Return the gradient on the line over the median of the lines beside it."""
    profile = np.abs(np.diff(strip, axis=1)).max(axis=2).clip(max=MOST_LEVELS).mean(axis=0)
    # A decoder moves a seam by a pixel: every line is judged with its two neighbours, the compared ones too.
    profile = np.stack([profile[:-2], profile[1:-1], profile[2:]]).max(axis=0)
    middle = len(profile) // 2
    beside = np.concatenate([profile[: middle - NEAREST_PX], profile[middle + NEAREST_PX + 1 :]])
    return float((profile[middle] + FLOOR_LEVELS) / (np.median(beside) + FLOOR_LEVELS))


def _find_step(strip: Array, under: Array | None) -> float | None:
    """Return the CIEDE2000 step across a line as the flat segments agree on it; None where too few are flat."""
    means, spreads = _summarise(to_lab(strip))
    flat = spreads.max(axis=1) <= FLATTEST_L
    if flat.sum() < FEWEST_SEGMENTS:
        return None
    middle, step = means[flat][:, 1:3].mean(axis=(0, 1)), _take_ramp_away(means)
    found = _size_step(middle, step[flat])
    if under is None:
        return found
    # A seam is there with and without the base; an edge is in the base, and what the base lacks is new, not a seam.
    return min(found, _size_step(middle, (step - _take_ramp_away(_summarise(to_lab(under))[0]))[flat]))


def _size_step(middle: Array, steps: Array) -> float:
    """Return the CIEDE2000 of the median step of segments [n, 3] around a colour, less what they disagree by."""
    median = np.median(steps, axis=0)
    # One standard error of a median (1.25 times that of a mean): a seam is the same all along its line.
    doubt = 1.2533 * steps.std(axis=0) / np.sqrt(len(steps))
    half = np.sign(median) * (np.abs(median) - doubt).clip(min=0.0) / 2
    return float(deltaE_ciede2000(middle - half, middle + half))


def _summarise(lab: Array) -> tuple[Array, Array]:
    """Return colours [segments, 4, 3] and spreads of lightness [segments, 4] of the strips, outer left to outer right."""
    middle, count = lab.shape[1] // 2, lab.shape[0] // SEGMENT_PX
    cut = lab[: count * SEGMENT_PX].reshape(count, SEGMENT_PX, lab.shape[1], 3)
    (near, far), (out, end) = NEAR_PX, FAR_PX
    spans = [(middle - end, middle - out), (middle - far, middle - near), (middle + near, middle + far)]
    strips = [cut[:, :, left:right] for left, right in [*spans, (middle + out, middle + end)]]
    return (
        np.stack([strip.mean(axis=(1, 2)) for strip in strips], axis=1),
        np.stack([strip[..., 0].std(axis=(1, 2)) for strip in strips], axis=1),
    )


def _take_ramp_away(means: Array) -> Array:
    """Return right less left, less what the slopes on both sides would make of the distance between them."""
    outer_left, left, right, outer_right = (means[:, place] for place in range(4))
    # Near strips lie twice as far apart as a near and a far one, so two slopes are one distance.
    return ((right - left) - ((outer_right - right) + (left - outer_left))).astype(np.float32)


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return (float("nan"), float("nan"))
    p50, p95 = np.percentile(values, [50, 95])
    return (float(p50), float(p95))
