"""The body as geometry: joints, limbs, torso and head of a posed person, in scene units.

Frontal puppets: the person's right arm is on the left of the picture. Proportions follow the eight-head canon, with
the head a little larger so that a face survives at 128 px. Knows no colours and no ink. Start at `make_body`.
"""

from __future__ import annotations

import cmath
import math
import random
from dataclasses import dataclass

from sfumato.world.hand import HandShape, HandSpec, make_hand
from sfumato.world.person import Person, Placement

HEAD = 1 / 6.3
"""Head height as a share of body height (1/7.5 in life; larger so that faces keep pixels)."""


NECK = 0.027
"""Height of the neck that shows between shoulders and chin, as a share of body height."""


@dataclass(frozen=True)
class Bone:
    """A tapered segment from `start` to `end` with a radius at each."""

    start: complex
    end: complex
    r_start: float
    r_end: float

    def tube(self) -> tuple[complex, complex, float, float]:
        return self.start, self.end, self.r_start, self.r_end


@dataclass(frozen=True)
class Limb:
    """An arm or leg: name such as arm_left, two bones, and a hand or foot unless it ends before.

    `ends_at` is "" for a whole limb, else the level (elbow, wrist, shoulder, knee, hip) where it ends; `made_of` is
    "flesh" or "prosthesis" below that level.
    """

    name: str
    side: str
    upper: Bone
    lower: Bone
    hand: HandShape | None = None
    foot: Bone | None = None
    ends_at: str = ""
    made_of: str = "flesh"


@dataclass(frozen=True)
class BodyShape:
    """A posed person: head oval, neck, torso outline, limbs, and the unit `height` everything scales with."""

    person: Person
    height: float
    head: complex
    head_rx: float
    head_ry: float
    neck: Bone
    torso: tuple[complex, ...]
    hip: complex
    arms: tuple[Limb, ...]
    legs: tuple[Limb, ...]
    held_at: complex | None = None


# Degrees from straight down, outwards positive: (upper, lower) per arm; "acting" is the arm a pose is about.
_ARM_REST = (11.0, 5.0)
_ARMS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "standing": (_ARM_REST, _ARM_REST),
    "walking": ((24.0, 38.0), (20.0, -8.0)),
    "sitting": ((16.0, -14.0), (16.0, -14.0)),
    "waving": ((124.0, 176.0), _ARM_REST),
    "arms up": ((142.0, 166.0), (142.0, 166.0)),
    "holding": ((30.0, 164.0), _ARM_REST),
}


def make_body(person: Person, placement: Placement, *, digit_count: int) -> BodyShape:
    """Build the geometry of a person at a place in the scene."""
    rng = random.Random(f"body {person.wobble}")
    h = placement.height
    man = person.kind == "man"
    sitting = person.pose == "sitting"
    shoulder_w = (0.122 if man else 0.100) * h
    hip_w = (0.070 if man else 0.078) * h
    hip_y = placement.ground - (0.30 if sitting else 0.475) * h
    hip = complex(placement.x, hip_y)
    shoulder_y = hip_y - 0.315 * h
    head_ry = HEAD * h / 2
    head = complex(placement.x + rng.uniform(-0.004, 0.004) * h, shoulder_y - NECK * h - head_ry)
    neck = Bone(complex(placement.x, shoulder_y + 0.012 * h), head + 0.6j * head_ry, 0.036 * h if man else 0.029 * h, 0.031 * h if man else 0.026 * h)
    torso = _make_torso(placement.x, shoulder_y, hip_y, (shoulder_w, hip_w), h, man)
    arms = tuple(_make_arm(person, side, complex(placement.x, shoulder_y), shoulder_w, h, digit_count, rng) for side in ("right", "left"))
    legs = tuple(_make_leg(person, side, hip, hip_w, h, placement.ground, rng) for side in ("right", "left"))
    held_at = None
    if person.pose == "holding":
        acting = next(arm for arm in arms if arm.side == person.arm_side)
        held_at = acting.hand.place(0.05, 0.42) if acting.hand else None
    return BodyShape(person, h, head, head_ry * 0.80, head_ry, neck, torso, hip, arms, legs, held_at)


