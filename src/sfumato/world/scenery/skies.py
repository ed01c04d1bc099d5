"""Skies and the light they give: day, sunset, night with moon and stars. Start reading at `draw_sky`, then `TINTS`.

A sky is drawn in its own colours; everything in front of it is tinted by the ink. Knows no places.
"""

from __future__ import annotations

import random

from sfumato.world.ink import WHITE, Ink, box_path, oval_path
from sfumato.world.palette import Colour, darken, lighten, mix, vary
from sfumato.world.scenery.stage import SceneryStage

SKY: Colour = (0.50, 0.72, 0.94)
TINTS: dict[str, Colour] = {"day": WHITE, "sunset": (1.0, 0.80, 0.66), "night": (0.44, 0.50, 0.72)}
INDOOR_TINTS: dict[str, Colour] = {"day": WHITE, "sunset": (1.0, 0.86, 0.72), "night": (0.86, 0.74, 0.56)}
SUN: Colour = (1.0, 0.93, 0.70)
MOON: Colour = (0.97, 0.96, 0.88)
_DUSKS: tuple[tuple[Colour, ...], ...] = (
    ((0.30, 0.28, 0.52), (0.72, 0.42, 0.55), (0.98, 0.60, 0.38), (1.0, 0.84, 0.50)),
    ((0.40, 0.46, 0.70), (0.80, 0.60, 0.62), (0.99, 0.70, 0.42), (1.0, 0.88, 0.60)),
    ((0.42, 0.22, 0.42), (0.80, 0.32, 0.36), (0.98, 0.52, 0.24), (1.0, 0.76, 0.36)),
)
_NIGHTS: tuple[tuple[Colour, ...], ...] = (
    ((0.03, 0.05, 0.15), (0.07, 0.11, 0.27), (0.15, 0.21, 0.40)),
    ((0.04, 0.04, 0.12), (0.11, 0.10, 0.26), (0.22, 0.20, 0.38)),
)


def draw_sky(stage: SceneryStage, bottom: float, *, clouds: int) -> None:
    """Fill the picture down to `bottom` with the sky of the place's light."""
    if stage.place.light == "day":
        _draw_day(stage, bottom, clouds)
        return
    # What lies in front draws from the stage's own stream: the light must not change it.
    rng = random.Random(f"sky {stage.place.wobble}")
    with stage.ink.glowing():
        (_draw_dusk if stage.place.light == "sunset" else _draw_night)(stage, bottom, clouds, rng)


def light_scene(ink: Ink, light: str, *, indoors: bool) -> None:
    """Set the light of everything that is drawn from now on."""
    ink.light, ink.tint = light, (INDOOR_TINTS if indoors else TINTS)[light]


def light_subjects(ink: Ink) -> None:
    """Let a little more light fall on what is drawn from now on: people and things by night stay readable."""
    if ink.light == "night":
        ink.tint = mix(ink.tint, WHITE, 0.38)


def find_light_source(stage: SceneryStage) -> complex:
    """Return the middle of the sun's or moon's disc."""
    rng = random.Random(f"light {stage.place.wobble}")
    x = stage.ink.aspect * rng.choice((rng.uniform(0.12, 0.36), rng.uniform(0.64, 0.88)))
    if stage.place.light == "night":
        return complex(x, rng.uniform(0.10, 0.20))
    return complex(x, stage.place.horizon - rng.uniform(0.03, 0.11))


def draw_glitter(stage: SceneryStage, top: float, bottom: float) -> None:
    """Draw the road of light that a low sun or the moon lays on water."""
    if stage.place.light == "day":
        return
    rng = random.Random(f"glitter {stage.place.wobble}")
    colour: Colour = (1.0, 0.78, 0.42) if stage.place.light == "sunset" else (0.75, 0.80, 0.88)
    x = find_light_source(stage).real
    rows = max(5, round(26 * (bottom - top)))
    with stage.ink.glowing():
        for row in range(rows):
            share = (row + 0.5) / rows
            wide, y = 0.03 + 0.11 * share, top + (bottom - top) * share
            for _ in range(2):
                at = x + rng.uniform(-0.6, 0.6) * wide
                w = wide * rng.uniform(0.2, 0.6)
                stage.ink.line((complex(at - w, y), complex(at + w, y)), colour, 0.006 + 0.006 * share)


def _draw_day(stage: SceneryStage, bottom: float, clouds: int) -> None:
    tone = vary(SKY, stage.rng, 0.03)
    stage.gradient(-0.01, bottom, (darken(tone, 0.10), lighten(tone, 0.55)), "sky")
    for _ in range(clouds):
        x, y = stage.rng.uniform(0.0, stage.ink.aspect), stage.rng.uniform(0.08, max(0.12, bottom * 0.75))
        _draw_cloud(stage, stage.rng, complex(x, y), (0.97, 0.98, 1.0))


