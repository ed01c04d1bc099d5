"""What lies behind a hand: a place of the drawn world, a whole drawn scene, or plain colour, out of focus.

Start reading at `draw_backdrop`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sfumato.world.hands3d.mesh import Floats
from sfumato.world.ink import Ink
from sfumato.world.places import PLACES, PLAIN, TEXTURES, Place, draw_place
from sfumato.world.stream import Wish, make_sample
from sfumato.world.truth import PartTree

BACKDROPS = ("place", "any")
DISTRACTING_SHARE = 0.4
"""Share of backdrops of the kind `any` with skin-coloured shapes, so that skin alone is no hand."""


@dataclass(frozen=True)
class Backdrop:
    """What lies behind: sRGB in [0, 1], float32 [H, W, 3], and the place it is, None where it is no place."""

    picture: Floats
    place: Place | None


def draw_backdrop(kind: str, size: int, rng: np.random.Generator) -> Backdrop:
    """Draw what lies behind a hand, `size` pixels wide and high; `kind` is one of `BACKDROPS`."""
    place, choice = _draw_place(rng, kind), rng.random()
    if kind == "any" and choice < 0.40:
        place = None
        shot = ("half", "full", "portrait", "thing", "pair", "group")[rng.integers(6)]
        drawn = make_sample(int(rng.integers(1 << 40)), size=size, wish=Wish(shot=shot, style="photo")).image
    elif kind == "any" and choice < 0.55:
        place = None
        drawn = _draw_cloud(size, rng)
    else:
        ink = Ink(size, size, "photo", with_ids=False)
        draw_place(ink, PartTree(), place)
        drawn = ink.picture()
    return Backdrop(_blur_and_light(drawn, kind, rng), place)


def _draw_place(rng: np.random.Generator, kind: str) -> Place:
    """Draw a place: those of the captions of hands, or any, textures too."""
    names = (PLAIN, PLAIN, "meadow", "beach", "room", "street") if kind == "place" else (PLAIN, *PLACES, *TEXTURES)
    name = names[rng.integers(len(names))]
    return Place(name, float(rng.uniform(0.35, 0.55)), int(rng.integers(1 << 30)))


def _blur_and_light(drawn: NDArray[np.uint8], kind: str, rng: np.random.Generator) -> Floats:
    size = len(drawn)
    picture = drawn.astype(np.float32) / 255
    if kind == "any" and rng.random() < DISTRACTING_SHARE:
        picture = _add_skin(picture, rng)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    # Hands are near: what lies behind is out of focus, more or less.
    sigma = size / 128 * (rng.uniform(0.4, 3.5) if kind == "any" else rng.uniform(0.6, 2.2))
    picture = ndimage.gaussian_filter(picture, (sigma, sigma, 0), truncate=2.5)
    level = rng.uniform(0.65, 1.1) if kind == "any" else rng.uniform(0.85, 1.06)
    shade = 1 + rng.uniform(-0.15, 0.15) * np.linspace(-1, 1, size, dtype=np.float32)
    return np.ascontiguousarray(np.clip(picture * np.float32(level) * shade[None, :, None].astype(np.float32), 0, 1))


def _draw_cloud(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a gradient of two colours with blots of all sizes."""
    first, second = rng.random((2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    share = np.clip(np.cos(angle) * columns + np.sin(angle) * rows + 0.5, 0, 1)[..., None]
    noise = rng.standard_normal((size, size, 3))
    sigma = size * rng.uniform(0.01, 0.15)
    noise = ndimage.gaussian_filter(noise, (sigma, sigma, 0), mode="wrap")
    noise *= rng.uniform(0.0, 0.2) / max(1e-6, float(noise.std()))
    return np.clip((first * (1 - share) + second * share + noise) * 255, 0, 255).astype(np.uint8)


def _add_skin(picture: Floats, rng: np.random.Generator) -> Floats:
    """Lay limb-like shapes in skin colours over a picture."""
    size = len(picture)
    rows, columns = np.mgrid[:size, :size].astype(np.float32) / size
    for _ in range(int(rng.integers(1, 4))):
        tone = np.array([0.85, 0.62, 0.5]) * rng.uniform(0.35, 1.1) * rng.normal(1, 0.05, 3)
        x, y, angle = rng.random(), rng.random(), rng.uniform(0, np.pi)
        along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
        across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        long, wide = rng.uniform(0.1, 0.6), rng.uniform(0.03, 0.2)
        inside = (along / long) ** 2 + (across / wide) ** 2
        light = np.clip(1.1 - 0.5 * inside + 0.4 * across / wide, 0.3, 1.3)[..., None]
        cover = np.clip((1 - inside) * 12, 0, 1)[..., None].astype(np.float32)
        picture = picture * (1 - cover) + cover * np.clip(tone * light, 0, 1).astype(np.float32)
    return picture
