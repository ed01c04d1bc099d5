"""Draws mountains, and fields of flowers. Start reading at `draw_mountains`.

It knows the stage and skies; no things and no people.
"""

from __future__ import annotations

import random

import skia

from sfumato.world.ink import oval_path, poly_path
from sfumato.world.objects.furniture import FLOWER_COLOURS
from sfumato.world.palette import Colour, darken, lighten, mix, vary
from sfumato.world.scenery.skies import draw_sky
from sfumato.world.scenery.stage import SceneryStage

_ROCK: tuple[Colour, ...] = ((0.46, 0.48, 0.55), (0.52, 0.47, 0.44), (0.42, 0.47, 0.52))
_SNOW: Colour = (0.95, 0.97, 1.0)
_HAZE: Colour = (0.70, 0.80, 0.92)
_GRASS: Colour = (0.36, 0.62, 0.25)
_FOREST: Colour = (0.16, 0.36, 0.22)


def draw_mountains(stage: SceneryStage) -> None:
    """Draw two ranges of mountains, forest at their feet and a meadow before them."""
    horizon, rng, ink = stage.place.horizon + 0.06, stage.rng, stage.ink
    clouds = rng.choice((0, 1, 2))
    draw_sky(stage, horizon + 0.05, clouds=clouds)
    rock = vary(rng.choice(_ROCK), rng)
    peaks = rng.choice((3, 4))
    for k in range(peaks):
        x = ink.aspect * (k + rng.uniform(0.1, 0.9)) / peaks
        _draw_peak(stage, complex(x, horizon - rng.uniform(0.12, 0.22)), mix(rock, _HAZE, 0.45), horizon)
    main = sorted(rng.sample((0.14, 0.38, 0.62, 0.86), rng.choice((1, 2, 2))), key=lambda _: rng.random())
    for x in main:
        top = complex(ink.aspect * (x + rng.uniform(-0.05, 0.05)), rng.uniform(0.08, 0.20))
        _draw_peak(stage, top, rock, horizon)
    _draw_forest(stage, horizon, rng)
    ground = stage.band(horizon + 0.035, 1.01, vary(_GRASS, rng), "grass")
    ink.texture(ground, 0.16, 0.80)


def _draw_peak(stage: SceneryStage, top: complex, rock: Colour, foot: float) -> None:
    """Draw one mountain: a lit left side, a dark right one, snow above half its height."""
    rng, ink, part = stage.rng, stage.ink, stage.part("mountain")
    height = foot + 0.06 - top.imag
    left, right = (
        top + complex(-rng.uniform(0.8, 1.15), 1.0) * height,
        top + complex(rng.uniform(0.8, 1.15), 1.0) * height,
    )
    spine = [
        top,
        top + complex(rng.uniform(0.02, 0.10), 0.3) * height,
        top + complex(rng.uniform(-0.05, 0.06), 0.58) * height,
    ]
    spine.append(top + complex(rng.uniform(0.02, 0.12), 1.0) * height)
    west = [_between(left, top, share) + complex(0, rng.uniform(-0.035, 0.035)) * height for share in (0.3, 0.55, 0.8)]
    east = [_between(right, top, share) + complex(0, rng.uniform(-0.035, 0.035)) * height for share in (0.3, 0.55, 0.8)]
    ink.fill(poly_path([left, *west, *spine]), lighten(rock, 0.16), part, shade="down", edge=not ink.is_cartoon)
    ink.fill(poly_path([right, *east, *spine]), darken(rock, 0.24), part, shade="down", edge=not ink.is_cartoon)
    if ink.is_cartoon:
        ink.line([left, *west, top, *reversed(east), right], (0.10, 0.08, 0.09), 0.007)
    snow = stage.part("snow")
    hem_west = [_between(west[1], spine[2], 0.30), _between(west[1], spine[1], 0.55), _between(west[1], spine[2], 0.80)]
    hem_east = [_between(east[1], spine[2], 0.30), _between(east[1], spine[1], 0.55), _between(east[1], spine[2], 0.80)]
    ink.fill(poly_path([west[1], west[2], top, spine[1], *reversed(hem_west)]), _SNOW, snow, edge=False)
    ink.fill(
        poly_path([east[1], east[2], top, spine[1], *reversed(hem_east)]), mix(_SNOW, rock, 0.38), snow, edge=False
    )


