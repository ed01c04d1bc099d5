"""Rows of the card of checks: areas under the curve, dose by dose, and limits judged on unseen scenes.

Knows numbers and names of measures, no picture. Start reading at `describe_checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sfumato.core.cards import Measurement, bootstrap_interval, measure_share
from sfumato.critic.picture.checks import MEASURES
from sfumato.lab.self_check.synthetic_defects import DEFECTS

Array = NDArray[np.float64]
# (measure, defect, dose) -> one value per scene; clean pictures are defect "" at dose 0.
Values = Mapping[tuple[str, str, float], Array]

LEAST_AUC = 0.95
# An order that is right helps nobody if the limit misses: what it finds of the visible faults, in percent.
LEAST_FOUND = 80.0
# The limit lies half way between what 95 % of clean pictures stay under and what 95 % of defects go over.
TAIL = 5.0
# A dose-response may fall by this much between two doses and still be called rising: 1 pair in 100.
LARGEST_FALL = 0.01


def describe_checks(
    chosen_on: Values, judged_on: Values, targets: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[Measurement, ...], tuple[str, ...]]:
    """Return the rows of every measure with its defects, and notes that say what is usable."""
    rows: list[Measurement] = []
    notes: list[str] = []
    for name in MEASURES:
        defects = [defect for defect in targets if name in targets[defect]]
        found: list[str] = []
        for defect in defects:
            curve = _measure_curve(name, defect, judged_on)
            if not curve:
                notes.append(f"{name}: no picture had anything that {defect} applies to")
                continue
            rows += curve
            found += [defect] if is_usable(curve, DEFECTS[defect].visible, defect) else []
        limits, found = _judge_limit(name, found, (chosen_on, judged_on))
        rows += limits
        notes.append(_say(name, found, defects))
    notes.append("an interval of 1 … 1 only says that no pair of this run was in the wrong order")
    return tuple(rows), tuple(notes)


def measure_auc(name: str, clean: Array, bad: Array) -> float:
    """Return how often a defect looks worse than a clean picture, ties half; nothing to judge looks best."""
    sign = 1.0 if MEASURES[name].bad == "high" else -1.0
    good, worse = (np.nan_to_num(sign * values, nan=-np.inf) for values in (clean, bad))
    pairs = worse[:, None], good[None, :]
    return float((pairs[0] > pairs[1]).mean() + 0.5 * (pairs[0] == pairs[1]).mean())


def choose_limit(name: str, defects: list[str], values: Values) -> float:
    """Return the limit of a measure from clean pictures and visible doses of what it finds."""
    high = MEASURES[name].bad == "high"
    bad = np.concatenate([_list_planted(name, defect, DEFECTS[defect].visible, values) for defect in defects])
    clean_edge = np.nanpercentile(values[name, "", 0.0], 100.0 - TAIL if high else TAIL)
    bad_edge = np.nanpercentile(bad, TAIL if high else 100.0 - TAIL)
    apart = bad_edge > clean_edge if high else bad_edge < clean_edge
    return float((clean_edge + bad_edge) / 2 if apart else clean_edge)


def is_usable(curve: list[Measurement], visible: float, defect: str) -> bool:
    """Tell whether a measure finds a defect: area at the visible dose, and never falling with the dose."""
    areas = [row.value for row in curve]
    rising = all(after >= before - LARGEST_FALL for before, after in pairwise(areas))
    return rising and areas[DEFECTS[defect].doses.index(visible)] >= LEAST_AUC


def _measure_curve(name: str, defect: str, values: Values) -> list[Measurement]:
    planted = DEFECTS[defect]
    rows: list[Measurement] = []
    for dose in planted.doses:
        both = np.stack([values[name, "", 0.0], values[name, defect, dose]], axis=1)
        both = both if planted.everywhere else both[~np.isnan(both[:, 1])]
        if not len(both):
            # Few and unlucky pictures: there is nothing to judge, and no row can say how well.
            return []
        low, high = bootstrap_interval(both, lambda rows: measure_auc(name, rows[:, 0], rows[:, 1]))
        title = f"{name}: {defect} of {dose:g} {planted.unit}"
        area, aim = measure_auc(name, both[:, 0], both[:, 1]), LEAST_AUC if dose == planted.visible else None
        rows.append(Measurement(name=title, value=area, unit="AUC", n=len(both), low=low, high=high, aim=aim))
    return rows


def _judge_limit(name: str, found: list[str], values: tuple[Values, Values]) -> tuple[list[Measurement], list[str]]:
    """Return the limit, the shares of clean pictures and visible defects beyond it, and the defects it finds."""
    if not found:
        return [], []
    limit = choose_limit(name, found, values[0])
    sign = 1.0 if MEASURES[name].bad == "high" else -1.0
    clean = sign * values[1][name, "", 0.0] > sign * limit
    rows = [
        Measurement(name=f"{name}: limit", value=limit, unit=MEASURES[name].unit, n=len(clean)),
        measure_share(f"{name}: clean pictures called faulty", int(clean.sum()), len(clean)),
    ]
    kept: list[str] = []
    for defect in found:
        hits = sign * _list_planted(name, defect, DEFECTS[defect].visible, values[1]) > sign * limit
        title = f"{name}: {defect} of {DEFECTS[defect].visible:g} {DEFECTS[defect].unit} found"
        rows.append(measure_share(title, int(hits.sum()), len(hits), aim=LEAST_FOUND))
        kept += [defect] if rows[-1].met else []
    return rows, kept


def _list_planted(name: str, defect: str, dose: float, values: Values) -> Array:
    """Return a measure of the pictures that a defect could be planted on."""
    found = values[name, defect, dose]
    return found if DEFECTS[defect].everywhere else found[~np.isnan(found)]


def _say(name: str, found: list[str], defects: list[str]) -> str:
    missed = [defect for defect in defects if defect not in found]
    but = f"; not for {', '.join(missed)}" if missed else ""
    return f"{name} is usable for {', '.join(found)}{but}" if found else f"{name} is NOT usable: {', '.join(missed)}"
