"""Draws a head: hair, ears, face, eyes, brows, nose, mouth, glasses, beard. Start reading at `draw_head`."""

from __future__ import annotations

import cmath
import math
import random

import skia

from sfumato.world.ink import Ink, oval_path, poly_path
from sfumato.world.palette import CLOTHES, EYE_WORDS, EYES, HAIR, RARE_HAIR, SKIN, Colour, darken, lighten, mix
from sfumato.world.people.body import BodyShape
from sfumato.world.people.draw_marks import (
    MORE_HAIR,
    draw_lips,
    draw_marks,
    draw_moustache,
    draw_special_back,
    draw_special_front,
    draw_top_marks,
)
from sfumato.world.truth import PartTree


def hair_colour(shape: BodyShape) -> Colour:
    """Return the hair's colour."""
    return (HAIR | RARE_HAIR)[shape.person.hair]


def draw_back_hair(ink: Ink, tree: PartTree, shape: BodyShape, path: str) -> None:
    """Draw what hangs behind head and shoulders; comes before the body."""
    style = shape.person.hair_style
    rx, ry, c = shape.head_rx, shape.head_ry, shape.head
    if style == "long":
        drop = 2.15 * ry
        outline = [c + complex(x * rx, y * ry) for x, y in ((-1.05, -0.5), (-0.6, -1.08), (0.6, -1.08), (1.05, -0.5))]
        outline += [
            c + complex(1.32 * rx, 0.5 * drop),
            c + complex(1.12 * rx, drop * 0.82),
            c + complex(-1.12 * rx, drop * 0.82),
            c + complex(-1.32 * rx, 0.5 * drop),
        ]
        ink.fill(
            poly_path(outline, 0.3),
            darken(hair_colour(shape), 0.12),
            tree.add(f"{path}/hair", colour=hair_colour(shape)),
            shade="side",
        )
    elif style == "bun":
        ink.fill(
            oval_path(c - 1.18j * ry, 0.42 * rx, 0.34 * ry),
            hair_colour(shape),
            tree.add(f"{path}/hair", colour=hair_colour(shape)),
            shade="round",
        )
    elif style in MORE_HAIR:
        draw_special_back(ink, tree, shape, hair_colour(shape), path)


def draw_head(ink: Ink, tree: PartTree, shape: BodyShape, path: str) -> None:
    """Draw the head with all its parts under `path`."""
    person, rx, ry, c = shape.person, shape.head_rx, shape.head_ry, shape.head
    skin = SKIN[person.skin]
    for side, sign in (("right", -1), ("left", 1)):
        ear = oval_path(c + complex(sign * rx * 1.0, 0.10 * ry), 0.17 * rx, 0.19 * ry)
        ink.fill(ear, darken(skin, 0.06), tree.add(f"{path}/ear_{side}", colour=skin))
    ink.fill(_face_path(shape), skin, tree.add(path, colour=skin), shade="round")
    if person.beard:
        _draw_beard(ink, shape)
    _draw_wrinkles(ink, shape, skin)
    draw_marks(ink, tree, shape, hair_colour(shape), path)
    _draw_eyes(ink, tree, shape, path)
    _draw_nose(ink, tree, shape, skin, path)
    _draw_mouth(ink, tree, shape, path)
    if "moustache" in person.marks:
        draw_moustache(ink, tree, shape, hair_colour(shape), path)
    _draw_front_hair(ink, tree, shape, path)
    _draw_brows(ink, tree, shape, path)
    if person.glasses:
        _draw_glasses(ink, tree, shape, path)
    draw_top_marks(ink, tree, shape, path)


def _face_path(shape: BodyShape) -> skia.Path:
    jaw = 0.74 if shape.person.age == "child" else 0.80 if shape.person.kind == "man" else 0.68
    outline = (
        (0, -1.0),
        (0.72, -0.80),
        (1.0, -0.18),
        (0.95, 0.35),
        (jaw, 0.74),
        (0.30, 1.0),
        (-0.30, 1.0),
        (-jaw, 0.74),
        (-0.95, 0.35),
        (-1.0, -0.18),
        (-0.72, -0.80),
    )
    return poly_path([shape.head + complex(x * shape.head_rx, y * shape.head_ry) for x, y in outline], 0.5)


