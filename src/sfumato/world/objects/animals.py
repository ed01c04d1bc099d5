"""Draws cats: sitting from the front, standing from the side. Start reading at `draw_cat`.

It knows the pen and nothing of scenes.
"""

from __future__ import annotations

import random

from sfumato.world.objects.pen import Pen
from sfumato.world.palette import Colour, darken, lighten, mix

CAT_COLOURS: dict[str, Colour] = {
    "black": (0.15, 0.14, 0.16),
    "white": (0.92, 0.90, 0.87),
    "grey": (0.55, 0.56, 0.60),
    "orange": (0.88, 0.52, 0.18),
    "brown": (0.50, 0.34, 0.22),
}
_STRIPED = ("grey", "orange", "brown")
_EYES: tuple[Colour, ...] = ((0.55, 0.75, 0.20), (0.90, 0.72, 0.15), (0.35, 0.65, 0.75))
_NOSE: Colour = (0.90, 0.52, 0.52)
_PUPIL: Colour = (0.03, 0.03, 0.04)


def draw_cat(pen: Pen, colour: Colour) -> None:
    """Draw a cat in the form its thing names: sitting (the default) or standing."""
    rng = random.Random(f"cat {pen.thing.wobble}")
    light = mix(colour, (0.96, 0.93, 0.88), rng.choice((0.15, 0.45, 0.8)) if pen.thing.colour != "black" else 0.12)
    eye = rng.choice(_EYES)
    if pen.thing.form == "standing":
        _draw_standing(pen, colour, light)
        _draw_head(pen, (0.66, 0.74), 0.86, colour, light, eye)
    else:
        _draw_sitting(pen, colour, light)
        _draw_head(pen, (0.0, 0.76), 1.0, colour, light, eye)


def _draw_sitting(pen: Pen, colour: Colour, light: Colour) -> None:
    pen.bar(((0.20, 0.07), (0.62, 0.00), (0.50, 0.36)), darken(colour, 0.08), 0.10, "tail")
    body = (
        (-0.26, -0.02), (-0.40, 0.10), (-0.34, 0.34), (-0.22, 0.56), (-0.17, 0.74),
        (0.17, 0.74), (0.22, 0.56), (0.34, 0.34), (0.40, 0.10), (0.26, -0.02),
    )  # fmt: skip
    pen.blob(body, colour, "body")
    _draw_stripes(pen, colour, ((-0.33, 0.22), (-0.30, 0.33), (-0.26, 0.43)), 0.11)
    pen.blob(((-0.13, 0.62), (-0.16, 0.40), (0.0, 0.26), (0.16, 0.40), (0.13, 0.62)), light, "body", edge=False)
    for number, sign in enumerate((-1, 1), 1):
        thigh = ((sign * 0.12, 0.0), (sign * 0.15, 0.26), (sign * 0.34, 0.24), (sign * 0.37, 0.0))
        pen.blob(thigh, darken(colour, 0.05), "body")
        pen.oval((sign * 0.24, 0.03), (0.11, 0.05), light, f"paw{number + 2}")
    for number, sign in enumerate((-1, 1), 1):
        leg = ((sign * 0.025, 0.01), (sign * 0.02, 0.46), (sign * 0.15, 0.46), (sign * 0.135, 0.01))
        pen.poly(leg, lighten(colour, 0.05), f"leg{number}", round_by=0.15)
        pen.oval((sign * 0.082, 0.035), (0.075, 0.045), light, f"paw{number}")
        for x in (-0.025, 0.02):
            pen.line(((sign * 0.082 + x, 0.02), (sign * 0.082 + x, 0.055)), darken(light, 0.3), 0.008, f"paw{number}")


def _draw_standing(pen: Pen, colour: Colour, light: Colour) -> None:
    pen.bar(((-0.56, 0.56), (-0.86, 0.66), (-0.74, 1.02)), darken(colour, 0.05), 0.085, "tail")
    for number, (x, lean) in enumerate(((-0.38, -0.03), (0.30, 0.03)), 1):
        leg = ((x - 0.055, 0.40), (x - 0.04 + lean, 0.0), (x + 0.05 + lean, 0.0), (x + 0.075, 0.40))
        pen.poly(leg, darken(colour, 0.22), f"leg{number}", round_by=0.12)
    body = (
        (-0.66, 0.58), (-0.58, 0.36), (-0.30, 0.30), (0.10, 0.30), (0.42, 0.28),
        (0.62, 0.42), (0.60, 0.66), (0.36, 0.72), (0.0, 0.66), (-0.36, 0.72), (-0.60, 0.70),
    )  # fmt: skip
    pen.blob(body, colour, "body", shade="down")
    pen.blob(((-0.30, 0.36), (0.0, 0.31), (0.40, 0.34), (0.1, 0.42)), light, "body", edge=False)
    _draw_stripes(pen, colour, ((-0.36, 0.60), (-0.16, 0.58), (0.04, 0.57), (0.24, 0.58)), 0.0)
    for number, (x, lean) in enumerate(((-0.50, 0.02), (0.44, 0.0)), 3):
        leg = ((x - 0.09, 0.46), (x - 0.045 + lean, 0.03), (x + 0.05 + lean, 0.03), (x + 0.10, 0.46))
        pen.poly(leg, colour, f"leg{number}", round_by=0.16)
        pen.oval((x + 0.02 + lean, 0.03), (0.075, 0.035), light, f"paw{number}")


