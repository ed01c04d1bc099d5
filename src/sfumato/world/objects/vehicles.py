"""Draws bicycles and boats. Start reading at `draw_bicycle`.

It knows the pen and nothing of scenes.
"""

from __future__ import annotations

import math
import random

from sfumato.world.ink import oval_path
from sfumato.world.objects.pen import GLASS, Pen
from sfumato.world.palette import METAL, WOOD, Colour, darken, lighten

_TYRE: Colour = (0.09, 0.09, 0.10)
_SAIL: Colour = (0.96, 0.95, 0.91)
_LEATHER: Colour = (0.22, 0.15, 0.11)


def draw_bicycle(pen: Pen, colour: Colour) -> None:
    """Draw a bicycle from the side; its height goes from the ground to the handlebar."""
    rng = random.Random(f"bicycle {pen.thing.wobble}")
    back, front, crank = (-0.54, 0.34), (0.56, 0.34), (-0.06, 0.33)
    seat, head = (-0.20, 0.72), (0.36, 0.74)
    for number, hub in enumerate((back, front), 1):
        _draw_wheel(pen, hub, f"wheel{number}", rng.uniform(0, 0.4))
    pen.bar((back, crank), colour, 0.045, "frame")
    pen.bar((back, seat), colour, 0.040, "frame")
    pen.bar((crank, (-0.235, 0.82)), colour, 0.052, "frame")
    pen.bar((seat, head), colour, 0.052, "frame")
    pen.bar((crank, (0.385, 0.68)), colour, 0.056, "frame")
    pen.bar((front, (0.44, 0.52), (0.34, 0.86)), colour, 0.050, "frame")
    if rng.random() < 0.5:
        for hub in (back, front):
            arc = [math.radians(angle) for angle in range(35, 150, 10)]
            pen.line(
                tuple((hub[0] + 0.385 * math.cos(a), hub[1] + 0.385 * math.sin(a)) for a in arc),
                darken(colour, 0.15), 0.030, "mudguard",
            )  # fmt: skip
    pen.bar(((0.335, 0.84), (0.325, 0.95)), METAL, 0.036, "handlebar")
    pen.bar(((0.27, 0.955), (0.52, 1.02), (0.47, 0.86)), METAL, 0.036, "handlebar")
    pen.bar(((0.505, 0.90), (0.475, 0.865)), _LEATHER, 0.055, "handlebar")
    saddle = ((-0.40, 0.87), (-0.38, 0.82), (-0.20, 0.83), (-0.06, 0.85), (-0.08, 0.88), (-0.24, 0.89))
    pen.blob(saddle, _LEATHER, "saddle", shade="down")
    pen.oval(crank, (0.085, 0.085), METAL, "crank")
    pen.oval(crank, (0.030, 0.030), darken(METAL, 0.5), "crank", shade="flat")
    turn = rng.uniform(-0.9, 0.9)
    for sign in (-1, 1):
        end = (crank[0] + sign * 0.16 * math.cos(turn), crank[1] + sign * 0.16 * math.sin(turn))
        pen.bar((crank, end), darken(METAL, 0.25), 0.030, "pedal")
        pen.bar(((end[0] - 0.05, end[1]), (end[0] + 0.05, end[1])), _TYRE, 0.040, "pedal")
    if pen.thing.form == "basket":
        basket = ((0.44, 0.96), (0.76, 0.96), (0.72, 0.72), (0.48, 0.72))
        pen.poly(basket, (0.70, 0.52, 0.30), "basket", round_by=0.06)
        for y in (0.78, 0.84, 0.90):
            pen.line(((0.47, y), (0.74, y)), (0.48, 0.33, 0.17), 0.012, "basket")


def _draw_wheel(pen: Pen, hub: tuple[float, float], name: str, turn: float) -> None:
    for spoke in range(7):
        angle = turn + spoke * math.pi / 7
        dx, dy = 0.30 * math.cos(angle), 0.30 * math.sin(angle)
        pen.line(((hub[0] - dx, hub[1] - dy), (hub[0] + dx, hub[1] + dy)), lighten(METAL, 0.35), 0.009, name)
    pen.ring(hub, 0.30, METAL, 0.020, name)
    pen.ring(hub, 0.325, _TYRE, 0.042, name)
    pen.oval(hub, (0.032, 0.032), METAL, name)


