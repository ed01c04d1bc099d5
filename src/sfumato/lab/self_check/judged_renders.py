"""The checks that speak of phantoms, held against renders in which a detector has counted them.

Planted faults are plain and drawn pictures clean; what real renders do is known from `evaluate hires`. Limits
are chosen on every other turn of its prompts and judged on the rest. Start reading at `describe_judged`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sfumato.core.cards import Measurement, bootstrap_interval, measure_share, wilson_interval
from sfumato.critic.picture.checks import MEASURES, Evidence
from sfumato.lab.hires.judge import Case, Judge, load_watcher
from sfumato.lab.hires.methods import COHESIVE, DEMOFUSION, list_methods
from sfumato.lab.hires.prompts import STRATA, list_prompts
from sfumato.lab.hires.run import HiresEvaluation, find_size, open_studio
from sfumato.lab.self_check.rows import LEAST_AUC, LEAST_FOUND, Values, measure_auc
from sfumato.lab.self_check.synthetic_defects import DEFECTS
from sfumato.models.latent_model import LatentModel

# Methods that draw anew. The enlarged base has no phantom and nothing that could be one.
GROWN = ("gobig", "multidiffusion", DEMOFUSION, COHESIVE)
# What speaks of phantoms, and the planted faults that its limit has to go on finding.
SPEAKERS: dict[str, tuple[str, ...]] = {
    "added object mass": ("pasted person",),
    "base consistency": ("drift", "shifted tiles"),
}
# The most clean renders, in percent, that a limit may call faulty on prompts that it was not chosen on.
MOST_FALSE = 10.0
# The upper end of a two-sided interval of 90 % is passed in one case of twenty.
SURE = 0.9
_MOST = MOST_FALSE / 100.0


@dataclass(frozen=True, eq=False)
class JudgedRender:
    """Hold what is known of one render: its method, the number of its prompt, phantoms counted, and measures."""

    method: str
    number: int
    phantoms: int
    values: dict[str, float]

    @property
    def chosen_on(self) -> bool:
        """Tell whether limits are chosen on it: whole turns of the mix of prompts, every other one."""
        return self.number // len(STRATA) % 2 == 0


def read_judged(folders: Sequence[Path], model: LatentModel, *, seed: int = 1) -> tuple[JudgedRender, ...]:
    """Measure the judged pictures that `evaluate hires` left in folders, of all sizes and growing methods."""
    return tuple(one for folder in folders for one in _read_folder(folder, model, seed))


def describe_judged(
    renders: Sequence[JudgedRender], planted: Values
) -> tuple[tuple[Measurement, ...], tuple[str, ...], dict[str, float]]:
    """Return rows, notes, and the limits that may be used: ordered on planted faults, quiet on clean renders."""
    rows: list[Measurement] = []
    notes = ["a render with a phantom is nearly always one of another method: these areas also tell methods apart"]
    limits: dict[str, float] = {}
    for name, defects in SPEAKERS.items():
        limit = choose_on_renders(name, renders)
        found = _judge(name, limit, renders)
        kept = [_find_planted(name, limit, defect, planted) for defect in defects]
        usable = [d for d, row in zip(defects, kept, strict=True) if row.met and _orders(name, d, planted)]
        rows += [*found, *kept]
        quiet = next(row for row in found if row.aim_is == "most").met
        if usable and quiet:
            limits[name] = limit
            notes.append(f"{name} is usable on renders for {', '.join(usable)}")
        else:
            why = "its limit misses planted faults" if quiet else "clean renders lie beyond its limit"
            notes.append(f"{name} is a number without a verdict on renders: {why}")
    return tuple(rows), tuple(notes), limits


def choose_on_renders(name: str, renders: Sequence[JudgedRender]) -> float:
    """Return the most sensitive limit that few clean renders of the engine lie beyond, on the prompts for choosing.

    Few enough to be 95 % sure that no more than `MOST_FALSE` percent of all do; where there are too few renders
    to be sure of that, none.
    """
    clean = [one.values[name] for one in renders if one.chosen_on and one.method == COHESIVE and not one.phantoms]
    worst = sorted(clean, reverse=MEASURES[name].bad == "high")
    beyond = [count for count in range(len(clean)) if wilson_interval(count, len(clean), confidence=SURE)[1] <= _MOST]
    return float(worst[max(beyond, default=0)])


def _read_folder(folder: Path, model: LatentModel, seed: int) -> list[JudgedRender]:
    wanted = HiresEvaluation(seed=seed, out=folder)
    studio = open_studio(wanted, model)
    judge = Judge(studio.store, load_watcher())
    methods = list_methods(GROWN, model)
    found: list[JudgedRender] = []
    for area, count in wanted.pictures.items():
        size = find_size(area, model.contract.native)
        for prompt in list_prompts(count, seed=seed, aspect=size.width / size.height):
            base = studio.find_base(prompt, size)
            made = {name: studio.find(name, method, prompt, size) for name, method in methods.items()}
            if base is None:
                continue
            case = Case(prompt, size, base, {name: one for name, one in made.items() if one is not None})
            picture = studio.store.load(base["key"])
            for name, record in judge.find(case).items():
                seen = Evidence(studio.store.load(case.made[name]["key"]), picture)
                values = {speaker: MEASURES[speaker].read(seen) for speaker in SPEAKERS}
                found.append(JudgedRender(name, prompt.number, len(record["phantoms"]), values))
    return found


def _judge(name: str, limit: float, renders: Sequence[JudgedRender]) -> list[Measurement]:
    """Return the area over all renders, the limit, and who is beyond it on the prompts for judging."""
    pairs = np.array([[one.values[name], one.phantoms > 0] for one in renders])

    def measure(rows: np.ndarray) -> float:
        bad = rows[:, 1] > 0
        return measure_auc(name, rows[~bad, 0], rows[bad, 0]) if 0 < bad.sum() < len(rows) else float("nan")

    low, high = bootstrap_interval(pairs, measure)
    title = f"{name}: renders with a phantom against those without"
    rows = [Measurement(name=title, value=measure(pairs), unit="AUC", n=len(pairs), low=low, high=high)]
    rows.append(Measurement(name=f"{name}: limit on renders", value=limit, unit=MEASURES[name].unit, n=len(pairs)))
    rest = [one for one in renders if not one.chosen_on]
    clean = [one for one in rest if one.method == COHESIVE and not one.phantoms]
    rows.append(_share(f"{name}: clean renders of the engine called faulty", limit, name, clean))
    rows[-1] = replace(rows[-1], aim=MOST_FALSE, aim_is="most")
    others = [one for one in rest if one.method == "gobig" and not one.phantoms]
    rows.append(_share(f"{name}: gobig without a phantom called faulty", limit, name, others))
    rows.append(_share(f"{name}: renders with a phantom found", limit, name, [one for one in rest if one.phantoms]))
    return rows


def _share(title: str, limit: float, name: str, renders: Sequence[JudgedRender]) -> Measurement:
    beyond = sum(_is_beyond(name, one.values[name], limit) for one in renders)
    return measure_share(title, beyond, len(renders))


def _is_beyond(name: str, value: float, limit: float) -> bool:
    return value > limit if MEASURES[name].bad == "high" else value < limit


def _find_planted(name: str, limit: float, defect: str, planted: Values) -> Measurement:
    dose, unit = DEFECTS[defect].visible, DEFECTS[defect].unit
    values = planted[name, defect, dose]
    hits = sum(_is_beyond(name, float(value), limit) for value in values)
    title = f"{name}: planted {defect} of {dose:g} {unit} found at the limit on renders"
    return measure_share(title, hits, len(values), aim=LEAST_FOUND)


def _orders(name: str, defect: str, planted: Values) -> bool:
    return measure_auc(name, planted[name, "", 0.0], planted[name, defect, DEFECTS[defect].visible]) >= LEAST_AUC