def _draw_stripes(pen: Pen, colour: Colour, starts: tuple[tuple[float, float], ...], lean: float) -> None:
    if pen.thing.colour not in _STRIPED:
        return
    tone = darken(colour, 0.32)
    for x, y in starts:
        if lean:
            for sign in (-1, 1):
                a, b = (sign * x, y), (sign * (x + lean), y + 0.02)
                pen.line((a, ((a[0] + b[0]) / 2, y + 0.05), b), tone, 0.03, "body")
        else:
            pen.line(((x, y + 0.08), (x + 0.02, y), (x - 0.01, y - 0.10)), tone, 0.035, "body")


def _draw_head(pen: Pen, at: tuple[float, float], scale: float, colour: Colour, light: Colour, eye: Colour) -> None:
    def put(x: float, y: float) -> tuple[float, float]:
        return at[0] + scale * x, at[1] + scale * y

    for sign, side in ((-1, "right"), (1, "left")):
        pen.poly(
            (put(sign * 0.25, 0.04), put(sign * 0.245, 0.27), put(sign * 0.05, 0.14)),
            colour,
            "ear_" + side,
            round_by=0.1,
        )
        pen.poly(
            (put(sign * 0.215, 0.08), put(sign * 0.215, 0.21), put(sign * 0.09, 0.13)),
            mix(_NOSE, colour, 0.35), "ear_" + side, shade="flat", round_by=0.15,
        )  # fmt: skip
    face = (
        put(-0.27, -0.10), put(-0.26, 0.08), put(-0.14, 0.19), put(0.14, 0.19),
        put(0.26, 0.08), put(0.27, -0.10), put(0.12, -0.20), put(-0.12, -0.20),
    )  # fmt: skip
    pen.blob(face, colour, "head", shade="round")
    if pen.thing.colour in _STRIPED:
        for x in (-0.06, 0.0, 0.06):
            pen.line((put(x, 0.16), put(x * 0.8, 0.08)), darken(colour, 0.32), 0.025 * scale, "head")
    for sign in (-1, 1):
        pen.oval(put(sign * 0.052, -0.085), (0.075 * scale, 0.06 * scale), light, "muzzle", shade="flat", edge=False)
    for sign, side in ((-1, "right"), (1, "left")):
        name = f"eye_{side}"
        pen.oval(
            put(sign * 0.105, 0.02), (0.060 * scale, 0.052 * scale), darken(colour, 0.6), name, shade="flat", edge=False
        )
        pen.oval(put(sign * 0.105, 0.02), (0.050 * scale, 0.044 * scale), eye, name, shade="flat", edge=False)
        pen.oval(put(sign * 0.105, 0.02), (0.018 * scale, 0.040 * scale), _PUPIL, name, shade="flat", edge=False)
        pen.oval(
            put(sign * 0.105 - 0.015, 0.037),
            (0.011 * scale, 0.011 * scale),
            (1.0, 1.0, 1.0),
            name,
            shade="flat",
            edge=False,
        )
    pen.poly((put(-0.032, -0.045), put(0.032, -0.045), put(0.0, -0.078)), _NOSE, "nose", shade="flat", round_by=0.2)
    for sign in (-1, 1):
        mouth = (put(0.0, -0.08), put(sign * 0.01, -0.125), put(sign * 0.055, -0.115))
        pen.line(mouth, darken(light, 0.6), 0.012 * scale, "mouth")
        for y in (-0.02, 0.02):
            tone = (0.98, 0.98, 0.98) if pen.thing.colour in ("black", "grey", "brown") else (0.35, 0.32, 0.30)
            pen.line(
                (put(sign * 0.11, -0.085 + y / 2), put(sign * 0.33, -0.07 + y * 2)), tone, 0.007 * scale, "whiskers"
            )
