"""Draws what makes a face one of a kind: hats, special hair, freckles, scars, moustaches, earrings, scarves.

It knows the geometry of a head and a colour for the hair; not the rest of a face. Start reading at `draw_marks`.
"""

from __future__ import annotations

import math

from sfumato.world.ink import Ink, oval_path, poly_path
from sfumato.world.palette import CLOTHES, SKIN, Colour, darken, lighten, mix
from sfumato.world.people.body import BodyShape
from sfumato.world.truth import PartTree

Points = tuple[tuple[float, float], ...]
HATS = ("cap", "beanie", "hat", "headband", "crown", "bow")
MARKS = ("freckles", "scar", "moustache", "earrings", "eyepatch", "streak", "goatee", "mole")
MORE_HAIR = ("curly", "ponytail", "braids", "mohawk")
GOLD: Colour = (0.93, 0.74, 0.20)
_STRAW: Colour = (0.86, 0.72, 0.42)


def _spread(shape: BodyShape, points: Points) -> list[complex]:
    return [shape.head + complex(x * shape.head_rx, y * shape.head_ry) for x, y in points]


def draw_special_back(ink: Ink, tree: PartTree, shape: BodyShape, colour: Colour, path: str) -> None:
    """Draw what lies behind head and body of curly hair, a ponytail or a mohawk."""
    style, rx, ry, c = shape.person.hair_style, shape.head_rx, shape.head_ry, shape.head
    part = tree.add(f"{path}/hair", colour=colour)
    if style == "curly":
        for turn in range(-130, 131, 20):
            angle = math.radians(turn)
            centre = c + complex(1.22 * rx * math.sin(angle), -(1.05 * math.cos(angle) - 0.05) * ry)
            ink.fill(oval_path(centre, 0.40 * rx, 0.36 * ry), darken(colour, 0.15), part, shade="round")
    elif style == "ponytail":
        tail = ((0.5, -0.95), (1.25, -0.80), (1.75, -0.1), (1.70, 0.9), (1.35, 1.5), (1.15, 0.7), (1.0, -0.2))
        ink.fill(poly_path(_spread(shape, tail), 0.35), darken(colour, 0.10), part, shade="side")
        ink.fill(oval_path(c + complex(1.02 * rx, -0.62 * ry), 0.16 * rx, 0.14 * ry), CLOTHES["red"], part)
    elif style == "mohawk":
        crest = (
            (-0.24, -0.6),
            (-0.30, -1.25),
            (-0.14, -1.62),
            (0.0, -1.72),
            (0.14, -1.62),
            (0.30, -1.25),
            (0.24, -0.6),
        )
        ink.fill(poly_path(_spread(shape, crest), 0.2), colour, part, shade="side")


def draw_special_front(ink: Ink, tree: PartTree, shape: BodyShape, colour: Colour, path: str) -> None:
    """Draw what lies on the head of curly hair, braids or a mohawk; other styles have their own drawing."""
    style, rx, ry, c = shape.person.hair_style, shape.head_rx, shape.head_ry, shape.head
    part = tree.add(f"{path}/hair", colour=colour)
    if style == "curly":
        for turn in range(-84, 85, 21):
            angle = math.radians(turn)
            centre = c + complex(0.92 * rx * math.sin(angle), -0.86 * ry * math.cos(angle))
            ink.fill(oval_path(centre, 0.31 * rx, 0.26 * ry), colour, part, shade="round", edge=not ink.is_cartoon)
    elif style == "mohawk":
        crest = ((-0.20, -0.52), (-0.24, -1.02), (0.24, -1.02), (0.20, -0.52), (0.0, -0.46))
        ink.fill(poly_path(_spread(shape, crest), 0.2), colour, part, shade="down")
    elif style == "braids":
        for sign in (-1, 1):
            for k in range(6):
                knot = c + complex(sign * (1.06 + 0.03 * k) * rx, (0.32 + 0.30 * k) * ry)
                ink.fill(oval_path(knot, 0.22 * rx, 0.20 * ry, sign * 0.5), colour, part, shade="round")
            tie = c + complex(sign * 1.23 * rx, 2.05 * ry)
            ink.fill(oval_path(tie, 0.17 * rx, 0.13 * ry), CLOTHES["red"], part)


