"""Draws chairs, tables, vases with flowers, and books. Start reading at `draw_chair`.

It knows the pen and nothing of scenes.
"""

from __future__ import annotations

import cmath
import math
import random

from sfumato.world.objects.pen import Pen
from sfumato.world.palette import CLOTHES, WOOD, Colour, darken, lighten, mix, vary

FLOWER_COLOURS: dict[str, Colour] = {
    "red": (0.84, 0.12, 0.16),
    "yellow": (0.97, 0.82, 0.16),
    "white": (0.96, 0.95, 0.94),
    "purple": (0.56, 0.30, 0.74),
    "blue": (0.25, 0.40, 0.86),
    "orange": (0.95, 0.52, 0.12),
}
_LEAF: Colour = (0.18, 0.46, 0.18)


def draw_chair(pen: Pen, colour: Colour) -> None:
    """Draw a chair seen a little from the side and above; the seat's middle lies at (0.05, 0.46)."""
    far, near = (-0.18, 0.34), (-0.30, 0.22)
    for x in far:
        pen.box((x - 0.025, 0.10, x + 0.025, 0.52), darken(colour, 0.35), "leg")
    for x in far:
        pen.box((x - 0.028, 0.50, x + 0.028, 0.99), darken(colour, 0.08), "back")
    if pen.thing.form == "slats":
        for k in range(4):
            x = far[0] + (k + 1) * (far[1] - far[0]) / 5
            pen.box((x - 0.020, 0.52, x + 0.020, 0.94), colour, "back")
        pen.box((far[0] - 0.04, 0.90, far[1] + 0.04, 1.0), lighten(colour, 0.08), "back")
    else:
        for y in (0.64, 0.77, 0.90):
            pen.box((far[0] - 0.01, y, far[1] + 0.01, y + 0.075), lighten(colour, 0.06), "back")
    seat = ((near[0] - 0.04, 0.40), (near[1] + 0.04, 0.40), (far[1] + 0.04, 0.53), (far[0] - 0.03, 0.53))
    pen.poly(seat, lighten(colour, 0.12), "seat", shade="down", round_by=0.06)
    pen.box((near[0] - 0.04, 0.355, near[1] + 0.04, 0.41), darken(colour, 0.12), "seat")
    for x in near:
        pen.box((x - 0.030, 0.0, x + 0.030, 0.36), colour, "leg")
    pen.box((near[0], 0.14, near[1], 0.175), darken(colour, 0.2), "leg")


def draw_table(pen: Pen, colour: Colour) -> None:
    """Draw a table, as wide as twice its height; things stand on it at the height 0.93 of its own."""
    for x in (-0.66, 0.80):
        pen.box((x - 0.035, 0.14, x + 0.035, 0.86), darken(colour, 0.4), "leg")
    for x in (-0.90, 0.90):
        pen.box((x - 0.045, 0.0, x + 0.045, 0.82), darken(colour, 0.05), "leg")
    pen.box((-0.94, 0.74, 0.94, 0.84), darken(colour, 0.22), "apron")
    top = ((-1.05, 0.86), (1.05, 0.86), (0.92, 1.0), (-0.88, 1.0))
    pen.poly(top, lighten(colour, 0.10), "top", shade="down", round_by=0.03)
    pen.box((-1.05, 0.82, 1.05, 0.87), darken(colour, 0.10), "top")


