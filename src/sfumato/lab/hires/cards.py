"""From judged pictures to cards: one for each size and one for the ablation, measures side by side.

Start reading at `make_card`; `make_table` writes a card as a table with a column for each method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sfumato.core.cards import Card, Measurement, bootstrap_interval
from sfumato.core.geometry import PixelSize
from sfumato.lab.hires.intervals import (
    count_difference_interval,
    count_ratio_interval,
    poisson_interval,
    share_difference_interval,
)
from sfumato.lab.hires.judge import Case
from sfumato.lab.hires.measures import Crops, Distance, compare_distances, describe_distance
from sfumato.lab.hires.methods import COHESIVE, DRAWN
from sfumato.lab.hires.objects import MAYBE_SHARE
from sfumato.lab.hires.rows import (
    CONTRAST,
    GONE,
    LOST,
    SMALL_PARTS,
    UNSURE,
    JudgedPicture,
    count_gone,
    count_phantoms,
    count_small_parts,
    describe_method,
    mean_ratio,
    read_contrast,
    read_cost,
    read_judged,
)
from sfumato.lab.hires.store import Record, Store

Pairs = Sequence[tuple[JudgedPicture, JudgedPicture]]


def describe_difference(
    name: str, shown: Sequence[JudgedPicture], against: str, others: Sequence[JudgedPicture]
) -> list[Measurement]:
    """Return what a method has more than another; no rows where no prompt is common to both."""
    other = {each.prompt: each for each in others}
    pairs = [(each, other[each.prompt]) for each in shown if each.prompt in other]
    if not pairs:
        return []
    rows = _compare_objects((name, against), pairs) if "phantoms" in shown[0].judged else []
    rows.append(_compare_shares(f"{name} less {against}: {SMALL_PARTS}", count_small_parts, pairs))
    for what, read, unit in (
        ("base consistency", read_judged("psnr_db"), "dB"),
        (CONTRAST, read_contrast, "dB"),
        ("cost per native area", read_cost, "renders"),
    ):
        values = np.array([read(one) - read(two) for one, two in pairs])
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        low, high = bootstrap_interval(values)
        title, value = f"{name} less {against}: {what}", float(values.mean())
        rows.append(Measurement(name=title, value=value, unit=unit, n=len(values), low=low, high=high))
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
    gone = [
        _compare_shares(f"{names[0]} less {names[1]}: {title}", partial(count_gone, which), pairs)
        for which, title in GONE.items()
    ]
    return [less, _compare_phantoms(f"{names[0]} over {names[1]}: phantoms", counts), *gone]


def _compare_shares(
    title: str, count: Callable[[Sequence[JudgedPicture]], NDArray[np.float64]], pairs: Pairs
) -> Measurement:
    """Return the difference of two shares of what a base has, in percent of all there was."""
    ours, theirs = (count([pair[side] for pair in pairs]) for side in (0, 1))
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


# The engine should make ten times fewer phantoms than these.
RIVALS, FEWER_TIMES = ("gobig", "multidiffusion"), 10.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """Hold a case and what its pictures were judged at."""

    case: Case
    judged: Mapping[str, Record]


@dataclass(frozen=True, eq=False, kw_only=True)
class Group:
    """Hold all outcomes of one size; `aims` tells whether the engine has to reach its aims there.

    `clock` names what cost is counted in: "seconds", or on a CPU better "cpu_s", which other work does not slow down.
    `run_with` says what device and number types the pictures were made with.
    """

    title: str
    size: PixelSize
    outcomes: Sequence[Outcome]
    aims: bool = False
    clock: Literal["seconds", "cpu_s"] = "seconds"
    run_with: str = ""

    def show(self, name: str) -> list[JudgedPicture]:
        """Return what is known of a method's pictures, prompt by prompt."""
        usual = median(outcome.case.base[self.clock] for outcome in self.outcomes)
        return [self._show(name, outcome, usual) for outcome in self.outcomes if name in outcome.judged]

    def _show(self, name: str, outcome: Outcome, usual: float) -> JudgedPicture:
        case = outcome.case
        made, area = case.made[name], case.size.area / (case.base["width"] * case.base["height"])
        cost = math.nan if name == DRAWN else made[self.clock] / max(usual, 1e-9) / area
        return JudgedPicture(case.prompt.number, case.prompt.stratum, made, outcome.judged[name], case.base, cost)

    @property
    def names(self) -> list[str]:
        """Return the methods that have pictures, in the order of the run."""
        return list(dict.fromkeys(name for outcome in self.outcomes for name in outcome.judged))


