"""The hand as geometry: where palm, digits and nails are, for any side, view and gesture.

Local frame: v runs from the wrist (0) to the middle fingertip (1), u towards the thumb. It knows no colours and no ink.
Start reading at `make_hand`. Proportions are those of adult hands as drawn by textbooks (palm about half the length, middle
finger longest, segments about 0.45 : 0.30 : 0.25); anatomy notes of the project list what a critic needs to see.
"""

from __future__ import annotations

import cmath
import math
import random
from dataclasses import dataclass, field, replace

FINGERS = ("index", "middle", "ring", "little")
DIGITS = ("thumb", *FINGERS)
GESTURES = ("open", "fist", "pointing", "one", "two", "three", "four", "five", "grip", "relaxed")

_RAISED: dict[str, tuple[str, ...]] = {
    "open": DIGITS,
    "five": DIGITS,
    "relaxed": DIGITS,
    "four": FINGERS,
    "three": ("index", "middle", "ring"),
    "two": ("index", "middle"),
    "one": ("index",),
    "pointing": ("index",),
    "fist": (),
    "grip": (),
}
_CARTOON_RAISED: dict[str, tuple[str, ...]] = {
    "four": ("thumb", "index", "middle", "little"),
    "three": ("index", "middle", "little"),
}


@dataclass(frozen=True)
class HandSpec:
    """What a hand shows: `count` is the number of digits this style draws (5, or 4 in cartoons)."""

    side: str = "right"
    view: str = "palm"
    gesture: str = "open"
    count: int = 5
    spread: float = 1.0
    wobble: int = 0
    missing: tuple[str, ...] = ()

    def raised(self) -> tuple[str, ...]:
        """Return the digits held out, in order from the thumb."""
        names = digit_names(self.count)
        table = _CARTOON_RAISED.get(self.gesture) if self.count == 4 else None
        wanted = table if table is not None else _RAISED[self.gesture]
        return tuple(name for name in names if name in wanted and name not in self.missing)


@dataclass(frozen=True)
class Digit:
    """One digit in scene units: `joints` from base to tip, a radius at each joint, and what shows of it."""

    name: str
    joints: tuple[complex, ...]
    radii: tuple[float, ...]
    folded: bool = False
    nail: bool = False
    first_segment: int = 1

    def bones(self) -> tuple[tuple[complex, complex, float, float], ...]:
        """Return the tube of each segment, base first."""
        return tuple(
            (self.joints[i], self.joints[i + 1], self.radii[i], self.radii[i + 1]) for i in range(len(self.joints) - 1)
        )


@dataclass(frozen=True)
class HandShape:
    """A hand placed in the scene. `webs` are patches (centre, radius) that join digits to the palm."""

    spec: HandSpec
    wrist: complex
    along: complex
    size: float
    palm: tuple[complex, ...]
    digits: tuple[Digit, ...]
    creases: tuple[tuple[complex, complex, complex], ...] = ()
    webs: tuple[tuple[complex, complex, float], ...] = field(default=())

    def place(self, u: float, v: float) -> complex:
        """Turn local coordinates into a scene point."""
        return self.wrist + self.size * self.along * (v + 1j * _thumb_sign(self.spec) * u)


def digit_names(count: int) -> tuple[str, ...]:
    """Return the digits a style has: five, or four without the ring finger."""
    return DIGITS if count == 5 else ("thumb", "index", "middle", "little")


def _thumb_sign(spec: HandSpec) -> float:
    """Return +1 where the thumb lies to the right of a hand pointing up (right palm, left back)."""
    return 1.0 if (spec.side == "right") == (spec.view == "palm") else -1.0


@dataclass(frozen=True)
class _HandPlan:
    base: complex
    angle_deg: float
    length: float
    radius: float


