"""Intervals of rare counts over pictures: exact ones and resampled ones, of which each end takes the wider.

An exact interval supposes that counts fall independently; phantoms and losses of one picture come together, which
resampling whole pictures sees. Resampling sees nothing of what never happened, which the exact one does. Knows
no picture. Start reading at `count_interval`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, gammaincinv

from sfumato.core.cards import BOOTSTRAP_ROUNDS, CONFIDENCE, bootstrap_interval, wilson_interval
from sfumato.core.seeds import sub_stream

Array = NDArray[np.float64]
Interval = tuple[float, float]

# What each side of a two-sided interval leaves out.
TAIL = (1 - CONFIDENCE) / 2


def count_interval(counts: Sequence[float] | Array) -> Interval:
    """Return the interval of a mean of counts over pictures: exact for their sum, or resampled where that is wider."""
    values = np.asarray(counts, dtype=np.float64)
    low, high = poisson_interval(round(float(values.sum())))
    return widen((low / len(values), high / len(values)), bootstrap_interval(values))


def poisson_interval(count: int) -> Interval:
    """Return the exact interval of the mean of what was counted once.

    Source: F. Garwood 1936, "Fiducial limits for the Poisson distribution".
    """
    assert count >= 0, "nobody counts less than nothing"
    low = float(gammaincinv(count, TAIL)) if count else 0.0
    return low, float(gammaincinv(count + 1, 1 - TAIL))


def count_difference_interval(ours: Sequence[float] | Array, theirs: Sequence[float] | Array) -> Interval:
    """Return the interval of the mean difference of counts, pictures in pairs.

    Resampled by pairs, or put together from two exact intervals where that is wider: two methods that never
    made a phantom are not known to be equal.
    """
    one, other = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    sums = [round(float(each.sum())) for each in (one, other)]
    exact = subtract_intervals(sums[0], poisson_interval(sums[0]), sums[1], poisson_interval(sums[1]))
    return widen((exact[0] / len(one), exact[1] / len(one)), bootstrap_interval(one - other))


def count_ratio_interval(counts: Array) -> Interval:
    """Return the interval of a ratio of summed counts, from counts [pictures, 2]; the high end may be infinite.

    Exact: given all events of both, how many are of the first is binomial. Or resampled where that is wider.
    Source: J. Przyborowski and H. Wilenski 1940; C. J. Clopper and E. S. Pearson 1934.
    """
    ours, theirs = (round(float(total)) for total in counts.sum(axis=0))
    low, high = binomial_interval(ours, ours + theirs)
    exact = (low / (1 - low), high / (1 - high) if high < 1 else math.inf)
    return widen(exact, resample_ratio(counts))


def share_interval(counts: Array) -> Interval:
    """Return the interval (fractions) of a share of pooled objects, from [pictures, 2]: hits, and all.

    Wilson's for the pooled objects, or resampled by pictures where that is wider: objects of one picture go together.
    """
    hits, held = (round(float(total)) for total in counts.sum(axis=0))
    return widen(wilson_interval(hits, held), resample_ratio(counts))


def share_difference_interval(ours: Array, theirs: Array) -> Interval:
    """Return the interval (fractions) of a difference of two such shares over the same pictures.

    Resampled by pictures, both shares together, or Newcombe's for the pooled objects where that is wider.
    """
    (hits, held), (less, out_of) = ([round(float(total)) for total in each.sum(axis=0)] for each in (ours, theirs))
    exact = subtract_intervals(hits / held, wilson_interval(hits, held), less / out_of, wilson_interval(less, out_of))
    totals = resample_sums(np.concatenate((ours, theirs), axis=1))
    totals = totals[(totals[:, 1] > 0) & (totals[:, 3] > 0)]
    found = totals[:, 0] / totals[:, 1] - totals[:, 2] / totals[:, 3]
    low, high = np.quantile(found, [TAIL, 1 - TAIL])
    return widen(exact, (float(low), float(high)))


def binomial_interval(hits: int, n: int) -> Interval:
    """Return the exact interval (fractions) of a share; (0, 1) when nothing was counted.

    Source: C. J. Clopper and E. S. Pearson 1934, "The use of confidence or fiducial limits".
    """
    assert 0 <= hits <= n, "a count cannot exceed what was counted"
    low = float(betaincinv(hits, n - hits + 1, TAIL)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - TAIL)) if hits < n else 1.0
    return low, high


def subtract_intervals(value: float, interval: Interval, less: float, less_interval: Interval) -> Interval:
    """Return the interval of `value` minus `less` from the interval of each, as if these were independent.

    Source: G. Y. Zou and A. Donner 2008, "Construction of confidence limits about effect measures"; of Wilson
    intervals it is R. G. Newcombe 1998, method 10.
    """
    (low, high), (least, most) = interval, less_interval
    below, above = math.hypot(value - low, most - less), math.hypot(high - value, less - least)
    return value - less - below, value - less + above


def resample_ratio(counts: Array) -> Interval:
    """Return the percentile interval of a ratio of sums from [pictures, 2] when pictures are resampled.

    A resample that has nothing in either column says nothing and is left out.
    """
    above, below = resample_sums(counts).T
    told = (above > 0) | (below > 0)
    if not told.any():
        return math.nan, math.nan
    ratios = np.divide(above, below, out=np.full(len(above), math.inf), where=below > 0)[told]
    # Between a number and infinity lies nothing: no interpolation.
    low, high = np.quantile(ratios, [TAIL, 1 - TAIL], method="nearest")
    return float(low), float(high)


def resample_sums(counts: Array) -> Array:
    """Return the sums of each column, [rounds, C], of counts [pictures, C] when pictures are resampled."""
    stream = sub_stream(0, "sums")
    return counts[stream.integers(len(counts), size=(BOOTSTRAP_ROUNDS, len(counts)))].sum(axis=1)


def widen(one: Interval, other: Interval) -> Interval:
    """Return the lower of two low ends and the higher of two high ends; an end that is no number is left out."""
    return float(np.fmin(one[0], other[0])), float(np.fmax(one[1], other[1]))
