"""Faults of bodies: limbs too many, gone, torn off, swapped or too long. Start reading at `third_arm`."""

from __future__ import annotations

import cmath
import math
import random
from dataclasses import replace

from sfumato.world.people.body import BodyShape, Bone, Limb
from sfumato.world.people.hand import HandShape, make_hand

Faulty = tuple[BodyShape, str, tuple[str, ...]]


def third_arm(body: BodyShape, rng: random.Random, amount: float) -> Faulty:
    """Add an arm below another one, turned away from it by up to 60 degrees."""
    arm = rng.choice(body.arms)
    outward = -1.0 if arm.side == "right" else 1.0
    down = math.degrees(
        math.atan2((arm.upper.end - arm.upper.start).real * outward, (arm.upper.end - arm.upper.start).imag)
    )
    # An arm that hangs gets its double above, a raised one below, so that both are seen.
    turn = math.radians(30 + 30 * amount) * outward * (-1.0 if down < 60 else 1.0)
    extra = _move_limb(arm, 0.06j * body.height, turn)
    return replace(body, arms=(*body.arms, replace(extra, name="arm_extra"))), "arm_extra", ("arm_extra",)


def third_leg(body: BodyShape, rng: random.Random, amount: float) -> Faulty:
    """Add a leg outside one of the two, leaning away."""
    leg = rng.choice(body.legs)
    outward = -1.0 if leg.side == "right" else 1.0
    turn = -outward * math.radians(14 + 12 * amount)
    extra = replace(_move_limb(leg, complex(outward * 0.012 * body.height, 0.01 * body.height), turn), name="leg_extra")
    return replace(body, legs=(extra, *body.legs)), "leg_extra", ("leg_extra",)


def missing_limb(body: BodyShape, rng: random.Random, amount: float) -> Faulty:
    """Take an arm or a leg away, with nothing that explains it; a small `amount` leaves the upper half."""
    limbs = [limb for limb in (*body.arms, *body.legs) if body.held_at is None or limb.side != body.person.arm_side]
    lost = rng.choice(limbs)
    if amount < 0.5:
        level = "elbow" if lost.name.startswith("arm") else "knee"
        keep = replace(lost, ends_at=level)
        return _with_limb(body, lost, keep), lost.name, (lost.name,)
    return (
        replace(
            body, arms=tuple(a for a in body.arms if a != lost), legs=tuple(leg for leg in body.legs if leg != lost)
        ),
        lost.name,
        (lost.name,),
    )


def detached_hand(body: BodyShape, rng: random.Random, amount: float) -> Faulty:
    """Tear a hand off along its forearm, leaving a gap of up to 0.09 body heights."""
    arm = rng.choice(body.arms)
    assert arm.hand is not None, "only whole arms reach this fault"
    away = arm.hand.along * (0.045 + 0.045 * amount) * body.height
    hand = _move_hand(arm.hand, away, arm.hand.wrist, 0.0)
    return _with_limb(body, arm, replace(arm, hand=hand)), f"{arm.name}/hand", (f"{arm.name}/hand",)


def swapped_hands(body: BodyShape, rng: random.Random, amount: float) -> Faulty:
    """Give each arm the other side's hand: thumbs point the wrong way."""
    del rng, amount  # there is one way to swap, and no half of it
    arms: list[Limb] = []
    for arm in body.arms:
        assert arm.hand is not None, "only whole arms reach this fault"
        spec = replace(arm.hand.spec, side="left" if arm.hand.spec.side == "right" else "right")
        arms.append(replace(arm, hand=make_hand(spec, arm.hand.wrist, arm.hand.along, arm.hand.size)))
    return replace(body, arms=tuple(arms)), "", tuple(f"{arm.name}/hand" for arm in arms)


def long_bone(body: BodyShape, rng: random.Random, amount: float) -> Faulty:
    """Lengthen an upper or lower arm by 40 to 100 percent and move what hangs on it."""
    arm, which = rng.choice(body.arms), rng.choice(("upper", "lower"))
    factor = 1.4 + 0.6 * amount
    bone = arm.upper if which == "upper" else arm.lower
    shift = (bone.end - bone.start) * (factor - 1.0)
    longer = replace(bone, end=bone.end + shift)
    hand = _move_hand(arm.hand, shift, arm.hand.wrist, 0.0) if arm.hand else None
    if which == "upper":
        lower = replace(arm.lower, start=arm.lower.start + shift, end=arm.lower.end + shift)
        new = replace(arm, upper=longer, lower=lower, hand=hand)
    else:
        new = replace(arm, lower=longer, hand=hand)
    return _with_limb(body, arm, new), f"{arm.name}/{which}", (f"{arm.name}/{which}",)


def _with_limb(body: BodyShape, old: Limb, new: Limb) -> BodyShape:
    return replace(
        body,
        arms=tuple(new if a == old else a for a in body.arms),
        legs=tuple(new if leg == old else leg for leg in body.legs),
    )


def _move_limb(limb: Limb, shift: complex, turn: float) -> Limb:
    pivot, spin = limb.upper.start, cmath.rect(1.0, turn)

    def move(point: complex) -> complex:
        return pivot + (point - pivot) * spin + shift

    def move_bone(bone: Bone) -> Bone:
        return replace(bone, start=move(bone.start), end=move(bone.end))

    hand = _move_hand(limb.hand, shift, pivot, turn) if limb.hand else None
    foot = move_bone(limb.foot) if limb.foot else None
    return replace(limb, upper=move_bone(limb.upper), lower=move_bone(limb.lower), hand=hand, foot=foot)


def _move_hand(hand: HandShape, shift: complex, pivot: complex, turn: float) -> HandShape:
    spin = cmath.rect(1.0, turn)

    def move(point: complex) -> complex:
        return pivot + (point - pivot) * spin + shift

    digits = tuple(replace(d, joints=tuple(move(j) for j in d.joints)) for d in hand.digits)
    creases = tuple((move(a), move(b), move(c)) for a, b, c in hand.creases)
    webs = tuple((move(a), move(b), r) for a, b, r in hand.webs)
    return replace(
        hand,
        wrist=move(hand.wrist),
        along=hand.along * spin,
        palm=tuple(move(p) for p in hand.palm),
        digits=digits,
        creases=creases,
        webs=webs,
    )
