"""How fast this machine rendered before, so that the next plan can say how long it will take.

A render teaches one factor on top of the probe, or of the guess where nothing was probed, and how long
opening took. Knows no request. Start reading at `load_cost`, then `save_pace`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sfumato.render.plan.budget import GUESSES, CostModel
from sfumato.workflows.forecast.calibration_store import Known, load_known, save_known

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract
    from sfumato.render.progress import StageTrace


# Three digits of a share: the fourth of a clock is noise.
_DIGITS = 3


def measure_error(planned: float, actual: float | None) -> float | None:
    """Return (planned - actual) / actual: above 0 too much was planned, below too little; None without a number."""
    return round((planned - actual) / actual, _DIGITS) if actual else None


# A new long render counts as much as all before it: machines change more often than they are noisy.
NEW_SHARE = 0.5
# What the first steps of a process cost more is a large share of a render that is this short.
SHORT_S = 5.0
# A machine that much slower or faster than the guess is a machine that was asleep or a clock that jumped.
SLOWEST, FASTEST = 1000.0, 0.001
# Shorter runs measure warming up.
SHORTEST_S = 0.5


def load_cost(contract: ModelContract, place: str) -> CostModel:
    """Return what the parts of a render take: probed or guessed, at the pace of earlier renders if there were any."""
    return make_cost(load_known(contract, place), GUESSES[contract.family])


def make_cost(known: Known, guess: CostModel) -> CostModel:
    """Join what is known with the guess for the rest."""
    cost = known.cost or guess
    if known.pace is not None:
        cost = cost.scaled(known.pace)
    return cost if known.open_s is None else replace(cost, open_s=known.open_s)


def save_pace(
    contract: ModelContract, place: str, trace: tuple[StageTrace, ...], *, open_s: float | None = None
) -> None:
    """Remember how long a render took beside what was planned, and how long opening took where it was opened."""
    known = load_known(contract, place)
    took, planned = sum(stage.seconds for stage in trace), sum(stage.planned_s for stage in trace)
    if open_s is not None:
        known = replace(known, open_s=max(FASTEST, open_s))
    if took >= SHORTEST_S and planned > 0:
        # A probe is worth as much as a render; a guess is not.
        before = known.pace or (1.0 if known.cost else None)
        known = replace(known, pace=_learn(before, took, planned))
    save_known(contract, place, known)


def _learn(before: float | None, took_s: float, planned_s: float) -> float:
    """Return the factor after a render that was planned with the factor `before`; longer renders teach more."""
    now = min(SLOWEST, max(FASTEST, (before or 1.0) * took_s / planned_s))
    if before is None:
        return now
    share = NEW_SHARE * took_s / (took_s + SHORT_S)
    return before ** (1 - share) * now**share