def draw_vase(pen: Pen, colour: Colour) -> None:
    """Draw flowers of the thing's colour in a vase of its second colour."""
    rng = random.Random(f"vase {pen.thing.wobble}")
    vase = CLOTHES.get(pen.thing.second, (0.30, 0.42, 0.62))
    heads: list[tuple[float, float, float]] = []
    for k in range(7):
        angle = math.pi / 2 + (k - 3) * 0.30 + rng.uniform(-0.06, 0.06)
        reach = (0.52 if k % 2 else 0.40) + rng.uniform(-0.03, 0.03)
        heads.append(
            (0.85 * reach * math.cos(angle), 0.38 + reach * math.sin(angle), 0.105 + rng.uniform(-0.01, 0.015))
        )
    for x, y, _ in heads:
        pen.line(((0.25 * x, 0.40), (0.55 * x, 0.55), (x, y)), darken(_LEAF, 0.1), 0.020, "stems")
    for sign in (-1, 1):
        leaf = ((sign * 0.03, 0.44), (sign * 0.18, 0.62), (sign * 0.36, 0.56), (sign * 0.20, 0.46))
        pen.blob(leaf, _LEAF, "leaves")
    tone = FLOWER_COLOURS.get(pen.thing.colour, colour)
    for x, y, r in sorted(heads, key=lambda head: -head[1]):
        draw_blossom(pen, (x, y), r, vary(tone, rng, 0.04), "flowers")
    body = (
        (-0.10, 0.46), (-0.085, 0.38), (-0.20, 0.26), (-0.21, 0.10), (-0.12, -0.02),
        (0.12, -0.02), (0.21, 0.10), (0.20, 0.26), (0.085, 0.38), (0.10, 0.46),
    )  # fmt: skip
    pen.blob(body, vase, "vase")
    pen.blob(((-0.15, 0.10), (-0.15, 0.25), (-0.10, 0.30), (-0.11, 0.10)), lighten(vase, 0.45), "vase", edge=False)


def draw_blossom(pen: Pen, at: tuple[float, float], radius: float, colour: Colour, name: str) -> None:
    """Draw one blossom with six petals around a heart."""
    for k in range(6):
        turn = cmath.rect(0.58 * radius, k * math.pi / 3 + 0.3)
        tone = lighten(colour, 0.10) if k in (1, 2, 3) else darken(colour, 0.08)
        pen.oval((at[0] + turn.real, at[1] + turn.imag), (0.52 * radius, 0.52 * radius), tone, name, shade="flat")
    heart = (0.95, 0.78, 0.15) if pen.thing.colour not in ("yellow", "orange") else (0.42, 0.25, 0.10)
    pen.oval(at, (0.36 * radius, 0.36 * radius), heart, name)


def draw_clock(pen: Pen, colour: Colour) -> None:
    """Draw a round wall clock; its form is the time: hour and minute such as 10:15."""
    hour, minute = (int(part) for part in pen.thing.form.split(":"))
    pen.oval((0.0, 0.5), (0.5, 0.5), colour, "case")
    pen.oval((0.0, 0.5), (0.42, 0.42), (0.97, 0.97, 0.95), "face", shade="flat")
    for tick in range(12):
        turn = cmath.rect(1.0, math.pi * tick / 6)
        near = 0.30 if tick % 3 == 0 else 0.34
        ends = tuple((r * turn.real, 0.5 + r * turn.imag) for r in (near, 0.38))
        pen.line(ends, (0.1, 0.1, 0.1), 0.030 if tick % 3 == 0 else 0.016, "face")
    for name, share, reach, wide in (
        ("hour_hand", (hour % 12 + minute / 60) / 12, 0.22, 0.042),
        ("minute_hand", minute / 60, 0.33, 0.028),
    ):
        turn = 2 * math.pi * share
        pen.line(((0.0, 0.5), (reach * math.sin(turn), 0.5 + reach * math.cos(turn))), (0.08, 0.08, 0.08), wide, name)
    pen.oval((0.0, 0.5), (0.03, 0.03), (0.75, 0.12, 0.12), "face", shade="flat")


def draw_book(pen: Pen, colour: Colour) -> None:
    """Draw a closed book held upright, its cover towards us."""
    pen.poly(((-0.34, 0.02), (0.40, 0.02), (0.40, 0.98), (-0.34, 0.98)), (0.93, 0.91, 0.85), "pages", shade="flat")
    pen.poly(((-0.40, 0.0), (0.34, 0.0), (0.34, 1.0), (-0.40, 1.0)), colour, "cover", round_by=0.02)
    pen.box((-0.40, 0.0, -0.31, 1.0), darken(colour, 0.25), "cover")
    pen.box((-0.20, 0.62, 0.22, 0.80), mix(colour, (0.97, 0.94, 0.80), 0.8), "cover", shade="flat")


WOOD_WORD = "brown"
"""The word for furniture in plain wood."""


def furniture_colour(word: str) -> Colour:
    """Return the colour of a chair or table: brown is wood."""
    return lighten(WOOD, 0.12) if word == WOOD_WORD else CLOTHES[word]
