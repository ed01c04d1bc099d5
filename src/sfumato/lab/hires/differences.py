"""What one method has more than another, picture by picture, over the prompts that both have.

With few prompts these rows say more than two intervals side by side. Knows no picture. Start reading at
`describe_difference`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sfumato.core.cards import Measurement, bootstrap_interval
from sfumato.lab.hires.intervals import (
    count_difference_interval,
    count_ratio_interval,
    poisson_interval,
    share_difference_interval,
)
from sfumato.lab.hires.rows import (
    GONE,
    Shown,
    count_gone,
    count_phantoms,
    mean_ratio,
    read_cost,
    read_judged,
)

Pairs = Sequence[tuple[Shown, Shown]]


def describe_difference(name: str, shown: Sequence[Shown], against: str, others: Sequence[Shown]) -> list[Measurement]:
    """Return what a method has more than another; no rows where no prompt is common to both."""
    other = {each.prompt: each for each in others}
    pairs = [(each, other[each.prompt]) for each in shown if each.prompt in other]
    if not pairs:
        return []
    rows = _compare_objects((name, against), pairs) if "phantoms" in shown[0].judged else []
    for what, read, unit in (
        ("base consistency", read_judged("psnr_db"), "dB"),
        ("cost per native area", read_cost, "renders"),
    ):
        values = np.array([read(one) - read(two) for one, two in pairs])
        low, high = bootstrap_interval(values)
        title, value = f"{name} less {against}: {what}", float(values.mean())
        rows.append(Measurement(name=title, value=value, unit=unit, n=len(pairs), low=low, high=high))
    return [*rows, *_compare_detail(f"{name} over {against}", pairs)]


def _compare_detail(title: str, pairs: Pairs) -> list[Measurement]:
    """Return the energy of each octave above the base over that of the other method, as a geometric mean."""
    octaves = [(one.judged["octaves"], two.judged["octaves"]) for one, two in pairs]
    return [
        mean_ratio(f"{title}: detail, octave {place + 1} above the base", [(a[place], b[place]) for a, b in octaves])
        for place in range(len(octaves[0][0]))
    ]


def _compare_objects(names: tuple[str, str], pairs: Pairs) -> list[Measurement]:
    counts = np.array([(count_phantoms(one), count_phantoms(two)) for one, two in pairs])
    low, high = count_difference_interval(*counts.T)
    title, value = f"{names[0]} less {names[1]}: phantoms per picture", float(counts[:, 0].mean() - counts[:, 1].mean())
    less = Measurement(name=title, value=value, unit="", n=len(pairs), low=low, high=high)
    gone = [_compare_gone(f"{names[0]} less {names[1]}: {title}", which, pairs) for which, title in GONE.items()]
    return [less, _compare_phantoms(f"{names[0]} over {names[1]}: phantoms", counts), *gone]


def _compare_gone(title: str, which: str, pairs: Pairs) -> Measurement:
    """Return the difference of two shares of objects of the base, in percent of all there were."""
    ours, theirs = (count_gone(which, [pair[side] for pair in pairs]) for side in (0, 1))
    if not ours[:, 1].any() or not theirs[:, 1].any():
        return Measurement(name=title, value=math.nan, unit="%", n=0)
    (hits, held), (less, out_of) = ours.sum(axis=0), theirs.sum(axis=0)
    low, high = (100 * side for side in share_difference_interval(ours, theirs))
    value = float(100 * (hits / held - less / out_of))
    return Measurement(name=title, value=value, unit="%", n=int(held), low=low, high=high)


def _compare_phantoms(title: str, counts: NDArray[np.float64]) -> Measurement:
    """Return the ratio of counts; where the other has none, its interval's upper end stands for it."""
    ours, theirs = counts.sum(axis=0)
    low, high = count_ratio_interval(counts)
    note = "" if theirs else "at least: the other has none, so the most that allows stands for it"
    value = float(ours / (theirs or poisson_interval(0)[1]))
    return Measurement(name=title, value=value, unit="times", n=len(counts), low=low, high=high, note=note)