def _between(a: complex, b: complex, share: float) -> complex:
    return a + (b - a) * share


def _draw_forest(stage: SceneryStage, horizon: float, rng: random.Random) -> None:
    part, tone = stage.part("forest"), vary(_FOREST, rng)
    path, x = skia.Path(), -0.05
    while x < stage.ink.aspect + 0.05:
        high = rng.uniform(0.025, 0.075)
        path.addPoly(
            [
                skia.Point(x - 0.020, horizon + 0.045),
                skia.Point(x, horizon + 0.04 - high),
                skia.Point(x + 0.020, horizon + 0.045),
            ],
            True,
        )
        x += rng.uniform(0.014, 0.030)
    stage.ink.fill(path, tone, part, edge=False)


def draw_flower_field(stage: SceneryStage) -> None:
    """Draw a meadow full of flowers of one colour, small in the distance, large in front."""
    horizon, rng, ink = stage.place.horizon, stage.rng, stage.ink
    draw_sky(stage, horizon + 0.05, clouds=rng.choice((0, 1, 2)))
    hill = mix(vary(_GRASS, rng), _HAZE, 0.35)
    crest = [
        complex(-0.05, horizon),
        complex(ink.aspect * 0.3, horizon - rng.uniform(0.02, 0.08)),
        complex(ink.aspect * 0.7, horizon),
    ]
    crest += [
        complex(ink.aspect + 0.05, horizon - rng.uniform(0.0, 0.05)),
        complex(ink.aspect + 0.1, 0.8),
        complex(-0.1, 0.8),
    ]
    ink.fill(poly_path(crest, 0.3), hill, stage.part("hills"), edge=False)
    grass = vary((0.30, 0.55, 0.22), rng)
    ground = stage.band(horizon + 0.02, 1.01, grass, "grass")
    ink.texture(ground, 0.18, 0.7)
    tone, part = FLOWER_COLOURS[stage.place.colour or "red"], stage.part("flowers")
    heart: Colour = (0.96, 0.80, 0.20) if stage.place.colour not in ("yellow", "orange") else (0.40, 0.24, 0.10)
    y, rows = horizon + 0.035, 0
    while y < 1.04 and rows < 16:
        share = (y - horizon) / (1 - horizon)
        size = 0.006 + 0.036 * share
        _draw_row(stage, y, size, (vary(tone, rng, 0.05), heart, darken(grass, 0.25)), part)
        y += 0.9 * size + 0.012
        rows += 1


def _draw_row(stage: SceneryStage, y: float, size: float, colours: tuple[Colour, Colour, Colour], part: int) -> None:
    """Draw one row of flowers; all petals of a row are one path, which costs the least."""
    rng, ink = stage.rng, stage.ink
    light, shadow, hearts, stems = skia.Path(), skia.Path(), skia.Path(), skia.Path()
    x = rng.uniform(-1.5, 1.0) * size
    while x < ink.aspect + size:
        at = complex(x, y + rng.uniform(-0.5, 0.5) * size)
        r = size * rng.uniform(0.75, 1.1)
        if size > 0.016:
            stems.addRect(skia.Rect.MakeLTRB(x - 0.06 * r, at.imag, x + 0.06 * r, at.imag + 2.2 * r))
            stems.addPath(oval_path(at + complex(0.5, 1.5) * r, 0.5 * r, 0.16 * r, -0.7))
            for dx, dy in ((0.0, -0.5), (0.48, -0.16), (0.3, 0.4), (-0.3, 0.4), (-0.48, -0.16)):
                (light if dy < 0.2 else shadow).addCircle(x + dx * r, at.imag + dy * r, 0.40 * r)
            hearts.addCircle(x, at.imag, 0.26 * r)
        else:
            light.addOval(skia.Rect.MakeLTRB(x - 0.7 * r, at.imag - 0.5 * r, x + 0.7 * r, at.imag + 0.5 * r))
        x += size * rng.uniform(1.3, 2.6)
    ink.fill(stems, colours[2], stage.part("stems"), edge=False)
    ink.fill(shadow, darken(colours[0], 0.14), part, edge=False)
    ink.fill(light, colours[0], part, edge=False)
    ink.fill(hearts, colours[1], part, edge=False)