def _draw_cloud(stage: SceneryStage, rng: random.Random, at: complex, colour: Colour) -> None:
    r = rng.uniform(0.03, 0.06)
    for dx, dy, k in ((-1.5, 0.2, 0.7), (0.0, -0.2, 1.0), (1.4, 0.1, 0.8), (2.5, 0.35, 0.5), (-2.4, 0.4, 0.45)):
        blob = oval_path(complex(at.real + dx * r, at.imag + dy * r), 1.2 * k * r, 0.75 * k * r)
        stage.ink.fill(blob, colour, None, edge=False)


def _draw_dusk(stage: SceneryStage, bottom: float, clouds: int, rng: random.Random) -> None:
    colours = rng.choice(_DUSKS)
    stage.gradient(-0.01, bottom, colours, "sky")
    sun = find_light_source(stage)
    for _ in range(clouds + 2):
        y = rng.uniform(0.05, max(0.12, bottom * 0.8))
        x, wide = rng.uniform(0.0, stage.ink.aspect), rng.uniform(0.10, 0.24)
        tone = mix(colours[1], (1.0, 0.72, 0.55), y / bottom)
        for dx, dy, k in ((0.0, 0.0, 1.0), (-0.5, 0.014, 0.6), (0.45, 0.018, 0.7)):
            blob = oval_path(complex(x + dx * wide, y + dy), k * wide, 0.014 * (0.6 + k))
            stage.ink.fill(blob, tone, None, edge=False)
    stage.ink.shine(sun, 0.55, (1.0, 0.62, 0.25), 0.55)
    stage.ink.fill(oval_path(sun, 0.055, 0.055), SUN, stage.part("sun"), edge=False)
    stage.ink.shine(sun, 0.14, (1.0, 0.90, 0.60), 0.6)


def _draw_night(stage: SceneryStage, bottom: float, clouds: int, rng: random.Random) -> None:
    stage.gradient(-0.01, bottom, rng.choice(_NIGHTS), "sky")
    part = stage.part("stars")
    for _ in range(round(70 * stage.ink.aspect)):
        at = complex(rng.uniform(0.0, stage.ink.aspect), rng.uniform(0.0, bottom))
        size = rng.choice((0.0028, 0.0036, 0.0060)) * (1.15 if stage.ink.is_cartoon else 1.0)
        stage.ink.fill(
            oval_path(at, size, size),
            rng.choice(((0.95, 0.96, 1.0), (0.80, 0.85, 0.98), (1.0, 0.95, 0.82))),
            part,
            edge=False,
        )
    moon = find_light_source(stage)
    if rng.random() < 0.8:
        stage.ink.shine(moon, 0.26, (0.70, 0.76, 0.95), 0.5)
        stage.ink.fill(oval_path(moon, 0.050, 0.050), MOON, stage.part("moon"), edge=False)
        if rng.random() < 0.45:
            bite = oval_path(moon + complex(0.024, -0.012), 0.042, 0.042)
            stage.ink.fill(bite, (0.06, 0.09, 0.22), stage.part("sky"), edge=False)
        else:
            for dx, dy, r in ((-0.014, -0.010, 0.011), (0.016, 0.012, 0.014), (0.010, -0.022, 0.007)):
                stage.ink.fill(oval_path(moon + complex(dx, dy), r, r), darken(MOON, 0.12), None, edge=False)
    for _ in range(clouds):
        at = complex(rng.uniform(0.0, stage.ink.aspect), rng.uniform(0.10, max(0.14, bottom * 0.8)))
        wide = rng.uniform(0.08, 0.16)
        for dx, k in ((0.0, 1.0), (0.6, 0.6), (-0.5, 0.5)):
            stage.ink.wash(oval_path(at + dx * wide, k * wide, 0.018 * k), (0.55, 0.60, 0.78), 0.35)


def draw_lit_panes(
    ink: Ink, panes: list[tuple[float, float, float, float]], part: int | None, rng: random.Random
) -> None:
    """Light some of many small windows: left, top, right, bottom each."""
    with ink.glowing():
        for left, top, right, bottom in panes:
            if rng.random() < 0.55:
                tone: Colour = vary((1.0, 0.82, 0.42), rng, 0.06)
                ink.fill(box_path(left, top, right, bottom), tone, part, edge=False)
                ink.shine(
                    complex((left + right) / 2, (top + bottom) / 2), 2.2 * (right - left), (1.0, 0.70, 0.30), 0.35
                )
