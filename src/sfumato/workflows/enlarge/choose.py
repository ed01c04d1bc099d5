"""Which upscaler suits a picture: each fetched network is tried on parts of it whose truth is known, beside Lanczos.

Without the part `perceptual` the picture's outlines decide (`models.upscaler.find_upscaler`). Start reading at
`choose_for`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import ModelError
from sfumato.models.measures.perceptual import find_distance
from sfumato.models.parts.catalogue import advise_fetch, find_part
from sfumato.models.upscaler.find_upscaler import (
    PHOTOGRAPHS,
    ChosenUpscaler,
    choose_upscaler,
    find_named,
    list_networks,
)
from sfumato.models.upscaler.number_type import choose_number_type
from sfumato.models.upscaler.upscaler import load_network, load_state
from sfumato.workflows.enlarge.rehearse import Rehearsal, rehearse

if TYPE_CHECKING:
    from sfumato.core.resampling import Pixels
    from sfumato.models.measures.perceptual import PerceptualDistance

# Another network takes the place of x4plus only where it comes nearer to the picture by this share: by eye x4plus draws
# crisper, on 18 pictures that are not those of `evaluate upscale`.
_CLEARLY_NEARER = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class SuitedUpscaler:
    """Hold the upscaler of a picture, and how it did where the truth is known; None where that was not tried."""

    chosen: ChosenUpscaler
    rehearsal: Rehearsal | None = None


def choose_for(source: Pixels, *, networks_only: bool = False) -> SuitedUpscaler:
    """Return the upscaler that suits a picture, uint8 [height, width, 3]: a fetched network, or Lanczos.

    Lanczos is taken where it comes nearer to the picture than every network, unless only networks are allowed. Costs
    about six seconds of a core with all networks and the part `perceptual`.

    Raises:
        ModelError: only networks are allowed, and none was fetched.
    """
    names, distance = [name for name in list_networks() if find_part(name) is not None], find_distance()
    if networks_only and not names:
        raise ModelError("no upscaling network was fetched yet", do=advise_fetch([PHOTOGRAPHS]))
    if not names or distance is None:
        return SuitedUpscaler(chosen=choose_upscaler(None, source))
    tries = {name: rehearse_named(find_named(name), source, distance) for name in names}
    found = {name: done for name, done in tries.items() if done is not None}
    if not found:
        return SuitedUpscaler(chosen=choose_upscaler(None, source))
    nearest = min(found, key=lambda name: found[name].network)
    best = nearest
    if PHOTOGRAPHS in found and found[nearest].network > _CLEARLY_NEARER * found[PHOTOGRAPHS].network:
        best = PHOTOGRAPHS
    if not found[best].passed and found[nearest].passed:
        best = nearest
    if not found[best].passed and not networks_only:
        words = f"lanczos: on parts of the picture it comes nearer to it than {', '.join(found)} do; nothing drawn anew"
        return SuitedUpscaler(chosen=ChosenUpscaler(name=DEFAULTS.upscaler, words=words))
    chosen = find_named(best)
    words = f"{best}: chosen on {found[best].patches} parts of the picture, beside {_list_others(found, best)}"
    return SuitedUpscaler(
        chosen=ChosenUpscaler(name=chosen.name, weights=chosen.weights, sha256=chosen.sha256, words=words),
        rehearsal=found[best],
    )


def rehearse_named(chosen: ChosenUpscaler, source: Pixels, distance: PerceptualDistance) -> Rehearsal | None:
    """Try an upscaler on parts of a picture; None where it does not run by rows, or the picture is too small."""
    state = load_state(chosen.weights, chosen.sha256) if chosen.weights else None
    if state is None or chosen.weights is None:
        return None
    network = load_network(chosen.weights, chosen.sha256, choose_number_type(state, chosen.sha256))
    return rehearse(network, source, distance)


def _list_others(found: dict[str, Rehearsal], best: str) -> str:
    return ", ".join([*(name for name in found if name != best), "lanczos"])