def _draw_eyes(ink: Ink, tree: PartTree, shape: BodyShape, path: str) -> None:
    rx, ry = shape.head_rx, shape.head_ry
    person = shape.person
    iris = EYES[person.face_seed % len(EYES)] if person.skin == "light" else EYES[0]
    iris = EYE_WORDS.get(person.eyes, iris)
    big, low = 1.2 if ink.is_cartoon else 1.0, 0.02
    if person.age == "child":
        big, low = 1.18 * big, 0.08
    for side, sign in (("right", -1), ("left", 1)):
        centre = shape.head + complex(sign * 0.41 * rx, low * ry)
        part = tree.add(f"{path}/eye_{side}", tip=(centre.real, centre.imag))
        white = oval_path(centre, 0.225 * rx * big, 0.118 * ry * big)
        ink.fill(white, (0.97, 0.97, 0.97), part, edge=False)
        ink.fill(oval_path(centre, 0.125 * rx * big, 0.112 * ry * big), iris, part, edge=False)
        ink.fill(oval_path(centre, 0.065 * rx * big, 0.060 * ry * big), (0.04, 0.04, 0.05), part, edge=False)
        glint = oval_path(centre + complex(-0.045 * rx, -0.045 * ry), 0.030 * rx, 0.028 * ry)
        ink.fill(glint, (1.0, 1.0, 1.0), part, edge=False)
        lid = (
            centre + complex(-0.25 * rx * big, 0.02 * ry),
            centre + complex(0, -0.20 * ry * big),
            centre + complex(0.25 * rx * big, 0.02 * ry),
        )
        ink.line(lid, (0.16, 0.10, 0.09), (0.075 if shape.person.kind == "woman" else 0.05) * rx)


def _draw_brows(ink: Ink, tree: PartTree, shape: BodyShape, path: str) -> None:
    rx, ry, c = shape.head_rx, shape.head_ry, shape.head
    tone = darken(hair_colour(shape), 0.25)
    width = (0.105 if shape.person.kind == "man" and shape.person.age != "child" else 0.07) * rx
    for side, sign in (("right", -1), ("left", 1)):
        inner, outer = c + complex(sign * 0.20 * rx, -0.245 * ry), c + complex(sign * 0.66 * rx, -0.225 * ry)
        middle = c + complex(sign * 0.45 * rx, -0.355 * ry)
        ink.line((inner, middle, outer), tone, width, tree.add(f"{path}/brow_{side}", colour=tone))


def _draw_nose(ink: Ink, tree: PartTree, shape: BodyShape, skin: Colour, path: str) -> None:
    rx, ry, c = shape.head_rx, shape.head_ry, shape.head
    part = tree.add(f"{path}/nose", colour=skin)
    if not ink.is_cartoon:
        ink.fill(
            oval_path(c + complex(0.02 * rx, 0.27 * ry), 0.13 * rx, 0.17 * ry), darken(skin, 0.05), part, edge=False
        )
    points = (c + complex(-0.15 * rx, 0.36 * ry), c + complex(0.0, 0.48 * ry), c + complex(0.15 * rx, 0.36 * ry))
    ink.line(points, darken(skin, 0.32), 0.055 * rx, part)


def _draw_mouth(ink: Ink, tree: PartTree, shape: BodyShape, path: str) -> None:
    rx, ry, c = shape.head_rx, shape.head_ry, shape.head
    lip = mix(SKIN[shape.person.skin], (0.72, 0.12, 0.16), 0.75 if shape.person.kind == "woman" else 0.45)
    part = tree.add(f"{path}/mouth", colour=lip)
    if not shape.person.smile and shape.person.is_fine:
        draw_lips(ink, shape, lip, part)
        return
    if not shape.person.smile:
        y = 0.66
        ink.line(
            (c + complex(-0.26 * rx, y * ry), c + complex(0, (y - 0.02) * ry), c + complex(0.26 * rx, y * ry)),
            lip,
            0.085 * rx,
            part,
        )
        return
    smile = skia.Path()
    left, low, right = (
        c + complex(-0.40 * rx, 0.575 * ry),
        c + complex(0, 0.97 * ry),
        c + complex(0.40 * rx, 0.575 * ry),
    )
    smile.moveTo(left.real, left.imag)
    smile.quadTo(low.real, low.imag, right.real, right.imag)
    smile.quadTo(c.real, c.imag + 0.62 * ry, left.real, left.imag)
    smile.close()
    teeth: Colour = (0.98, 0.97, 0.95)
    ink.fill(smile, teeth, tree.add(f"{path}/mouth/teeth", colour=teeth), edge=False)
    ink.line((left, low, right), lip, 0.075 * rx, part)
    ink.line((left, c + 0.62j * ry, right), lip, 0.065 * rx, part)