def draw_marks(ink: Ink, tree: PartTree, shape: BodyShape, colour: Colour, path: str) -> None:
    """Draw the marks of a person's face that lie under hair and glasses; `colour` is the hair's."""
    marks, rx, ry, c = shape.person.marks, shape.head_rx, shape.head_ry, shape.head
    skin = SKIN[shape.person.skin]
    if "freckles" in marks:
        tone = mix(skin, (0.52, 0.24, 0.10), 0.55)
        for x, y in ((0.30, 0.30), (0.46, 0.22), (0.60, 0.31), (0.44, 0.40), (0.58, 0.44), (0.70, 0.24), (0.10, 0.20)):
            for sign in (-1, 1):
                ink.fill(oval_path(c + complex(sign * x * rx, y * ry), 0.045 * rx, 0.035 * ry), tone, None, edge=False)
    if "scar" in marks:
        tone = mix(skin, (0.60, 0.10, 0.12), 0.65)
        part = tree.add(f"{path}/scar", colour=tone)
        ink.line(_spread(shape, ((0.44, 0.20), (0.56, 0.42), (0.50, 0.70))), tone, 0.07 * rx, part)
        for y in (0.30, 0.44, 0.58):
            ink.line(_spread(shape, ((0.42, y + 0.03), (0.66, y - 0.03))), tone, 0.04 * rx, part)
    if "mole" in marks:
        ink.fill(
            oval_path(c + complex(-0.40 * rx, 0.56 * ry), 0.065 * rx, 0.050 * ry), (0.22, 0.12, 0.08), None, edge=False
        )
    if "goatee" in marks:
        beard = ((-0.24, 0.80), (0.24, 0.80), (0.20, 1.10), (0.0, 1.26), (-0.20, 1.10))
        ink.fill(poly_path(_spread(shape, beard), 0.3), colour, tree.add(f"{path}/beard", colour=colour), edge=False)


def draw_lips(ink: Ink, shape: BodyShape, colour: Colour, part: int) -> None:
    """Draw a closed mouth as two lips and the line between them."""
    wide = 0.30 if shape.person.kind == "woman" else 0.27
    upper = ((-wide, 0.665), (-0.10, 0.605), (0.0, 0.630), (0.10, 0.605), (wide, 0.665), (0.0, 0.690))
    lower = ((-wide, 0.665), (0.0, 0.690), (wide, 0.665), (0.13, 0.765), (-0.13, 0.765))
    ink.fill(poly_path(_spread(shape, lower), 0.22), lighten(colour, 0.12), part, shade="down", edge=False)
    ink.fill(poly_path(_spread(shape, upper), 0.22), darken(colour, 0.08), part, edge=False)
    seam = _spread(shape, ((-wide, 0.662), (0.0, 0.700), (wide, 0.662)))
    ink.line(seam, darken(colour, 0.45), 0.030 * shape.head_rx, part)


def draw_moustache(ink: Ink, tree: PartTree, shape: BodyShape, colour: Colour, path: str) -> None:
    """Draw a moustache over the mouth."""
    tone = darken(colour, 0.15)
    half = ((0.0, 0.50), (0.20, 0.47), (0.42, 0.58), (0.56, 0.54), (0.40, 0.70), (0.14, 0.64), (0.0, 0.60))
    outline = _spread(shape, half) + _spread(shape, tuple((-x, y) for x, y in reversed(half[1:-1])))
    ink.fill(poly_path(outline, 0.25), tone, tree.add(f"{path}/moustache", colour=tone), edge=False)


def draw_top_marks(ink: Ink, tree: PartTree, shape: BodyShape, path: str) -> None:
    """Draw what lies over hair and face: a streak, an eyepatch, earrings, a hat."""
    marks, rx, ry, c = shape.person.marks, shape.head_rx, shape.head_ry, shape.head
    if "streak" in marks:
        tone: Colour = (0.95, 0.95, 0.94)
        streak = ((-0.42, -1.02), (-0.20, -1.08), (-0.30, -0.60), (-0.62, -0.34), (-0.60, -0.62))
        ink.fill(poly_path(_spread(shape, streak), 0.25), tone, tree.add(f"{path}/hair"), edge=False)
    if "earrings" in marks:
        part = tree.add(f"{path}/earrings", colour=GOLD)
        for sign in (-1, 1):
            ink.fill(
                oval_path(c + complex(sign * 1.05 * rx, 0.42 * ry), 0.12 * rx, 0.12 * ry), GOLD, part, shade="round"
            )
    if "eyepatch" in marks:
        part = tree.add(f"{path}/eyepatch")
        ink.line(_spread(shape, ((-0.95, -0.42), (0.97, 0.20))), (0.06, 0.06, 0.07), 0.07 * rx, part)
        ink.fill(
            oval_path(c + complex(0.42 * rx, 0.03 * ry), 0.34 * rx, 0.24 * ry), (0.08, 0.08, 0.09), part, edge=False
        )
    if shape.person.hat:
        _draw_hat(ink, shape, CLOTHES.get(shape.person.hat_colour, _STRAW), tree.add(f"{path}/hat"))


_DOME: Points = (
    (-1.14, -0.30), (-1.18, -0.72), (-0.86, -1.20), (-0.30, -1.42), (0.30, -1.42), (0.86, -1.20), (1.18, -0.72), (1.14, -0.30),
)  # fmt: skip


