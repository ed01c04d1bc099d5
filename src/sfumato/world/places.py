"""Draws places behind a scene: meadow, beach, street, room, plain walls, and whole-picture textures.

Start reading at `draw_place`. The horizon is a share of the picture's height from above.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from sfumato.world.ink import Ink, box_path, oval_path, poly_path
from sfumato.world.palette import Colour, darken, lighten, mix, vary
from sfumato.world.scenery.landscapes import draw_flower_field, draw_mountains
from sfumato.world.scenery.skies import SKY, draw_glitter, draw_lit_panes, draw_sky, light_scene
from sfumato.world.scenery.stage import Place, SceneryStage
from sfumato.world.truth import PartTree

PLACES = ("meadow", "beach", "street", "room")
TEXTURES = ("brick wall", "foliage", "sky", "sea")
MORE_PLACES = ("mountains", "flower field", "open sea")
"""Places that the broad mix adds."""
PLAIN = "plain"
INDOORS = ("room", PLAIN)
GRASS: Colour = (0.36, 0.62, 0.25)
SEA: Colour = (0.13, 0.42, 0.66)
SAND: Colour = (0.91, 0.81, 0.58)
BRICK: Colour = (0.66, 0.29, 0.21)


def draw_place(ink: Ink, tree: PartTree, place: Place) -> None:
    """Fill the whole picture with a place and enter its regions under place/."""
    before = ink.edge_scale
    ink.edge_scale = 0.6
    light_scene(ink, place.light, indoors=place.kind in INDOORS)
    _DRAW[place.kind](SceneryStage(ink, tree, place, random.Random(f"place {place.wobble}")))
    ink.edge_scale = before


def _meadow(stage: SceneryStage) -> None:
    horizon, rng, ink = stage.place.horizon, stage.rng, stage.ink
    draw_sky(stage, horizon + 0.06, clouds=rng.choice((0, 1, 2)))
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


def _beach(stage: SceneryStage) -> None:
    horizon, rng, ink = stage.place.horizon, stage.rng, stage.ink
    draw_sky(stage, horizon, clouds=rng.choice((0, 1, 2)))
    shore = horizon + (1 - horizon) * 0.28
    sea = vary(SEA, rng)
    water = stage.gradient(horizon, shore + 0.02, (darken(sea, 0.1), lighten(sea, 0.25)), "sea")
    ink.texture(water, 0.12, 0.9)
    draw_glitter(stage, horizon + 0.006, shore)
    sand = stage.band(shore, 1.01, vary(SAND, rng), "sand")
    ink.texture(sand, 0.12, 0.7)
    foam = [complex(ink.aspect * i / 6, shore + rng.uniform(-0.006, 0.008)) for i in range(7)]
    ink.line(foam, (0.96, 0.98, 0.99), 0.016)


def _street(stage: SceneryStage) -> None:
    horizon, rng, ink = stage.place.horizon + 0.08, stage.rng, stage.ink
    draw_sky(stage, horizon, clouds=0)
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


def _draw_windows(stage: SceneryStage, x: float, top: float, width: float, low: float) -> None:
    columns = 3 if width > 0.27 else 2
    panes: list[tuple[float, float, float, float]] = []
    for row in range(int((low - top - 0.06) / 0.115)):
        for column in range(columns):
            left, y = x + width * (column + 0.5) / columns - 0.022, top + 0.04 + 0.115 * row
            panes.append((left, y, left + 0.044, y + 0.062))
            stage.ink.fill(box_path(*panes[-1]), (0.33, 0.40, 0.48), None, edge=False)
    if stage.place.light == "night":
        draw_lit_panes(stage.ink, panes, None, random.Random(f"panes {stage.place.wobble} {x:.3f}"))


def _room(stage: SceneryStage) -> None:
    horizon, rng, ink = max(0.55, stage.place.horizon + 0.15), stage.rng, stage.ink
    wall = vary(rng.choice(((0.88, 0.83, 0.72), (0.72, 0.82, 0.84), (0.86, 0.76, 0.74))), rng)
    stage.band(-0.01, horizon, wall, "wall")
    x = ink.aspect * rng.choice((0.18, 0.80))
    ink.fill(box_path(x - 0.14, 0.08, x + 0.14, 0.36), (0.96, 0.96, 0.94), stage.part("window"))
    _draw_view(stage, (x - 0.12, 0.10, x + 0.12, 0.34))
    ink.line((complex(x, 0.09), complex(x, 0.35)), (0.96, 0.96, 0.94), 0.014)
    ink.line((complex(x - 0.13, 0.22), complex(x + 0.13, 0.22)), (0.96, 0.96, 0.94), 0.014)
    floor = stage.band(horizon, 1.01, (0.62, 0.44, 0.28), "floor")
    ink.texture(floor, 0.10, 0.9)
    stage.band(horizon - 0.012, horizon + 0.012, (0.93, 0.92, 0.90), "wall")


def _draw_view(stage: SceneryStage, pane: tuple[float, float, float, float]) -> None:
    """Draw what shows through the window of a room."""
    ink, path = stage.ink, box_path(*pane)
    if stage.place.light == "day":
        ink.fill(path, (0.66, 0.84, 0.96), stage.part("window"), shade="down", edge=False)
        return
    night = stage.place.light == "night"
    dusk: tuple[Colour, ...] = ((0.62, 0.42, 0.58), (0.98, 0.62, 0.36), (1.0, 0.84, 0.52))
    with ink.glowing():
        ink.ramp(path, (pane[1], pane[3]), ((0.03, 0.05, 0.15), (0.12, 0.17, 0.35)) if night else dusk)
        ink.mark(path, stage.part("window"))
        rng = random.Random(f"view {stage.place.wobble}")
        for _ in range(9 if night else 0):
            star = complex(rng.uniform(pane[0], pane[2]), rng.uniform(pane[1], pane[3]))
            ink.fill(oval_path(star, 0.003, 0.003), (0.95, 0.95, 1.0), None, edge=False)
        if night:
            ink.fill(
                oval_path(complex(pane[0] + 0.17, pane[1] + 0.06), 0.024, 0.024), (0.97, 0.96, 0.88), None, edge=False
            )


def _plain(stage: SceneryStage) -> None:
    tone = stage.rng.choice(((0.62, 0.68, 0.74), (0.80, 0.78, 0.74), (0.55, 0.63, 0.57), (0.86, 0.82, 0.86)))
    stage.gradient(-0.01, 1.01, (lighten(vary(tone, stage.rng), 0.10), darken(tone, 0.12)), "wall")


def _brick_wall(stage: SceneryStage) -> None:
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


def _foliage(stage: SceneryStage) -> None:
    rng = stage.rng
    stage.band(-0.01, 1.01, (0.12, 0.30, 0.12), "leaves", shade="flat")
    part = stage.part("leaves")
    for layer in range(3):
        tone = mix((0.14, 0.36, 0.14), (0.42, 0.66, 0.26), layer / 2)
        for _ in range(int(34 * stage.ink.aspect)):
            spot = complex(rng.uniform(0, stage.ink.aspect), rng.uniform(0, 1))
            leaf = oval_path(spot, 0.065, 0.030, rng.uniform(0, 3.14))
            stage.ink.fill(leaf, vary(tone, rng), part, shade="side", edge=False)


def _whole_sky(stage: SceneryStage) -> None:
    draw_sky(stage, 1.3, clouds=stage.rng.choice((3, 5, 7)))


def _whole_sea(stage: SceneryStage) -> None:
    _draw_sea(stage, -0.01)


def _open_sea(stage: SceneryStage) -> None:
    """Draw the sea under a sky."""
    draw_sky(stage, stage.place.horizon + 0.01, clouds=stage.rng.choice((0, 1, 2)))
    _draw_sea(stage, stage.place.horizon)


def _draw_sea(stage: SceneryStage, top: float) -> None:
    rng = stage.rng
    sea = vary(SEA, rng)
    water = stage.gradient(top, 1.01, (lighten(sea, 0.20), darken(sea, 0.15)), "sea")
    stage.ink.texture(water, 0.16, 0.9)
    if top > 0:
        draw_glitter(stage, top + 0.006, 1.0)
    for row in range(12):
        y = 0.04 + row / 12
        if y < top + 0.05:
            continue
        near = (y - top) / (1.0 - top) if top > 0 else 1.0
        for _ in range(int(3 * stage.ink.aspect)):
            x, w = rng.uniform(0, stage.ink.aspect), rng.uniform(0.05, 0.10) * (0.4 + 0.6 * near)
            crest = (complex(x - w, y), complex(x, y - 0.03 * near), complex(x + w, y))
            stage.ink.line(crest, lighten(sea, 0.50), (0.007 + 0.004 * row / 12) * (0.5 + 0.5 * near))


_DRAW: dict[str, Callable[[SceneryStage], None]] = {
    "meadow": _meadow,
    "beach": _beach,
    "street": _street,
    "room": _room,
    "plain": _plain,
    "brick wall": _brick_wall,
    "foliage": _foliage,
    "sky": _whole_sky,
    "sea": _whole_sea,
    "mountains": draw_mountains,
    "flower field": draw_flower_field,
    "open sea": _open_sea,
}
