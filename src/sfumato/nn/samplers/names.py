"""The names of samplers: ours, A1111's and k-diffusion's, and the schedules they imply.

Knows which solver a name means, not how it works. To add a sampler, add a row to `SAMPLERS`
(docs/howto/add-a-sampler.md). Start reading at `SAMPLERS`, then `make_sampler`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sfumato.core.errors import RequestError
from sfumato.nn.samplers.dpmpp import dpmpp_2m, make_dpmpp_2m_sde, make_dpmpp_sde
from sfumato.nn.samplers.euler import euler, heun, lcm, make_ancestral
from sfumato.nn.samplers.state import Advance, Sampler
from sfumato.nn.samplers.unipc import make_unipc
from sfumato.nn.schedules import SCHEDULES, check_schedule

# UniPC's authors advise order 2 for guided sampling and 3 without guidance; pictures are guided.
_UNIPC_ORDER = 2
# What k-diffusion's functions and the oldest front ends put before a name.
_PREFIXES = ("sample_", "k_")


@dataclass(frozen=True)
class SamplerName:
    """Hold one row of the table: A1111's label, other spellings, solver and defaults.

    `make` builds the solver for an eta; `eta` is the usual one, None where eta means nothing.
    `preferred` is the schedule that "Automatic" stands for.
    """

    label: str
    make: Callable[[float], Advance]
    aliases: tuple[str, ...] = ()
    stages: int = 1
    eta: float | None = None
    preferred: str = "model"
    stochastic: bool = False


def _fixed(solver: Advance) -> Callable[[float], Advance]:
    return lambda _eta: solver


SAMPLERS: dict[str, SamplerName] = {
    "euler": SamplerName("Euler", _fixed(euler)),
    "euler_a": SamplerName("Euler a", make_ancestral, ("euler_ancestral",), eta=1.0),
    "heun": SamplerName("Heun", _fixed(heun), stages=2),
    "dpmpp_2m": SamplerName("DPM++ 2M", _fixed(dpmpp_2m), preferred="karras"),
    "dpmpp_2m_sde": SamplerName(
        "DPM++ 2M SDE", make_dpmpp_2m_sde, ("dpmpp_2m_sde_gpu",), eta=1.0, preferred="exponential"
    ),
    "dpmpp_2m_sde_heun": SamplerName(
        "DPM++ 2M SDE Heun", lambda eta: make_dpmpp_2m_sde(eta, "heun"), eta=1.0, preferred="exponential"
    ),
    "dpmpp_sde": SamplerName("DPM++ SDE", make_dpmpp_sde, ("dpmpp_sde_gpu",), stages=2, eta=1.0, preferred="karras"),
    "ddim": SamplerName("DDIM", make_ancestral, eta=0.0, preferred="ddim"),
    "unipc": SamplerName("UniPC", _fixed(make_unipc(_UNIPC_ORDER)), ("uni_pc", "uni_pc_bh2")),
    "lcm": SamplerName("LCM", _fixed(lcm), preferred="trailing", stochastic=True),
}


def make_sampler(name: str, *, eta: float | None = None) -> Sampler:
    """Find a sampler by any of its names, with or without a schedule at the end.

    "DPM++ 2M Karras" gives the sampler with `schedule` set to "karras". `eta` scales the noise of
    a stochastic step (0 none, 1 as usual) where a sampler has one.

    Raises:
        RequestError: the name is unknown, or eta is negative, or the sampler has no eta.
    """
    row, schedule = _find_row(name)
    if eta is not None and (row.eta is None or eta < 0 or not math.isfinite(eta)):
        do = "Leave eta out." if row.eta is None else "Use a number from 0 up; 1 is usual."
        raise RequestError(f"eta does not fit the sampler {row.label}", got=eta, do=do)
    used = row.eta if eta is None else eta
    return Sampler(
        label=row.label,
        solver=row.make(used or 0.0),
        stages=row.stages,
        stochastic=row.stochastic or bool(used),
        preferred=row.preferred,
        schedule=schedule,
    )


def choose_schedule(sampler: Sampler, schedule: str = "automatic") -> str:
    """Return our name of the schedule to use with a sampler.

    "automatic" is the schedule in the sampler's own name, else the one A1111 prefers for it.

    Raises:
        RequestError: the schedule is unknown, or the sampler's name says another one.
    """
    if schedule.strip().casefold() == "automatic":
        return sampler.schedule or sampler.preferred
    wanted = check_schedule(schedule)
    if sampler.schedule not in (None, wanted):
        raise RequestError(
            f"the sampler's name asks for {sampler.schedule}, the schedule for {wanted}",
            got=schedule,
            do="Say the schedule once, or use automatic.",
        )
    return wanted


def list_samplers() -> tuple[str, ...]:
    """Return the names of all samplers as A1111 writes them."""
    return tuple(row.label for row in SAMPLERS.values())


def _find_row(name: str) -> tuple[SamplerName, str | None]:
    wanted = _letters(_without_prefixes(name))
    rows = _spellings()
    if wanted in rows:
        return rows[wanted], None
    for ours, schedule in SCHEDULES.items():
        for spelling in (ours, schedule.label):
            stem = wanted.removesuffix(_letters(spelling))
            if stem != wanted and stem in rows:
                return rows[stem], ours
    raise RequestError(
        "unknown sampler",
        got=name,
        do=f"Use one of: {', '.join(list_samplers())}; a schedule may follow, as in DPM++ 2M Karras.",
    )


def _without_prefixes(name: str) -> str:
    bare = name.strip().casefold()
    for prefix in _PREFIXES:
        bare = bare.removeprefix(prefix)
    return bare


def _spellings() -> dict[str, SamplerName]:
    return {_letters(word): row for ours, row in SAMPLERS.items() for word in (ours, row.label, *row.aliases)}


def _letters(name: str) -> str:
    # "DPM++ 2M" and "dpmpp_2m" are the same name: two plus signs are read as two p.
    return "".join(character for character in name.casefold().replace("+", "p") if character.isalnum())
