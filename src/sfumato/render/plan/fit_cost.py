"""Trials of single calls become a cost model: lines through what was timed and weighed.

Pure. Start reading at `fit_cost` and `fit_footprint`.
"""

from __future__ import annotations

from dataclasses import replace
from math import isqrt
from typing import TYPE_CHECKING

from sfumato.core.geometry import PixelSize
from sfumato.render.plan.budget import CostModel, Footprint, count_held_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfumato.models.time_calls import Trial, TrialPart

Point = tuple[float, float]


def fit_cost(trials: Sequence[Trial], guess: CostModel, factor: int) -> CostModel:
    """Return a cost model whose network and autoencoder take what the trials took; the rest is the guess's."""
    call_s, cell_s = fit_line([(trial.cells * trial.batch, trial.seconds) for trial in _windows(trials)])
    return replace(
        guess,
        call_s=call_s,
        cell_s=cell_s,
        decode_s=_pixel_seconds(trials, "decode", factor),
        encode_s=_pixel_seconds(trials, "encode", factor),
        attend_s=sum(trial.seconds / (trial.cells * trial.batch) for trial in _of(trials, "attend")),
        basis="probe",
    )


def fit_footprint(trials: Sequence[Trial], factor: int) -> Footprint | None:
    """Return what the calls take of memory; None where a trial could not be weighed."""
    if any(trial.peak_bytes is None for trial in trials):
        return None
    calls = [(trial.cells * trial.batch, trial.peak_bytes or 0) for trial in _windows(trials)]
    tiles = [(count_trial_pixels(trial, factor), trial.peak_bytes or 0) for trial in _of(trials, "decode")]
    (call, cell), (tile, decode) = fit_line(calls, relative=False), fit_line(tiles, relative=False)
    largest = max(_of(trials, "encode"), key=lambda trial: trial.cells)
    encode = max(0.0, (largest.peak_bytes or 0) - tile) / count_trial_pixels(largest, factor)
    return Footprint(
        call=round(call), cell=round(cell), tile=round(tile), decode_pixel=round(decode), encode_pixel=round(encode)
    )


def count_trial_pixels(trial: Trial, factor: int) -> int:
    """Count the pixels that the autoencoder holds at once in a trial, whose picture is a square."""
    side = isqrt(trial.cells) * factor
    return count_held_pixels(PixelSize(side, side))


def fit_line(points: Sequence[Point], *, relative: bool = True) -> tuple[float, float]:
    """Return (a, b), both at least 0, of y = a + b * x with the least sum of squared errors.

    `relative` to y: a forecast of time is judged by its share. Memory is judged where it is largest.
    """
    weights = [1.0 / max(y, 1e-9) ** 2 if relative else 1.0 for _, y in points]
    total = sum(weights)
    mean_x, mean_y = (sum(w * point[axis] for w, point in zip(weights, points, strict=True)) / total for axis in (0, 1))
    spread = sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    shared = sum(w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, points, strict=True))
    slope = max(0.0, shared / spread) if spread else 0.0
    start = mean_y - slope * mean_x
    if start >= 0.0:
        return start, slope
    # A line that begins below nothing: the best one through the origin.
    ratio = sum(w * x * y for w, (x, y) in zip(weights, points, strict=True))
    return 0.0, ratio / sum(w * x * x for w, (x, _) in zip(weights, points, strict=True))


def _of(trials: Sequence[Trial], part: TrialPart) -> list[Trial]:
    return [trial for trial in trials if trial.part == part]


def _windows(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials with the window of a render; a smaller one only shows how far the line holds."""
    denoised = _of(trials, "denoise")
    most = max(trial.cells for trial in denoised)
    return [trial for trial in denoised if trial.cells == most]


def _pixel_seconds(trials: Sequence[Trial], part: TrialPart, factor: int) -> float:
    """Return the seconds per pixel of the largest tile, which is what large pictures are made of."""
    largest = max(_of(trials, part), key=lambda trial: trial.cells)
    return largest.seconds / (largest.cells * factor**2)