def make_card(group: Group, store: Store, crops: Crops | None, *, seed: int, command: str) -> Card:
    """Return the card of one size, with the seed and the command that made it."""
    drawn = group.show(DRAWN)
    distances = {} if crops is None else _measure_crops(group, store, crops)
    rows: list[Measurement] = []
    for name in group.names:
        shown = group.show(name)
        rows += describe_method(name, shown, drawn, aims=group.aims and name == COHESIVE)
        rows += [describe_distance(name, distances[name])] if name in distances else []
    rows = sort_by_measure(rows)
    rivals = [name for name in group.names if name not in (COHESIVE, DRAWN)] if COHESIVE in group.names else []
    for name in rivals:
        found = describe_difference(name, group.show(name), COHESIVE, group.show(COHESIVE))
        rows += [_aim_ratio(row) if group.aims and name in RIVALS else row for row in found]
        rows += [compare_distances((name, COHESIVE), distances[name], distances[COHESIVE])] if distances else []
    return Card(title=group.title, rows=tuple(rows), seed=seed, command=command, notes=_list_notes(group))


def sort_by_measure(rows: Sequence[Measurement]) -> list[Measurement]:
    """Return rows named "method: measure" with the methods of one measure next to each other."""
    order = {measure: place for place, measure in enumerate(dict.fromkeys(_split(row)[1] for row in rows))}
    return sorted(rows, key=lambda row: order[_split(row)[1]])


def make_table(card: Card) -> str:
    """Write a card as a Markdown table: a row for each measure, a column for each method, intervals in brackets."""
    plain = [row for row in card.rows if not _is_difference(row)]
    names = list(dict.fromkeys(_split(row)[0] for row in plain))
    cells: dict[str, dict[str, Measurement]] = {}
    for row in plain:
        cells.setdefault(_split(row)[1], {})[_split(row)[0]] = row
    head = f"| {card.title} | {' | '.join(names)} |\n| --- |{' ---: |' * len(names)}\n"
    lines = (
        f"| {measure} | {' | '.join(_write(found.get(name)) for name in names)} |" for measure, found in cells.items()
    )
    return head + "\n".join(lines) + "\n"


def _aim_ratio(row: Measurement) -> Measurement:
    return replace(row, aim=FEWER_TIMES) if row.name.endswith(f"over {COHESIVE}: phantoms") else row


def _measure_crops(group: Group, store: Store, crops: Crops) -> dict[str, Distance]:
    found: dict[str, Distance] = {}
    for name in group.names:
        some = [outcome.case for outcome in group.outcomes if name in outcome.judged]
        pictures = ((case.prompt.number, np.asarray(store.load(case.made[name]["key"]))) for case in some)
        distance = crops.measure(pictures)
        if distance is not None:
            found[name] = distance
    return found


def _list_notes(group: Group) -> tuple[str, ...]:
    strata: dict[str, int] = {}
    for outcome in group.outcomes:
        stratum = outcome.case.prompt.stratum
        strata[stratum] = strata.get(stratum, 0) + 1
    made = [record for each in group.outcomes for record in (each.case.base, *each.case.made.values())]
    engines = {record["engine"] for record in made}
    objects = any("phantoms" in judged for outcome in group.outcomes for judged in outcome.judged.values())
    strangers = sum(record.get("same_base") is False for record in made)
    found: list[tuple[bool, str]] = [
        (True, "prompts: " + ", ".join(f"{name} {count}" for name, count in strata.items())),
        (True, "drawn: the scene of the prompt drawn at this size, held against itself drawn at the size of the base"),
        (objects, f"{LOST}: a doubt of the detector, from {MAYBE_SHARE:g} of its limit on, still keeps an object"),
        (objects, f"{UNSURE}: lost or broken, the detector was sure in the base and is not at that place any more"),
        (True, "multidiffusion has no base of its own: it is held against the common base, and against the caption"),
        (bool(group.run_with), f"made with {group.run_with}"),
        (
            group.clock == "cpu_s",
            "cost is counted in seconds of CPU, which other work on the machine does not slow down",
        ),
        (len(engines) > 1, f"pictures come from {len(engines)} versions of the code that makes them"),
        (strangers > 0, f"{strangers} pictures grew from another base than the common one"),
        (not objects, "no detector: no objects counted"),
    ]
    return tuple(words for there, words in found if there)


def _split(row: Measurement) -> tuple[str, str]:
    name, _, measure = row.name.partition(": ")
    return name, measure


def _is_difference(row: Measurement) -> bool:
    return any(f" {word} {COHESIVE}" in _split(row)[0] for word in ("less", "over"))


def _write(row: Measurement | None) -> str:
    if row is None or not math.isfinite(row.value):
        return "–"
    if row.low is None or row.high is None:
        return f"{row.value:.3g}"
    return f"{row.value:.3g} [{row.low:.3g}, {row.high:.3g}]"
