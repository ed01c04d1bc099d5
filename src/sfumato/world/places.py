"""Draws places behind a scene: meadow, beach, street, room, plain walls, and whole-picture textures.

Start reading at `draw_place`. The horizon is a share of the picture's height from above.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import skia

from sfumato.world.ink import Ink, box_path, oval_path, poly_path
from sfumato.world.palette import Colour, darken, lighten, mix, vary
from sfumato.world.truth import PartTree

PLACES = ("meadow", "beach", "street", "room")
TEXTURES = ("brick wall", "foliage", "sky", "sea")
PLAIN = "plain"
SKY: Colour = (0.50, 0.72, 0.94)
GRASS: Colour = (0.36, 0.62, 0.25)
SEA: Colour = (0.13, 0.42, 0.66)
SAND: Colour = (0.91, 0.81, 0.58)
BRICK: Colour = (0.66, 0.29, 0.21)


@dataclass(frozen=True)
class Place:
    """A place by its word, the height of its horizon, and the seed of what no caption mentions."""

    kind: str
    horizon: float = 0.45
    wobble: int = 0


def draw_place(ink: Ink, tree: PartTree, place: Place) -> None:
    """Fill the whole picture with a place and enter its regions under place/."""
    before = ink.edge_scale
    ink.edge_scale = 0.6
    _DRAW[place.kind](_DrawnStage(ink, tree, place, random.Random(f"place {place.wobble}")))
    ink.edge_scale = before


@dataclass(frozen=True)
class _DrawnStage:
    ink: Ink
    tree: PartTree
    place: Place
    rng: random.Random

    def part(self, name: str) -> int:
        return self.tree.add(f"place/{name}")

    def band(self, top: float, bottom: float, colour: Colour, name: str, *, shade: str = "down") -> skia.Path:
        path = box_path(-0.01, top, self.ink.aspect + 0.01, bottom)
        self.ink.fill(path, colour, self.part(name), shade=shade, edge=False)
        return path


def _gradient(stage: _DrawnStage, top: float, bottom: float, colours: tuple[Colour, Colour], name: str) -> skia.Path:
    path = box_path(-0.01, top, stage.ink.aspect + 0.01, bottom)
    stops = [skia.Color4f(*colour, 1.0).toColor() for colour in colours]
    shader = skia.GradientShader.MakeLinear([skia.Point(0, top), skia.Point(0, bottom)], stops)
    stage.ink.canvas.drawPath(path, skia.Paint(AntiAlias=True, Shader=shader))
    stage.ink.mark(path, stage.part(name))
    return path


def _draw_sky(stage: _DrawnStage, bottom: float, *, clouds: int) -> None:
    tone = vary(SKY, stage.rng, 0.03)
    _gradient(stage, -0.01, bottom, (darken(tone, 0.10), lighten(tone, 0.55)), "sky")
    for _ in range(clouds):
        _draw_cloud(stage, stage.rng.uniform(0.0, stage.ink.aspect), stage.rng.uniform(0.08, max(0.12, bottom * 0.75)))


def _draw_cloud(stage: _DrawnStage, x: float, y: float) -> None:
    r = stage.rng.uniform(0.03, 0.06)
    for dx, dy, k in ((-1.5, 0.2, 0.7), (0.0, -0.2, 1.0), (1.4, 0.1, 0.8), (2.5, 0.35, 0.5), (-2.4, 0.4, 0.45)):
        blob = oval_path(complex(x + dx * r, y + dy * r), 1.2 * k * r, 0.75 * k * r)
        stage.ink.fill(blob, (0.97, 0.98, 1.0), None, edge=False)


def _meadow(stage: _DrawnStage) -> None:
    horizon, rng, ink = stage.place.horizon, stage.rng, stage.ink
    _draw_sky(stage, horizon + 0.06, clouds=rng.choice((0, 1, 2)))
    hill = mix(vary(GRASS, rng), SKY, 0.30)
    crest = [
        complex(-0.05, horizon + 0.02),
        complex(ink.aspect * 0.25, horizon - rng.uniform(0.02, 0.09)),
        complex(ink.aspect * 0.6, horizon + 0.01),
        complex(ink.aspect * 0.85, horizon - rng.uniform(0.0, 0.07)),
        complex(ink.aspect + 0.05, horizon + 0.01),
    ]
    ink.fill(
        poly_path([*crest, complex(ink.aspect + 0.1, 1.1), complex(-0.1, 1.1)], 0.4),
        hill,
        stage.part("hills"),
        edge=False,
    )
    ground = stage.band(horizon + 0.03, 1.01, vary(GRASS, rng), "grass")
    ink.texture(ground, 0.16, 0.80)
    for _ in range(rng.choice((0, 0, 6))):
        spot = complex(rng.uniform(0, ink.aspect), rng.uniform(horizon + 0.1, 1.0))
        size = 0.008 + 0.012 * (spot.imag - horizon)
        ink.fill(
            oval_path(spot, size, size),
            rng.choice(((0.98, 0.95, 0.5), (0.97, 0.97, 0.97), (0.92, 0.45, 0.45))),
            None,
            edge=False,
        )


def _beach(stage: _DrawnStage) -> None:
    horizon, rng, ink = stage.place.horizon, stage.rng, stage.ink
    _draw_sky(stage, horizon, clouds=rng.choice((0, 1, 2)))
    shore = horizon + (1 - horizon) * 0.28
    sea = vary(SEA, rng)
    water = _gradient(stage, horizon, shore + 0.02, (darken(sea, 0.1), lighten(sea, 0.25)), "sea")
    ink.texture(water, 0.12, 0.9)
    sand = stage.band(shore, 1.01, vary(SAND, rng), "sand")
    ink.texture(sand, 0.12, 0.7)
    foam = [complex(ink.aspect * i / 6, shore + rng.uniform(-0.006, 0.008)) for i in range(7)]
    ink.line(foam, (0.96, 0.98, 0.99), 0.016)


def _street(stage: _DrawnStage) -> None:
    horizon, rng, ink = stage.place.horizon + 0.08, stage.rng, stage.ink
    _draw_sky(stage, horizon, clouds=0)
    x = -rng.uniform(0.0, 0.15)
    while x < ink.aspect:
        width, top = rng.uniform(0.20, 0.34), rng.uniform(0.02, 0.20)
        wall = vary(rng.choice(((0.72, 0.62, 0.52), (0.60, 0.42, 0.36), (0.66, 0.68, 0.70), (0.78, 0.72, 0.60))), rng)
        ink.fill(box_path(x, top, x + width, horizon + 0.02), wall, stage.part("building"), shade="side")
        _draw_windows(stage, x, top, width, horizon)
        x += width
    stage.band(horizon, horizon + 0.09, (0.74, 0.73, 0.71), "pavement")
    road = stage.band(horizon + 0.08, 1.01, (0.42, 0.43, 0.45), "road")
    ink.texture(road, 0.10, 0.7)


def _draw_windows(stage: _DrawnStage, x: float, top: float, width: float, low: float) -> None:
    columns = 3 if width > 0.27 else 2
    for row in range(int((low - top - 0.06) / 0.115)):
        for column in range(columns):
            left, y = x + width * (column + 0.5) / columns - 0.022, top + 0.04 + 0.115 * row
            stage.ink.fill(box_path(left, y, left + 0.044, y + 0.062), (0.33, 0.40, 0.48), None, edge=False)


def _room(stage: _DrawnStage) -> None:
    horizon, rng, ink = max(0.55, stage.place.horizon + 0.15), stage.rng, stage.ink
    wall = vary(rng.choice(((0.88, 0.83, 0.72), (0.72, 0.82, 0.84), (0.86, 0.76, 0.74))), rng)
    stage.band(-0.01, horizon, wall, "wall")
    x = ink.aspect * rng.choice((0.18, 0.80))
    ink.fill(box_path(x - 0.14, 0.08, x + 0.14, 0.36), (0.96, 0.96, 0.94), stage.part("window"))
    ink.fill(
        box_path(x - 0.12, 0.10, x + 0.12, 0.34), (0.66, 0.84, 0.96), stage.part("window"), shade="down", edge=False
    )
    ink.line((complex(x, 0.09), complex(x, 0.35)), (0.96, 0.96, 0.94), 0.014)
    ink.line((complex(x - 0.13, 0.22), complex(x + 0.13, 0.22)), (0.96, 0.96, 0.94), 0.014)
    floor = stage.band(horizon, 1.01, (0.62, 0.44, 0.28), "floor")
    ink.texture(floor, 0.10, 0.9)
    stage.band(horizon - 0.012, horizon + 0.012, (0.93, 0.92, 0.90), "wall")


def _plain(stage: _DrawnStage) -> None:
    tone = stage.rng.choice(((0.62, 0.68, 0.74), (0.80, 0.78, 0.74), (0.55, 0.63, 0.57), (0.86, 0.82, 0.86)))
    _gradient(stage, -0.01, 1.01, (lighten(vary(tone, stage.rng), 0.10), darken(tone, 0.12)), "wall")


def _brick_wall(stage: _DrawnStage) -> None:
    stage.band(-0.01, 1.01, (0.80, 0.76, 0.70), "mortar", shade="flat")
    part, rows = stage.part("bricks"), 14
    height = 1.0 / rows
    for row in range(rows):
        x = -(row % 2) * height * 1.1 - 0.05
        while x < stage.ink.aspect:
            tone = vary(BRICK, stage.rng, 0.035)
            brick = box_path(x + 0.006, row * height + 0.006, x + 2.2 * height - 0.006, (row + 1) * height - 0.006)
            stage.ink.fill(brick, tone, part, shade="flat", edge=False)
            x += 2.2 * height
    stage.ink.texture(box_path(0, 0, stage.ink.aspect, 1), 0.14, 0.7)


def _foliage(stage: _DrawnStage) -> None:
    rng = stage.rng
    stage.band(-0.01, 1.01, (0.12, 0.30, 0.12), "leaves", shade="flat")
    part = stage.part("leaves")
    for layer in range(3):
        tone = mix((0.14, 0.36, 0.14), (0.42, 0.66, 0.26), layer / 2)
        for _ in range(int(34 * stage.ink.aspect)):
            spot = complex(rng.uniform(0, stage.ink.aspect), rng.uniform(0, 1))
            leaf = oval_path(spot, 0.065, 0.030, rng.uniform(0, 3.14))
            stage.ink.fill(leaf, vary(tone, rng), part, shade="side", edge=False)


def _whole_sky(stage: _DrawnStage) -> None:
    _draw_sky(stage, 1.3, clouds=stage.rng.choice((3, 5, 7)))


def _whole_sea(stage: _DrawnStage) -> None:
    rng = stage.rng
    sea = vary(SEA, rng)
    water = _gradient(stage, -0.01, 1.01, (lighten(sea, 0.20), darken(sea, 0.15)), "sea")
    stage.ink.texture(water, 0.16, 0.9)
    for row in range(12):
        y = 0.04 + row / 12
        for _ in range(int(3 * stage.ink.aspect)):
            x, w = rng.uniform(0, stage.ink.aspect), rng.uniform(0.05, 0.10)
            crest = (complex(x - w, y), complex(x, y - 0.03), complex(x + w, y))
            stage.ink.line(crest, lighten(sea, 0.50), 0.007 + 0.004 * row / 12)


_DRAW: dict[str, Callable[[_DrawnStage], None]] = {
    "meadow": _meadow,
    "beach": _beach,
    "street": _street,
    "room": _room,
    "plain": _plain,
    "brick wall": _brick_wall,
    "foliage": _foliage,
    "sky": _whole_sky,
    "sea": _whole_sea,
}
