"""The body as geometry: joints, limbs, torso and head of a posed person, in scene units.

Frontal puppets: the person's right arm is on the left of the picture. Proportions follow the eight-head canon, with
the head a little larger so that a face survives at 128 px. Knows no colours and no ink. Start reading at `make_body`.
"""

from __future__ import annotations

import cmath
import math
import random
from dataclasses import dataclass

from sfumato.world.people.hand import HandShape, HandSpec, make_hand
from sfumato.world.people.person import Person, Placement

HEAD = 1 / 6.3
"""Head height as a share of body height (1/7.5 in life; larger so that faces keep pixels)."""


CHILD_HEAD = 1.36
"""How many times larger a child's head is, as a share of body height."""
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
        """Return the bone as the four values that ink draws."""
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


@dataclass(frozen=True)
class _Trunk:
    """What limbs hang on: chest and hip points, half widths, the unit h, the ground, and the digits of a hand."""

    person: Person
    chest: complex
    hip: complex
    shoulder_w: float
    hip_w: float
    h: float
    ground: float
    digit_count: int


def make_body(person: Person, placement: Placement, *, digit_count: int) -> BodyShape:
    """Build the geometry of a person at a place in the scene."""
    rng = random.Random(f"body {person.wobble}")
    h, x = placement.height, placement.x
    man = person.kind == "man"
    hip = complex(x, placement.ground - (0.30 if person.pose == "sitting" else 0.475) * h)
    chest = hip - 0.315j * h
    widths = ((0.122 if man else 0.100) * h, (0.070 if man else 0.078) * h)
    if person.age == "child":
        widths = (0.100 * h, 0.068 * h)
    trunk = _Trunk(person, chest, hip, *widths, h, placement.ground, digit_count)
    head_ry = HEAD * h / 2 * (CHILD_HEAD if person.age == "child" else 1.0)
    head = complex(x + rng.uniform(-0.004, 0.004) * h, chest.imag - NECK * h - head_ry)
    nape, throat = chest + 0.012j * h, head + 0.6j * head_ry
    neck = Bone(nape, throat, 0.036 * h, 0.031 * h) if man else Bone(nape, throat, 0.029 * h, 0.026 * h)
    arms = tuple(_make_arm(trunk, side, rng) for side in ("right", "left"))
    legs = tuple(_make_leg(trunk, side, rng) for side in ("right", "left"))
    held_at = _find_grip(person, arms)
    return BodyShape(person, h, head, head_ry * 0.80, head_ry, neck, _make_torso(trunk), hip, arms, legs, held_at)


def _find_grip(person: Person, arms: tuple[Limb, ...]) -> complex | None:
    if person.pose != "holding":
        return None
    acting = next(arm for arm in arms if arm.side == person.arm_side)
    return acting.hand.place(0.05, 0.42) if acting.hand else None


def _make_torso(trunk: _Trunk) -> tuple[complex, ...]:
    x, h, top = trunk.hip.real, trunk.h, trunk.chest.imag
    waist_w = (0.080 if trunk.person.kind == "man" else 0.063) * h
    right = [
        complex(x - 0.036 * h, top - 0.014 * h),
        complex(x - trunk.shoulder_w * 0.72, top),
        complex(x - trunk.shoulder_w * 0.99, top + 0.024 * h),
        complex(x - trunk.shoulder_w * 0.92, top + 0.09 * h),
        complex(x - waist_w, top + 0.62 * (trunk.hip.imag - top)),
        complex(x - trunk.hip_w - 0.012 * h, trunk.hip.imag + 0.025 * h),
    ]
    left = [complex(2 * x - p.real, p.imag) for p in reversed(right)]
    return tuple(right + left)


def _outward(side: str, degrees: float) -> complex:
    """Return the unit direction `degrees` from straight down, leaning away from the body's middle."""
    lean = math.radians(degrees)
    x = math.sin(lean) * (-1.0 if side == "right" else 1.0)
    return complex(x, math.cos(lean))


def _make_arm(trunk: _Trunk, side: str, rng: random.Random) -> Limb:
    person, h = trunk.person, trunk.h
    acting, other = _ARMS[person.pose]
    upper_deg, lower_deg = acting if side == person.arm_side else other
    upper_deg += rng.uniform(-5, 5)
    lower_deg += rng.uniform(-7, 7)
    outward = -1.0 if side == "right" else 1.0
    shoulder = trunk.chest + complex(outward * (trunk.shoulder_w - 0.024 * h), 0.033 * h)
    elbow = shoulder + _outward(side, upper_deg) * 0.168 * h
    forearm = _outward(side, lower_deg)
    wrist = elbow + forearm * 0.140 * h
    spec = _choose_hand(trunk, side, raised=forearm.imag < -0.2, wobble=rng.randrange(1 << 30))
    along = forearm * cmath.rect(1.0, math.radians(rng.uniform(-8, 8)))
    hand = make_hand(spec, wrist, along, (0.118 if trunk.digit_count == 5 else 0.128) * h)
    upper = Bone(shoulder, elbow, 0.034 * h, 0.027 * h)
    lower = Bone(elbow, wrist, 0.026 * h, 0.019 * h)
    return _end_limb(Limb(f"arm_{side}", side, upper, lower, hand=hand), person)


def _choose_hand(trunk: _Trunk, side: str, *, raised: bool, wobble: int) -> HandSpec:
    holding = trunk.person.pose == "holding"
    return HandSpec(
        side=side,
        view="palm" if raised and not holding else "back",
        gesture="grip" if holding and side == trunk.person.arm_side else "open" if raised else "relaxed",
        count=trunk.digit_count,
        spread=1.0 if raised else 0.1,
        wobble=wobble,
    )


def _make_leg(trunk: _Trunk, side: str, rng: random.Random) -> Limb:
    person, h, ground = trunk.person, trunk.h, trunk.ground
    outward = -1.0 if side == "right" else 1.0
    top = trunk.hip + complex(outward * trunk.hip_w * 0.60, 0.0)
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
