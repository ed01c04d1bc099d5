"""Rows of the comparison: from lines of JSON to numbers with intervals, method by method.

Intervals resample pictures, never crops or pieces of one picture: those are no independent witnesses. Knows
no picture. Start reading at `describe_method`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sfumato.core.cards import Measurement, bootstrap_interval, measure_share
from sfumato.core.seeds import sub_stream
from sfumato.lab.hires.intervals import count_interval, share_interval
from sfumato.lab.hires.objects import KINDS
from sfumato.lab.hires.store import Record

Array = NDArray[np.float64]

# Each round sorts all pieces of all pictures; 400 give the spread to a few percent.
CLUSTER_ROUNDS = 400
# Energy of a picture that has none: a tenth of a level of rounding, squared.
FLOOR_ENERGY = 0.01
# What a doubt at its place keeps, and what it does not: a face that is there but broken is a doubt.
LOST, UNSURE = "objects of the base lost, not even doubted", "objects of the base no longer sure"
# What a judge calls them.
GONE = {"lost": LOST, "unsure": UNSURE}
# What the self-check finds: blobs of the base that are gone, and places less sharp than others.
SMALL_PARTS, STRONGEST = "small parts of the base lost", "contrast gone of the small part that lost most"
CONTRAST, FOGGY = "sharp beside foggy places", "places in fog"
# The aims for the cohesive engine, and whether they are the least or the most.
AIMS: dict[str, tuple[float, str]] = {
    "phantoms": (0.02, "most"),
    "lost": (2.0, "most"),
    "seam": (1.05, "most"),
    "step": (0.5, "most"),
    "parts": (2.0, "most"),
    "psnr": (30.0, "least"),
    "octave 1": (0.75, "least"),
    "octave 2": (0.6, "least"),
    "cost": (1.6, "most"),
}


@dataclass(frozen=True, eq=False)
class JudgedPicture:
    """Hold everything known of one picture: how it was made, what it was judged at, and what its base took."""

    prompt: int
    stratum: str
    made: Record
    judged: Record
    base: Record
    cost_per_area: float


def describe_method(
    name: str, shown: Sequence[JudgedPicture], drawn: Sequence[JudgedPicture], *, aims: bool
) -> list[Measurement]:
    """Return the rows of one method; `drawn` are the drawn scenes of the same prompts, `aims` those of the engine."""
    rows = _describe_objects(name, shown) if "phantoms" in shown[0].judged else []
    rows.append(_mean_row(f"{name}: blobs of the free map per picture", shown, read_judged("blobs"), counts=True))
    rows += [
        _pieces_row(f"{name}: seam ratio p95", shown, 0, unit="times"),
        _contrast_row(f"{name}: seam ratio p95 over that of other lines", shown, 0, np.divide, unit="times"),
        _pieces_row(f"{name}: colour step p95", shown, 1, unit="Delta E"),
        _contrast_row(f"{name}: colour step p95 less that of other lines", shown, 1, np.subtract, unit="Delta E"),
        _mean_row(f"{name}: lattice", shown, read_judged("lattice"), unit="deviations"),
        _mean_row(f"{name}: base consistency", shown, read_judged("psnr_db"), unit="dB"),
        _mean_row(f"{name}: colour drift p95", shown, read_judged("drift"), unit="Delta E"),
        make_share_row(f"{name}: {SMALL_PARTS}", count_small_parts(shown)),
        _mean_row(f"{name}: {STRONGEST}", shown, read_judged("strongest_lost"), unit="Delta E"),
        *_describe_sharpness(name, shown),
    ]
    rows += _describe_detail(name, shown, drawn)
    rows += _describe_cost(name, shown)
    return [_aim(row) for row in rows] if aims else rows


def cluster_interval(values: Sequence[Array], statistic: Callable[[Array], float], seed: int) -> tuple[float, float]:
    """Return the percentile interval of a statistic over pooled values when whole clusters are resampled."""
    stream = sub_stream(seed, "clusters")
    picks = (stream.integers(len(values), size=len(values)) for _ in range(CLUSTER_ROUNDS))
    found = np.array([statistic(np.concatenate([values[place] for place in pick])) for pick in picks])
    if not np.isfinite(found).any():
        return math.nan, math.nan
    low, high = np.quantile(found[~np.isnan(found)], [0.025, 0.975], method="nearest")
    return float(low), float(high)


def _describe_objects(name: str, shown: Sequence[JudgedPicture]) -> list[Measurement]:
    phantoms = [one[0] for each in shown for one in each.judged["phantoms"]]
    kinds = ", ".join(f"{kind} {phantoms.count(kind)}" for kind in KINDS if kind in phantoms)
    hit = sum(bool(each.judged["phantoms"]) for each in shown)
    row = _mean_row(f"{name}: phantoms per picture", shown, count_phantoms, counts=True)
    return [
        replace(row, note=kinds),
        measure_share(f"{name}: pictures with a phantom", hit, len(shown)),
        _mean_row(f"{name}: objects beyond the caption per picture", shown, read_judged("excess"), counts=True),
        *(make_share_row(f"{name}: {title}", count_gone(which, shown)) for which, title in GONE.items()),
    ]


def _describe_sharpness(name: str, shown: Sequence[JudgedPicture]) -> list[Measurement]:
    """Return the rows of sharpness over the pictures whose base has edges; none where no base has."""
    edged = [each for each in shown if None not in each.judged["sharpness"]]
    if not edged:
        return []
    return [
        _mean_row(f"{name}: {CONTRAST}", edged, read_contrast, unit="dB"),
        _mean_row(f"{name}: {FOGGY}", edged, lambda each: 100.0 * each.judged["sharpness"][1], unit="%"),
    ]


def _describe_detail(name: str, shown: Sequence[JudgedPicture], drawn: Sequence[JudgedPicture]) -> list[Measurement]:
    """Return the energy of each octave above the base over that of the drawn scenes, as a geometric mean."""
    truth = {each.prompt: each.judged["octaves"] for each in drawn}
    pairs = [(each.judged["octaves"], truth[each.prompt]) for each in shown if each.prompt in truth]
    octaves = min((len(ours) for ours, _ in pairs), default=0)
    title = f"{name}: detail, octave {{}} above the base, over drawn"
    return [mean_ratio(title.format(1 + i), [(ours[i], theirs[i]) for ours, theirs in pairs]) for i in range(octaves)]


def mean_ratio(name: str, energies: Sequence[tuple[float, float]]) -> Measurement:
    """Return the row of a geometric mean of ratios of energies, one pair for each picture."""
    logs = np.array([math.log((ours + FLOOR_ENERGY) / (theirs + FLOOR_ENERGY)) for ours, theirs in energies])
    low, high = (math.exp(side) for side in bootstrap_interval(logs))
    value = math.exp(float(logs.mean()))
    return Measurement(name=name, value=value, unit="times", n=len(logs), low=low, high=high)


def _describe_cost(name: str, shown: Sequence[JudgedPicture]) -> list[Measurement]:
    costs = [each for each in shown if math.isfinite(each.cost_per_area)]
    if not costs:
        return []
    rows = [_mean_row(f"{name}: cost per native area, over one native render", costs, read_cost, unit="renders")]
    seconds = [each.made["seconds"] for each in costs]
    low, high = bootstrap_interval(seconds)
    middle = float(np.mean(seconds))
    rows.append(Measurement(name=f"{name}: seconds", value=middle, unit="s", n=len(costs), low=low, high=high))
    peaks = [each.made["peak_bytes"] / 2**20 for each in costs if "peak_bytes" in each.made]
    if peaks:
        title = f"{name}: peak memory above what was held before, median"
        rows.append(Measurement(name=title, value=float(np.median(peaks)), unit="MiB", n=len(peaks)))
    return rows


def _mean_row(
    name: str,
    shown: Sequence[JudgedPicture],
    read: Callable[[JudgedPicture], float],
    *,
    unit: str = "",
    counts: bool = False,
) -> Measurement:
    return make_mean_row(name, np.array([read(each) for each in shown], dtype=np.float64), unit=unit, counts=counts)


def make_mean_row(name: str, values: Array, *, unit: str = "", counts: bool = False) -> Measurement:
    """Return the row of a mean over pictures, of rare counts with the exact interval; without any it has no number."""
    if not len(values):
        return Measurement(name=name, value=math.nan, unit=unit, n=0)
    low, high = count_interval(values) if counts else bootstrap_interval(values)
    return Measurement(name=name, value=float(values.mean()), unit=unit, n=len(values), low=low, high=high)


def make_share_row(name: str, counts: Array) -> Measurement:
    """Return the row of a share of objects from [pictures, 2]: hits, and all."""
    hits, held = (int(total) for total in counts.sum(axis=0))
    low, high = share_interval(counts)
    return replace(measure_share(name, hits, held), low=100 * low, high=100 * high)


def _pieces_row(name: str, shown: Sequence[JudgedPicture], place: int, *, unit: str) -> Measurement:
    each = [_read_pieces(one, "seams", place) for one in shown]
    pooled = np.concatenate(each)
    if not len(pooled):
        return Measurement(name=name, value=math.nan, unit=unit, n=0)
    low, high = cluster_interval(each, _measure_p95, 0)
    value, note = _measure_p95(pooled), f"{len(pooled)} pieces of lines"
    return Measurement(name=name, value=value, unit=unit, n=len(shown), low=low, high=high, note=note)


def _contrast_row(
    name: str, shown: Sequence[JudgedPicture], place: int, compare: Callable[[float, float], float], *, unit: str
) -> Measurement:
    """Return p95 on the lines of the last step held against p95 on lines where no window of it ended.

    Pictures have edges of their own wherever one looks; only what window lines have beyond other lines is a seam.
    """
    sides = [[_read_pieces(one, where, place) for one in shown] for where in ("seams_last", "seams_off")]
    # Pieces of both kinds stay with their picture: each cluster is [pieces, 2], short columns filled with nan.
    each = [_pad_together(on, off) for on, off in zip(*sides, strict=True)]

    def statistic(pairs: Array) -> float:
        on, off = (_measure_p95(column[np.isfinite(column)]) for column in pairs.T)
        return float(compare(on, off))

    value = statistic(np.concatenate(each))
    if not math.isfinite(value):
        return Measurement(name=name, value=math.nan, unit=unit, n=0)
    low, high = cluster_interval(each, statistic, 0)
    return Measurement(name=name, value=value, unit=unit, n=len(shown), low=low, high=high)


def _pad_together(one: Array, other: Array) -> Array:
    both = np.full((max(len(one), len(other)), 2), math.nan)
    both[: len(one), 0], both[: len(other), 1] = one, other
    return both


def _read_pieces(shown: JudgedPicture, where: str, place: int) -> Array:
    pieces = (piece[place] for piece in shown.judged[where])
    return np.array([value for value in pieces if value is not None], dtype=np.float64)


def _measure_p95(values: Array) -> float:
    return float(np.percentile(values, 95)) if len(values) else math.nan


def _aim(row: Measurement) -> Measurement:
    """Give a row of the engine its aim."""
    titles = {
        ": phantoms per picture": "phantoms",
        f": {LOST}": "lost",
        f": {UNSURE}": "lost",
        ": seam ratio p95": "seam",
        ": seam ratio p95 over that of other lines": "seam",
        ": colour step p95": "step",
        ": colour step p95 less that of other lines": "step",
        ": base consistency": "psnr",
        f": {SMALL_PARTS}": "parts",
        ": detail, octave 1 above the base, over drawn": "octave 1",
        ": detail, octave 2 above the base, over drawn": "octave 2",
        ": cost per native area, over one native render": "cost",
    }
    for end, aim in titles.items():
        if row.name.endswith(end):
            value, side = AIMS[aim]
            return replace(row, aim=value, aim_is="most" if side == "most" else "least")
    return row


def read_judged(name: str) -> Callable[[JudgedPicture], float]:
    """Return what reads one measure of a picture."""
    return lambda shown: float(shown.judged[name])


def count_phantoms(shown: JudgedPicture) -> float:
    """Return how many phantoms a picture has."""
    return float(len(shown.judged["phantoms"]))


def count_gone(which: str, shown: Sequence[JudgedPicture]) -> Array:
    """Return how many objects of the base are gone ("lost" or "unsure") and how many there were, [pictures, 2]."""
    return np.array([(len(each.judged[which]), each.judged["held"]) for each in shown], dtype=np.float64)


def count_small_parts(shown: Sequence[JudgedPicture]) -> Array:
    """Return how many small parts of the base are lost and how many there were, [pictures, 2]."""
    return np.array([each.judged["small_parts"] for each in shown], dtype=np.float64)


def read_contrast(shown: JudgedPicture) -> float:
    """Return how far foggy places lie below sharp ones, in dB; nan where the base has no edges."""
    return float(np.array(shown.judged["sharpness"][0], dtype=np.float64))


def read_cost(shown: JudgedPicture) -> float:
    """Return what a picture cost, in native renders per native area."""
    return shown.cost_per_area