# u + v*1j of the base, angle towards the thumb, length and base radius, all in hand lengths.
_FIVE: dict[str, _HandPlan] = {
    "thumb": _HandPlan(0.15 + 0.16j, 46.0, 0.40, 0.070),
    "index": _HandPlan(0.150 + 0.47j, 9.0, 0.40, 0.056),
    "middle": _HandPlan(0.050 + 0.49j, 1.0, 0.46, 0.057),
    "ring": _HandPlan(-0.052 + 0.475j, -7.0, 0.42, 0.055),
    "little": _HandPlan(-0.148 + 0.43j, -17.0, 0.33, 0.049),
}
_FOUR: dict[str, _HandPlan] = {
    "thumb": _HandPlan(0.15 + 0.16j, 50.0, 0.40, 0.088),
    "index": _HandPlan(0.145 + 0.46j, 13.0, 0.40, 0.078),
    "middle": _HandPlan(0.0 + 0.49j, 0.0, 0.45, 0.080),
    "little": _HandPlan(-0.145 + 0.45j, -15.0, 0.38, 0.076),
}
_SHARES = (0.45, 0.30, 0.25)
_THUMB_SHARES = (0.55, 0.45)
_PALM = (
    -0.12 + 0j,
    -0.20 + 0.12j,
    -0.205 + 0.44j,
    -0.10 + 0.51j,
    0.05 + 0.525j,
    0.195 + 0.48j,
    0.215 + 0.26j,
    0.13 + 0j,
)
_CREASES = (
    (0.20 + 0.36j, 0.02 + 0.30j, -0.02 + 0.04j),
    (0.18 + 0.40j, 0.0 + 0.38j, -0.16 + 0.22j),
    (-0.19 + 0.34j, -0.05 + 0.33j, 0.08 + 0.47j),
)


def make_hand(spec: HandSpec, wrist: complex, along: complex, size: float) -> HandShape:
    """Build a hand whose wrist lies at `wrist` and whose fingers run along the unit direction `along`."""
    rng = random.Random(f"hand {spec.wobble}")
    sign = _thumb_sign(spec)

    def place(local: complex) -> complex:
        return wrist + size * along * (local.imag + 1j * sign * local.real)

    plans = _FIVE if spec.count == 5 else _FOUR
    raised = spec.raised()
    digits: list[Digit] = []
    for name in digit_names(spec.count):
        if name in spec.missing:
            continue
        wobble = rng.uniform(-3.0, 3.0)
        local = _make_local(name, plans[name], spec, raised, wobble)
        digits.append(
            replace(local, joints=tuple(place(j) for j in local.joints), radii=tuple(r * size for r in local.radii))
        )
    creases = tuple((place(a), place(b), place(c)) for a, b, c in _CREASES) if spec.view == "palm" else ()
    return HandShape(spec, wrist, along, size, tuple(place(p) for p in _PALM), tuple(digits), creases)


def _make_local(name: str, plan: _HandPlan, spec: HandSpec, raised: tuple[str, ...], wobble: float) -> Digit:
    nail = spec.view == "back"
    if name in raised:
        return _make_raised(name, plan, spec, wobble, nail)
    if name == "thumb":
        return _make_folded_thumb(plan, spec)
    r = plan.radius * 1.05
    if spec.view == "palm":
        # The two outer segments lie over the palm, seen from the front.
        top, mid, low = plan.base + 0.06j, plan.base - 0.07j, plan.base - 0.19j
        return Digit(name, (plan.base, top, mid, low), (r, r, r, r * 0.92), folded=True)
    return Digit(name, (plan.base - 0.05j, plan.base + 0.05j), (r, r), folded=True)


def _make_raised(name: str, plan: _HandPlan, spec: HandSpec, wobble: float, nail: bool) -> Digit:
    shares = _THUMB_SHARES if name == "thumb" else _SHARES
    angle = plan.angle_deg * (0.35 + 0.65 * spec.spread) + wobble * 0.6
    if spec.gesture == "pointing":
        angle = 2.0
    bend = wobble if name != "thumb" else -10.0
    point, joints = plan.base, [plan.base]
    for share in shares:
        # Angles lean towards the thumb (u > 0); in the local plane up is +1j.
        point = point + cmath.rect(plan.length * share, math.pi / 2 - math.radians(angle))
        joints.append(point)
        angle += bend * 0.5
    taper = [1.0, 0.97, 0.90, 0.80][: len(joints)]
    if name == "thumb":
        taper = [1.05, 0.90, 0.74]
    return Digit(name, tuple(joints), tuple(plan.radius * t for t in taper), nail=nail)


def _make_folded_thumb(plan: _HandPlan, spec: HandSpec) -> Digit:
    r = plan.radius
    if spec.view == "palm":
        knuckle, tip = 0.19 + 0.30j, -0.01 + (0.30j if spec.gesture in ("fist", "grip", "pointing", "one") else 0.27j)
        return Digit("thumb", (plan.base, knuckle, tip), (r, r * 0.9, r * 0.74), folded=True)
    return Digit("thumb", (plan.base, plan.base + 0.05 + 0.12j), (r, r * 0.9), folded=True)