def _make_torso(x: float, top: float, hip: float, widths: tuple[float, float], h: float, man: bool) -> tuple[complex, ...]:
    shoulder_w, hip_w = widths
    waist_w = (0.080 if man else 0.063) * h
    waist = top + 0.62 * (hip - top)
    right = [
        complex(x - 0.036 * h, top - 0.014 * h),
        complex(x - shoulder_w * 0.72, top + 0.000 * h),
        complex(x - shoulder_w * 0.99, top + 0.024 * h),
        complex(x - shoulder_w * 0.92, top + 0.09 * h),
        complex(x - waist_w, waist),
        complex(x - hip_w - 0.012 * h, hip + 0.025 * h),
    ]
    left = [complex(2 * x - p.real, p.imag) for p in reversed(right)]
    return tuple(right + left)


def _outward(side: str, degrees: float) -> complex:
    """Return the unit direction `degrees` from straight down, leaning away from the body's middle."""
    lean = math.radians(degrees)
    x = math.sin(lean) * (-1.0 if side == "right" else 1.0)
    return complex(x, math.cos(lean))


def _make_arm(person: Person, side: str, chest: complex, shoulder_w: float, h: float, digit_count: int, rng: random.Random) -> Limb:
    acting, other = _ARMS[person.pose]
    acts = side == person.arm_side
    upper_deg, lower_deg = acting if acts else other
    upper_deg += rng.uniform(-5, 5)
    lower_deg += rng.uniform(-7, 7)
    outward = -1.0 if side == "right" else 1.0
    shoulder = chest + complex(outward * (shoulder_w - 0.024 * h), 0.033 * h)
    elbow = shoulder + _outward(side, upper_deg) * 0.168 * h
    forearm = _outward(side, lower_deg)
    wrist = elbow + forearm * 0.140 * h
    raised = forearm.imag < -0.2
    spec = HandSpec(
        side=side,
        view="palm" if raised and person.pose != "holding" else "back",
        gesture="grip" if person.pose == "holding" and acts else "open" if raised else "relaxed",
        count=digit_count,
        spread=1.0 if raised else 0.1,
        wobble=rng.randrange(1 << 30),
    )
    hand = make_hand(spec, wrist, forearm * cmath.rect(1.0, math.radians(rng.uniform(-8, 8))), (0.118 if digit_count == 5 else 0.128) * h)
    upper = Bone(shoulder, elbow, 0.034 * h, 0.027 * h)
    lower = Bone(elbow, wrist, 0.026 * h, 0.019 * h)
    return _end_limb(Limb(f"arm_{side}", side, upper, lower, hand=hand), person)


def _make_leg(person: Person, side: str, hip: complex, hip_w: float, h: float, ground: float, rng: random.Random) -> Limb:
    outward = -1.0 if side == "right" else 1.0
    top = hip + complex(outward * hip_w * 0.60, 0.0)
    if person.pose == "sitting":
        knee = top + complex(outward * 0.030 * h, 0.075 * h)
        ankle = complex(knee.real + outward * 0.008 * h, ground - 0.030 * h)
    else:
        stride = {"walking": 13.0 if side == person.arm_side else 6.0}.get(person.pose, 3.0)
        knee = top + _outward(side, stride + rng.uniform(-1.5, 1.5)) * 0.225 * h
        back = 0.035 * h if person.pose == "walking" and side == person.arm_side else 0.0
        ankle = complex(knee.real + outward * 0.006 * h, ground - 0.030 * h - back)
    foot = Bone(ankle + 0.008j * h, ankle + complex(outward * 0.030 * h, 0.020 * h), 0.021 * h, 0.016 * h)
    upper = Bone(top, knee, 0.052 * h, 0.036 * h)
    lower = Bone(knee, ankle, 0.034 * h, 0.021 * h)
    return _end_limb(Limb(f"leg_{side}", side, upper, lower, foot=foot), person)


def _end_limb(limb: Limb, person: Person) -> Limb:
    """Shorten a limb where the person's exception says it ends."""
    exception = person.exception
    if exception is None or exception.limb != limb.name or exception.kind == "glove":
        return limb
    made_of = "prosthesis" if exception.kind == "prosthesis" else "flesh"
    return Limb(limb.name, limb.side, limb.upper, limb.lower, limb.hand, limb.foot, exception.level, made_of)
