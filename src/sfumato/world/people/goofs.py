"""Plants faults in a scene's geometry, each with its truth: what generated people get wrong, on demand.

A fault works on shapes between planning and drawing, so drawing knows nothing of faults. What is an exception (an
amputee, a glove, a cartoon hand) is never a fault. Start reading at `plant_fault`; `FAULTS` lists the kinds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from sfumato.world.people.body import BodyShape
from sfumato.world.people.goofs_hand import extra_digit, fused_digits, missing_digit, split_digit
from sfumato.world.people.goofs_limb import detached_hand, long_bone, missing_limb, swapped_hands, third_arm, third_leg
from sfumato.world.people.hand import HandShape
from sfumato.world.shapes import Fault, Shapes

T = TypeVar("T")
HandFault = Callable[[HandShape, random.Random, float], tuple[HandShape, str, tuple[str, ...]]]
BodyFault = Callable[[BodyShape, random.Random, float], tuple[BodyShape, str, tuple[str, ...]]]

HAND_FAULTS: dict[str, HandFault] = {
    "extra_digit": extra_digit,
    "missing_digit": missing_digit,
    "fused_digits": fused_digits,
    "split_digit": split_digit,
}
BODY_FAULTS: dict[str, BodyFault] = {
    "third_arm": third_arm,
    "third_leg": third_leg,
    "missing_limb": missing_limb,
    "detached_hand": detached_hand,
    "swapped_hands": swapped_hands,
    "long_bone": long_bone,
}
FAULTS = (*HAND_FAULTS, *BODY_FAULTS)


@dataclass(frozen=True)
class _Site:
    """A hand that can carry a fault: of a close-up (person < 0) or of an arm of a person."""

    person: int
    index: int
    hand: HandShape
    path: str


def plant_fault(shapes: Shapes, kind: str, rng: random.Random, *, amount: float = 1.0) -> Shapes | None:
    """Plant one fault; None where the scene has nothing it applies to.

    `amount` in (0, 1] is how gross it is: the gap of an extra or detached part, the share of two digits that is fused,
    how deep a split goes, how much too long a bone is.
    """
    if kind in HAND_FAULTS:
        return _plant_in_hand(shapes, kind, rng, amount)
    bodies = [i for i, body in enumerate(shapes.bodies) if body.person.exception is None]
    if not bodies:
        return None
    index = rng.choice(bodies)
    body, where, parts = BODY_FAULTS[kind](shapes.bodies[index], rng, amount)
    fault = Fault(kind, f"person{index + 1}/{where}" if where else f"person{index + 1}", parts, amount)
    return replace(shapes, bodies=_swap(shapes.bodies, index, body), faults=(*shapes.faults, fault))


def _plant_in_hand(shapes: Shapes, kind: str, rng: random.Random, amount: float) -> Shapes | None:
    sites = [
        site
        for site in _find_sites(shapes)
        if len([d for d in site.hand.digits if not d.folded and d.name != "thumb"]) >= 2
    ]
    if not sites:
        return None
    site = rng.choice(sites)
    hand, _, parts = HAND_FAULTS[kind](site.hand, rng, amount)
    fault = Fault(kind, site.path, parts, amount)
    faults = (*shapes.faults, fault)
    if site.person < 0:
        return replace(shapes, hands=_swap(shapes.hands, site.index, hand), faults=faults)
    body = shapes.bodies[site.person]
    arms = _swap(body.arms, site.index, replace(body.arms[site.index], hand=hand))
    return replace(shapes, bodies=_swap(shapes.bodies, site.person, replace(body, arms=arms)), faults=faults)


def _find_sites(shapes: Shapes) -> list[_Site]:
    sites = [_Site(-1, i, hand, f"hand{i + 1}") for i, hand in enumerate(shapes.hands) if not hand.spec.missing]
    for person, body in enumerate(shapes.bodies):
        for index, arm in enumerate(body.arms):
            if arm.hand is not None and not arm.ends_at:
                sites.append(_Site(person, index, arm.hand, f"person{person + 1}/{arm.name}/hand"))
    return sites


def _swap(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    return (*items[:index], item, *items[index + 1 :])
