"""Faults of hands, as functions from a hand to a faulty hand, the place and the digits touched. Start reading at `extra_digit`."""

from __future__ import annotations

import cmath
import math
import random
from dataclasses import replace

from sfumato.world.people.hand import Digit, HandShape

Faulty = tuple[HandShape, str, tuple[str, ...]]


def extra_digit(hand: HandShape, rng: random.Random, amount: float) -> Faulty:
    """Add a finger between two neighbours, or beyond the last, and move the others apart by `amount`."""
    fingers = _raised_fingers(hand)
    slot = rng.randrange(len(fingers))
    first = fingers[slot]
    second = fingers[slot + 1] if slot + 1 < len(fingers) else None
    if second is not None:
        joints = tuple((a + b) / 2 for a, b in zip(first.joints, second.joints, strict=True))
        turn = math.radians(4.0 + 8.0 * amount)
    else:
        out = first.joints[0] - fingers[slot - 1].joints[0]
        joints = _turned(tuple(j + out * 0.75 for j in first.joints), _outwards(fingers) * math.radians(6 + 8 * amount))
        turn = 0.0
    new = replace(first, name="extra1", joints=joints, radii=tuple(r * 0.96 for r in first.radii))
    sign = _outwards(fingers)
    moved: list[Digit] = []
    for digit in hand.digits:
        if digit in fingers and turn:
            side = 1.0 if fingers.index(digit) > slot else -1.0
            digit = replace(digit, joints=_turned(digit.joints, sign * side * turn))
        moved.append(digit)
    at = moved.index(next(d for d in moved if d.name == first.name)) + 1
    return replace(hand, digits=(*moved[:at], new, *moved[at:])), "", ("extra1",)


def missing_digit(hand: HandShape, rng: random.Random, amount: float) -> Faulty:
    """Take a raised finger away; `amount` is how far its neighbours close the gap."""
    fingers = _raised_fingers(hand)
    lost = rng.choice(fingers)
    at, sign = fingers.index(lost), _outwards(fingers)
    kept: list[Digit] = []
    for digit in hand.digits:
        if digit == lost:
            continue
        if digit in fingers:
            side = 1.0 if fingers.index(digit) < at else -1.0
            digit = replace(digit, joints=_turned(digit.joints, sign * side * math.radians(5.0) * amount))
        kept.append(digit)
    return replace(hand, digits=tuple(kept)), "", (lost.name,)


def fused_digits(hand: HandShape, rng: random.Random, amount: float) -> Faulty:
    """Fuse two neighbours over the share `amount` of their length, from the base up."""
    fingers = _raised_fingers(hand)
    at = rng.randrange(len(fingers) - 1)
    first, second = fingers[at], fingers[at + 1]
    pull = 0.35 + 0.35 * amount
    a = tuple(
        p + ((q - p) / 2 * pull if i else 0) for i, (p, q) in enumerate(zip(first.joints, second.joints, strict=True))
    )
    b = tuple(
        q + ((p - q) / 2 * pull if i else 0) for i, (p, q) in enumerate(zip(first.joints, second.joints, strict=True))
    )
    new = {first.name: replace(first, joints=a), second.name: replace(second, joints=b)}
    digits = tuple(new.get(digit.name, digit) for digit in hand.digits)
    webs = tuple(
        (_along(a, t * amount), _along(b, t * amount), _radius_at(first, t * amount) * 0.92)
        for t in (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)
    )
    return replace(hand, digits=digits, webs=webs), "", (first.name, second.name)


def split_digit(hand: HandShape, rng: random.Random, amount: float) -> Faulty:
    """Fork a finger at its first joint; `amount` opens the fork."""
    digit = rng.choice(_raised_fingers(hand))
    turn = math.radians(9.0 + 13.0 * amount)
    pivot = digit.joints[1]
    left = tuple(pivot + (j - pivot) * cmath.rect(1, -turn) for j in digit.joints[1:])
    right = tuple(pivot + (j - pivot) * cmath.rect(1, turn) for j in digit.joints[1:])
    thinner = tuple(r * 0.86 for r in digit.radii[1:])
    trunk = replace(digit, joints=(digit.joints[0], *left), radii=(digit.radii[0], *thinner))
    branch = replace(digit, name="split1", joints=right, radii=thinner, first_segment=2)
    digits: list[Digit] = []
    for one in hand.digits:
        digits += [branch, trunk] if one == digit else [one]
    return replace(hand, digits=tuple(digits)), "", (digit.name, "split1")


def _raised_fingers(hand: HandShape) -> list[Digit]:
    return [digit for digit in hand.digits if not digit.folded and digit.name != "thumb"]


def _outwards(fingers: list[Digit]) -> float:
    """Return +1 where turning clockwise (in the picture) leads from the first finger to the last."""
    first, last = fingers[0], fingers[-1]
    axis = first.joints[-1] - first.joints[0]
    across = last.joints[0] - first.joints[0]
    return 1.0 if (axis.conjugate() * across).imag > 0 else -1.0


def _turned(joints: tuple[complex, ...], angle: float) -> tuple[complex, ...]:
    return tuple(joints[0] + (joint - joints[0]) * cmath.rect(1.0, angle) for joint in joints)


def _along(joints: tuple[complex, ...], share: float) -> complex:
    place = share * (len(joints) - 1)
    i = min(int(place), len(joints) - 2)
    return joints[i] + (joints[i + 1] - joints[i]) * (place - i)


def _radius_at(digit: Digit, share: float) -> float:
    place = share * (len(digit.radii) - 1)
    i = min(int(place), len(digit.radii) - 2)
    return digit.radii[i] + (digit.radii[i + 1] - digit.radii[i]) * (place - i)
