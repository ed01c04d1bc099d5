"""Draws things: house, tree, car, watch, lamp, dog, cup, and what people hold. Start reading at `draw_thing`.

Things of the broad mix are drawn in `objects`.

A thing stands at `foot` (the middle of its lower edge) with a height in scene units. It knows nothing of scenes.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from contextlib import nullcontext

from sfumato.world.ink import Ink, oval_path
from sfumato.world.objects.animals import CAT_COLOURS, draw_cat
from sfumato.world.objects.furniture import (
    FLOWER_COLOURS,
    draw_book,
    draw_chair,
    draw_clock,
    draw_table,
    draw_vase,
    furniture_colour,
)
from sfumato.world.objects.pen import GLASS, LAMPLIGHT, LIT_GLASS, Pen, Thing
from sfumato.world.objects.vehicles import draw_bicycle, draw_boat
from sfumato.world.palette import CLOTHES, HAIR, METAL, WOOD, Colour, darken, lighten
from sfumato.world.truth import PartTree

THINGS = ("house", "tree", "car", "watch", "lamp", "dog", "cup")
"""Things of the first world: the mix `mini` and every judge trained on it know these alone."""
MORE_THINGS = ("cat", "bicycle", "boat", "chair", "table", "vase", "clock")
"""Things that the broad mix adds."""
_FLOATING = ("balloon", "flower", "ball", "book", "boat", "clock")


def draw_thing(ink: Ink, tree: PartTree, thing: Thing, path: str) -> None:
    """Draw one thing and enter its parts under `path` (such as house1)."""
    before = ink.edge_scale
    ink.edge_scale = min(1.0, 0.3 + 1.0 * thing.height)
    tree.add(path, kind=thing.kind, colour_word=thing.colour)
    pen = Pen(ink, tree, thing, path)
    if not ink.is_cartoon and thing.kind not in _FLOATING:
        wide = {"table": 1.05, "bicycle": 0.90}.get(thing.kind, 0.55)
        ink.wash(oval_path(thing.foot, wide * thing.height, 0.06 * thing.height), (0, 0, 0), 0.20)
    _DRAW[thing.kind](pen, colour_of(thing))
    ink.edge_scale = before


def colour_of(thing: Thing) -> Colour:
    """Return the main colour of a thing; animals and trees have words of their own."""
    if thing.kind == "cat":
        return CAT_COLOURS[thing.colour]
    if thing.kind in ("chair", "table"):
        return furniture_colour(thing.colour)
    if thing.kind == "vase":
        return FLOWER_COLOURS[thing.colour]
    if thing.kind == "dog":
        return {"white": (0.90, 0.88, 0.84), "black": (0.16, 0.15, 0.16)}.get(thing.colour, HAIR["brown"])
    if thing.kind == "tree":
        return {"orange": (0.85, 0.45, 0.12)}.get(thing.colour, (0.18, 0.48, 0.18))
    return CLOTHES[thing.colour]


def _draw_house(pen: Pen, colour: Colour) -> None:
    roof = (0.45, 0.20, 0.16) if pen.thing.colour not in ("red", "orange") else (0.30, 0.30, 0.34)
    pen.box((0.24, 0.72, 0.36, 1.02), darken(roof, 0.2), "chimney")
    pen.box((-0.52, 0.0, 0.52, 0.60), colour, "wall")
    pen.poly(((-0.64, 0.58), (0.64, 0.58), (0.40, 1.0), (-0.40, 1.0)), roof, "roof", shade="down")
    pen.box((-0.10, 0.0, 0.10, 0.34), WOOD, "door")
    lit = pen.ink.light == "night"
    for i, x in enumerate((-0.34, 0.34), 1):
        pen.box((x - 0.11, 0.20, x + 0.11, 0.44), (0.96, 0.96, 0.94), f"window{i}/frame", shade="flat")
        with pen.ink.glowing() if lit else nullcontext():
            pen.box((x - 0.085, 0.225, x + 0.085, 0.415), LIT_GLASS if lit else GLASS, f"window{i}", shade="down")
        pen.line(((x, 0.21), (x, 0.43)), (0.96, 0.96, 0.94), 0.022, f"window{i}/frame")
        if lit:
            pen.ink.shine(pen.at(x, 0.32), 0.42 * pen.thing.height, LAMPLIGHT, 0.55)


def _draw_tree(pen: Pen, colour: Colour) -> None:
    pen.poly(((-0.07, 0.0), (0.07, 0.0), (0.045, 0.5), (-0.045, 0.5)), WOOD, "trunk")
    for x, y, r in (
        (-0.20, 0.55, 0.20),
        (0.20, 0.55, 0.20),
        (0.0, 0.60, 0.26),
        (-0.12, 0.76, 0.19),
        (0.13, 0.76, 0.19),
        (0.0, 0.86, 0.15),
    ):
        pen.oval((x, y), (r, r * 0.95), colour, "crown")
    pen.ink.texture(
        oval_path(pen.at(0, 0.68), 0.36 * pen.thing.height, 0.30 * pen.thing.height), 0.18, 1.0 * pen.thing.height
    )


def _draw_car(pen: Pen, colour: Colour) -> None:
    pen.poly(((-0.62, 0.52), (-0.38, 0.98), (0.34, 0.98), (0.66, 0.52)), colour, "cabin", shade="down", round_by=0.12)
    pen.poly(((-0.50, 0.56), (-0.32, 0.88), (-0.04, 0.88), (-0.04, 0.56)), GLASS, "window1", shade="down")
    pen.poly(((0.02, 0.56), (0.02, 0.88), (0.28, 0.88), (0.52, 0.56)), GLASS, "window2", shade="down")
    pen.poly(
        ((-1.12, 0.20), (-1.10, 0.50), (-0.66, 0.60), (0.70, 0.60), (1.12, 0.48), (1.14, 0.20)),
        colour,
        "body",
        shade="down",
        round_by=0.2,
    )
    lit = pen.ink.light == "night"
    with pen.ink.glowing() if lit else nullcontext():
        pen.oval((1.04, 0.40), (0.07, 0.06), (0.98, 0.93, 0.65), "light")
    if lit:
        pen.ink.shine(pen.at(1.10, 0.40), 0.6 * pen.thing.height, LAMPLIGHT, 0.7)
    for i, x in enumerate((-0.66, 0.66), 1):
        pen.oval((x, 0.19), (0.21, 0.21), (0.10, 0.10, 0.11), f"wheel{i}")
        pen.oval((x, 0.19), (0.10, 0.10), METAL, f"wheel{i}/hub")


def _draw_watch(pen: Pen, colour: Colour) -> None:
    pen.poly(((-0.17, 0.0), (0.17, 0.0), (0.20, 0.5), (0.17, 1.0), (-0.17, 1.0), (-0.20, 0.5)), colour, "strap")
    pen.oval((0.0, 0.5), (0.33, 0.33), METAL, "case")
    pen.box((0.32, 0.46, 0.38, 0.54), METAL, "crown")
    pen.oval((0.0, 0.5), (0.27, 0.27), (0.97, 0.97, 0.95), "face", shade="flat")
    for hour in range(12):
        turn = cmath.rect(1.0, math.pi * hour / 6)
        pen.line(
            ((0.215 * turn.real, 0.5 + 0.215 * turn.imag), (0.245 * turn.real, 0.5 + 0.245 * turn.imag)),
            (0.1, 0.1, 0.1),
            0.02,
            "face",
        )
    pen.line(((0.0, 0.5), (0.09, 0.60)), (0.08, 0.08, 0.08), 0.034, "hour_hand")
    pen.line(((0.0, 0.5), (-0.06, 0.69)), (0.08, 0.08, 0.08), 0.024, "minute_hand")


def _draw_lamp(pen: Pen, colour: Colour) -> None:
    pen.oval((0.0, 0.03), (0.20, 0.045), METAL, "base")
    pen.poly(((-0.025, 0.03), (0.025, 0.03), (0.025, 0.6), (-0.025, 0.6)), METAL, "stem")
    pen.oval((0.0, 0.57), (0.07, 0.07), (1.0, 0.95, 0.70), "bulb")
    lit = pen.ink.light == "night"
    with pen.ink.glowing() if lit else nullcontext():
        pen.poly(((-0.34, 0.56), (0.34, 0.56), (0.18, 1.0), (-0.18, 1.0)), lighten(colour, 0.25 * lit), "shade")
    if lit:
        pen.ink.shine(pen.at(0.0, 0.62), 1.1 * pen.thing.height, LAMPLIGHT, 0.5)


def _draw_dog(pen: Pen, colour: Colour) -> None:
    pen.line(((-0.52, 0.58), (-0.70, 0.70), (-0.72, 0.90)), colour, 0.09, "tail")
    for i, x in enumerate((-0.42, -0.28, 0.24, 0.38), 1):
        pen.box((x - 0.055, 0.0, x + 0.055, 0.42), darken(colour, 0.15 if i in (2, 3) else 0.0), f"leg{i}")
    pen.oval((0.0, 0.50), (0.56, 0.22), colour, "body")
    pen.poly(((0.30, 0.48), (0.52, 0.44), (0.62, 0.78), (0.40, 0.82)), colour, "neck", round_by=0.2)
    pen.oval((0.58, 0.80), (0.20, 0.17), colour, "head")
    pen.oval((0.75, 0.74), (0.13, 0.085), lighten(colour, 0.12), "muzzle")
    pen.oval((0.85, 0.77), (0.04, 0.035), (0.05, 0.05, 0.05), "nose")
    pen.oval((0.62, 0.84), (0.033, 0.033), (0.03, 0.03, 0.03), "eye")
    pen.oval((0.45, 0.80), (0.075, 0.15), darken(colour, 0.35), "ear")


def _draw_cup(pen: Pen, colour: Colour) -> None:
    ring = tuple((0.42 + 0.20 * math.cos(a * math.pi / 8), 0.50 + 0.24 * math.sin(a * math.pi / 8)) for a in range(17))
    pen.line(ring, darken(colour, 0.12), 0.085, "handle")
    pen.poly(((-0.33, 0.02), (0.33, 0.02), (0.42, 0.92), (-0.42, 0.92)), colour, "body", round_by=0.06)
    pen.oval((0.0, 0.92), (0.42, 0.085), lighten(colour, 0.3), "rim", shade="flat")
    pen.oval((0.0, 0.915), (0.35, 0.06), (0.30, 0.17, 0.09), "drink", shade="flat")


def _draw_ball(pen: Pen, colour: Colour) -> None:
    pen.oval((0.0, 0.5), (0.5, 0.5), colour, "ball")


def _draw_balloon(pen: Pen, colour: Colour) -> None:
    pen.line(((0.0, 0.0), (0.03, 0.3), (0.0, 0.6)), (0.3, 0.3, 0.3), 0.015, "string")
    pen.oval((0.0, 0.80), (0.19, 0.22), colour, "balloon")


def _draw_flower(pen: Pen, colour: Colour) -> None:
    pen.line(((0.0, 0.0), (0.0, 0.75)), (0.16, 0.45, 0.16), 0.06, "stem")
    for k in range(6):
        turn = cmath.rect(0.17, k * math.pi / 3)
        pen.oval((turn.real, 0.78 + turn.imag), (0.12, 0.12), colour, "petals")
    pen.oval(
        (0.0, 0.78), (0.10, 0.10), (0.95, 0.78, 0.15) if pen.thing.colour != "yellow" else (0.45, 0.27, 0.12), "heart"
    )


_DRAW: dict[str, Callable[[Pen, Colour], None]] = {
    "house": _draw_house,
    "tree": _draw_tree,
    "car": _draw_car,
    "watch": _draw_watch,
    "lamp": _draw_lamp,
    "dog": _draw_dog,
    "cup": _draw_cup,
    "ball": _draw_ball,
    "balloon": _draw_balloon,
    "flower": _draw_flower,
    "cat": draw_cat,
    "bicycle": draw_bicycle,
    "boat": draw_boat,
    "chair": draw_chair,
    "table": draw_table,
    "vase": draw_vase,
    "clock": draw_clock,
    "book": draw_book,
}