def draw_boat(pen: Pen, colour: Colour) -> None:
    """Draw a boat in the form its thing names: sailing (the default), rowing or fishing; its foot is the waterline."""
    foot = pen.thing.foot
    pen.ink.wash(
        oval_path(foot + 0.05j * pen.thing.height, 0.66 * pen.thing.height, 0.055 * pen.thing.height),
        (0.02, 0.08, 0.16),
        0.35,
    )
    {"rowing": _draw_rowing_boat, "fishing": _draw_fishing_boat}.get(pen.thing.form, _draw_sailing_boat)(pen, colour)
    wide = 0.72 if pen.thing.form == "rowing" else 0.50
    for x, y, w in ((-0.42, 0.01, 0.16), (0.02, -0.015, 0.2), (0.40, 0.005, 0.14)):
        x, w = x * wide / 0.5, w * wide / 0.5
        pen.line(((x - w, y), (x, y + 0.035), (x + w, y)), (0.90, 0.95, 0.98), 0.022, "foam")


def _draw_sailing_boat(pen: Pen, colour: Colour) -> None:
    pen.bar(((0.02, 0.14), (0.02, 1.0)), WOOD, 0.028, "mast")
    main = ((0.05, 0.25), (0.05, 0.98), (0.14, 0.78), (0.44, 0.25))
    pen.poly(main, _SAIL, "sail", round_by=0.05)
    pen.poly(((-0.02, 0.25), (-0.02, 0.88), (-0.40, 0.25)), (0.92, 0.91, 0.88), "sail", round_by=0.05)
    for y in (0.42, 0.60):
        pen.line(((0.06, y), (0.40 - 0.5 * (y - 0.25), y)), (0.78, 0.78, 0.76), 0.010, "sail")
    pen.poly(((0.02, 1.0), (0.15, 1.03), (0.02, 1.06)), colour, "flag", shade="flat")
    _draw_hull(pen, colour, -0.52, 0.58, 0.20)


def _draw_hull(pen: Pen, colour: Colour, stern: float, bow: float, deck: float) -> None:
    hull = (
        (stern, deck), (stern + 0.09, -0.01), (bow - 0.26, -0.01), (bow - 0.06, deck * 0.55), (bow, deck + 0.04),
    )  # fmt: skip
    pen.poly(hull, colour, "hull", shade="down", round_by=0.10)
    stripe = (0.95, 0.95, 0.94) if pen.thing.colour != "white" else (0.15, 0.25, 0.45)
    pen.line(((stern + 0.02, deck * 0.84), (bow - 0.06, deck * 0.90)), stripe, 0.030, "hull")


def _draw_rowing_boat(pen: Pen, colour: Colour) -> None:
    inside = ((-0.78, 0.36), (0.84, 0.40), (0.62, 0.24), (-0.58, 0.24))
    pen.poly(inside, darken(WOOD, 0.35), "seat", round_by=0.2)
    for x in (-0.35, 0.25):
        pen.bar(((x, 0.31), (x + 0.18, 0.31)), WOOD, 0.06, "seat")
    hull = ((-0.82, 0.38), (-0.60, -0.01), (0.52, -0.01), (0.80, 0.20), (0.92, 0.44), (0.50, 0.31), (-0.45, 0.29))
    pen.poly(hull, colour, "hull", shade="down", round_by=0.14)
    pen.line(((-0.76, 0.27), (0.10, 0.10), (0.82, 0.30)), darken(colour, 0.3), 0.020, "hull")
    pen.bar(((-0.10, 0.40), (-0.62, -0.02)), lighten(WOOD, 0.25), 0.035, "oar")
    pen.bar(((-0.60, 0.0), (-0.68, -0.07)), lighten(WOOD, 0.25), 0.080, "oar")


def _draw_fishing_boat(pen: Pen, colour: Colour) -> None:
    pen.bar(((-0.30, 0.20), (-0.30, 0.95)), darken(METAL, 0.3), 0.025, "mast")
    pen.line(((-0.30, 0.93), (0.40, 0.30)), (0.25, 0.25, 0.27), 0.010, "mast")
    pen.box((-0.12, 0.20, 0.22, 0.62), (0.93, 0.93, 0.91), "cabin")
    pen.box((-0.16, 0.60, 0.26, 0.67), darken(colour, 0.15), "cabin/roof")
    for x in (-0.07, 0.08):
        pen.box((x, 0.42, x + 0.10, 0.55), GLASS, "window", shade="down")
    _draw_hull(pen, colour, -0.56, 0.62, 0.28)