def _draw_front_hair(ink: Ink, tree: PartTree, shape: BodyShape, path: str) -> None:
    if shape.person.hair_style in ("curly", "mohawk"):
        draw_special_front(ink, tree, shape, hair_colour(shape), path)
    if shape.person.hair_style in ("bald", "curly", "mohawk"):
        return
    rx, ry, c = shape.head_rx, shape.head_ry, shape.head
    rng = random.Random(f"hair {shape.person.face_seed}")
    reach = 0.10 if shape.person.hair_style == "short" else 0.35
    outer = [
        c + complex(1.10 * rx * math.sin(a), -1.10 * ry * math.cos(a))
        for a in (-1.72, -1.35, -0.9, -0.45, 0.0, 0.45, 0.9, 1.35, 1.72)
    ]
    part_x = rng.choice((-0.35, 0.0, 0.35)) if shape.person.hair_style != "bun" else 0.0
    inner = [
        (0.98, reach),
        (0.84, -0.28),
        (0.52, -0.52),
        (part_x, -0.66),
        (-0.52, -0.52),
        (-0.84, -0.28),
        (-0.98, reach),
    ]
    outline = outer + [c + complex(x * rx, y * ry) for x, y in inner]
    colour = hair_colour(shape)
    hair = poly_path(outline, 0.45)
    ink.fill(hair, colour, tree.add(f"{path}/hair", colour=colour), shade="down")
    if not ink.is_cartoon:
        for turn in (-0.55, -0.2, 0.2, 0.55):
            start = c + complex(1.02 * rx * math.sin(turn), -1.02 * ry * math.cos(turn))
            end = c + complex(0.80 * rx * math.sin(turn * 1.7), -0.72 * ry * math.cos(turn * 1.2))
            ink.line((start, (start + end) / 2 + 0.05 * rx, end), lighten(colour, 0.14), 0.035 * rx)
    if shape.person.hair_style == "braids":
        draw_special_front(ink, tree, shape, colour, path)


def _draw_glasses(ink: Ink, tree: PartTree, shape: BodyShape, path: str) -> None:
    rx, ry, c = shape.head_rx, shape.head_ry, shape.head
    part = tree.add(f"{path}/glasses")
    frame: Colour = (
        (0.08, 0.08, 0.10) if shape.person.glasses_colour == "black" else CLOTHES[shape.person.glasses_colour]
    )
    steps = 32 if shape.person.is_fine else 8
    for sign in (-1, 1):
        centre = c + complex(sign * 0.42 * rx, 0.03 * ry)
        ring = [
            centre
            + cmath.rect(1.0, a * math.pi / steps).real * 0.33 * rx
            + 1j * cmath.rect(1.0, a * math.pi / steps).imag * 0.215 * ry
            for a in range(2 * steps + 1)
        ]
        ink.line(ring, frame, 0.075 * rx, part)
        ink.line((centre + sign * 0.33 * rx, c + complex(sign * 1.0 * rx, 0.0)), frame, 0.06 * rx, part)
    ink.line((c + complex(-0.10 * rx, 0.01 * ry), c + complex(0.10 * rx, 0.01 * ry)), frame, 0.06 * rx, part)


def _draw_beard(ink: Ink, shape: BodyShape) -> None:
    rx, ry, c = shape.head_rx, shape.head_ry, shape.head
    outline = [
        c + complex(x * rx, y * ry)
        for x, y in (
            (-0.97, 0.15),
            (-0.80, 0.36),
            (-0.45, 0.47),
            (0.45, 0.47),
            (0.80, 0.36),
            (0.97, 0.15),
            (0.88, 0.62),
            (0.36, 1.08),
            (-0.36, 1.08),
            (-0.88, 0.62),
        )
    ]
    ink.fill(poly_path(outline, 0.4), hair_colour(shape), None, edge=False, shade="down")


def _draw_wrinkles(ink: Ink, shape: BodyShape, skin: Colour) -> None:
    if shape.person.age != "old":
        return
    rx, ry, c = shape.head_rx, shape.head_ry, shape.head
    tone = darken(skin, 0.18)
    for sign in (-1, 1):
        ink.line(
            (
                c + complex(sign * 0.30 * rx, 0.38 * ry),
                c + complex(sign * 0.52 * rx, 0.48 * ry),
                c + complex(sign * 0.54 * rx, 0.68 * ry),
            ),
            tone,
            0.04 * rx,
        )
    for y in (-0.44, -0.54):
        ink.line(
            (c + complex(-0.38 * rx, y * ry), c + complex(0, (y - 0.05) * ry), c + complex(0.38 * rx, y * ry)),
            tone,
            0.035 * rx,
        )