def _draw_hat(ink: Ink, shape: BodyShape, colour: Colour, part: int) -> None:
    rx, ry, c, kind = shape.head_rx, shape.head_ry, shape.head, shape.person.hat
    if kind == "cap":
        ink.fill(poly_path(_spread(shape, (*_DOME, (0.0, -0.48))), 0.25), colour, part, shade="round")
        visor = (
            (-0.92, -0.42),
            (-0.40, -0.56),
            (0.40, -0.56),
            (0.92, -0.42),
            (1.02, -0.24),
            (0.40, -0.34),
            (-0.40, -0.34),
            (-1.02, -0.24),
        )
        ink.fill(poly_path(_spread(shape, visor), 0.3), darken(colour, 0.25), part, shade="down")
        ink.fill(oval_path(c - 1.38j * ry, 0.09 * rx, 0.06 * ry), darken(colour, 0.3), part)
    elif kind == "beanie":
        ink.fill(oval_path(c - 1.50j * ry, 0.30 * rx, 0.25 * ry), lighten(colour, 0.35), part, shade="round")
        ink.fill(poly_path(_spread(shape, _DOME), 0.25), colour, part, shade="round")
        band = ((-1.20, -0.62), (0.0, -0.74), (1.20, -0.62), (1.18, -0.26), (0.0, -0.40), (-1.18, -0.26))
        ink.fill(poly_path(_spread(shape, band), 0.15), lighten(colour, 0.22), part, shade="down")
    elif kind == "hat":
        crown = ((-0.92, -0.42), (-0.88, -1.18), (-0.50, -1.52), (0.50, -1.52), (0.88, -1.18), (0.92, -0.42))
        ink.fill(poly_path(_spread(shape, crown), 0.2), colour, part, shade="side")
        ribbon = ((-0.94, -0.44), (-0.93, -0.72), (0.93, -0.72), (0.94, -0.44))
        ink.fill(poly_path(_spread(shape, ribbon)), darken(colour, 0.55), part, shade="flat")
        ink.fill(oval_path(c - 0.42j * ry, 1.75 * rx, 0.20 * ry), lighten(colour, 0.08), part, shade="down")
    elif kind == "headband":
        band = ((-1.10, -0.58), (0.0, -0.84), (1.10, -0.58), (1.10, -0.36), (0.0, -0.58), (-1.10, -0.36))
        ink.fill(poly_path(_spread(shape, band), 0.12), colour, part, shade="down")
    elif kind == "crown":
        crown = (
            (-0.80, -0.80), (-0.98, -1.62), (-0.50, -1.22), (-0.26, -1.74), (0.0, -1.26),
            (0.26, -1.74), (0.50, -1.22), (0.98, -1.62), (0.80, -0.80),
        )  # fmt: skip
        ink.fill(poly_path(_spread(shape, crown)), GOLD, part, shade="side")
        for x in (-0.45, 0.0, 0.45):
            ink.fill(
                oval_path(c + complex(x * rx, -0.98 * ry), 0.10 * rx, 0.08 * ry), (0.75, 0.10, 0.16), part, edge=False
            )
    elif kind == "bow":
        for sign in (-1, 1):
            wing = ((0.55, -1.02), (0.55 + sign * 0.52, -1.30), (0.55 + sign * 0.52, -0.76))
            ink.fill(poly_path(_spread(shape, wing), 0.25), colour, part, shade="side")
        ink.fill(oval_path(c + complex(0.55 * rx, -1.02 * ry), 0.14 * rx, 0.13 * ry), darken(colour, 0.2), part)


def draw_scarf(ink: Ink, tree: PartTree, shape: BodyShape, path: str) -> None:
    """Draw a scarf around the neck, one end hanging down."""
    if not shape.person.scarf:
        return
    colour, h = CLOTHES[shape.person.scarf], shape.height
    base, part = shape.neck.start, tree.add(f"{path}/scarf", colour=CLOTHES[shape.person.scarf])
    end = [base + complex(x, y) * h for x, y in ((0.012, 0.0), (0.052, 0.0), (0.060, 0.145), (0.018, 0.15))]
    ink.fill(poly_path(end, 0.1), darken(colour, 0.14), part, shade="side")
    for y in (0.115, 0.130):
        ink.line([base + complex(0.018, y) * h, base + complex(0.058, y - 0.003) * h], lighten(colour, 0.5), 0.006 * h)
    wrap = [
        base + complex(x, y) * h
        for x, y in ((-0.062, -0.030), (0.0, -0.012), (0.062, -0.030), (0.072, 0.008), (0.0, 0.034), (-0.072, 0.008))
    ]
    ink.fill(poly_path(wrap, 0.3), colour, part, shade="side")
