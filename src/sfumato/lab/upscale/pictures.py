"""The twelve pictures of `evaluate upscale`: photographs and renders out of packages, and four drawn here by code.

None of them chose a network or a limit. Knows names and shapes; no network. Start reading at `load_pictures`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from sfumato.core.geometry import PixelBox
from sfumato.models.parts.catalogue import check_part

if TYPE_CHECKING:
    from pathlib import Path

    from sfumato.core.resampling import Pixels

SIDE_PX = 256
# Renders in the package of the part `renders`, and where their crop begins. All names' SHA-256 begin with 0 to 7.
_RENDERS = {
    "rose, render": ("flux_canny_model_example-1.webp", 300, 330),
    "portrait, render": ("hidream_i1_full-1.webp", 128, 96),
    "reader at a window, render": ("sdxl_simple_example-1.webp", 520, 330),
    "baby and balloons, render": ("image_ovis_text_to_image-1.webp", 60, 130),
    "curly hair, render": ("image_z_image_turbo-1.webp", 70, 70),
}
# Drawn this much larger and reduced, so that edges are smooth.
_OVER = 4
_WORDS = (
    "File  Edit  View  Help", "Total of all orders: 1,284.50", "The quick brown fox jumps over", "the lazy dog. 0123456789",
    "if (count >= limit) return;", "Remember my settings", "user@example.org", "Cancel        Apply        OK",
)  # fmt: skip


def load_pictures() -> Iterator[tuple[str, Pixels]]:
    """Yield the name of each picture and its pixels, uint8 [256, 256, 3].

    Raises:
        ModelError: the parts `hopper` and `renders` were not fetched.
    """
    hopper, renders = check_part("hopper"), check_part("renders") / "templates"
    yield "astronaut, photograph", _cut(np.asarray(data.astronaut()), 100, 0)
    yield "Grace Hopper, photograph", _cut(_open(hopper / "sample_data" / "grace_hopper.jpg"), 128, 20)
    for name, (file, left, top) in _RENDERS.items():
        yield name, _cut(_open(renders / file), left, top)
    yield "text, screenshot", draw_screenshot()
    yield "comic, drawn by code", draw_comic()
    yield "pixel art, drawn by code", draw_sprites()
    yield "pencil, drawn by code", draw_pencil()
    yield "rocket at night, photograph", _cut(np.asarray(data.rocket()), 250, 171)


def draw_screenshot() -> Pixels:
    """Draw a window with lines of small text, a button and a frame, as a screen shows them."""
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), (246, 246, 248))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, SIDE_PX, 21), fill=(38, 70, 130))
    pen.text((8, 3), "Untitled - Notes", font=ImageFont.load_default(13), fill="white")
    for row, words in enumerate(_WORDS):
        pen.text((10, 32 + 25 * row), words, font=ImageFont.load_default(11 + row % 3), fill=(20, 20, 24))
    pen.rectangle((6, 202, 76, 226), outline=(120, 120, 128))
    pen.line((0, 236, SIDE_PX, 236), fill=(190, 190, 196))
    return np.asarray(picture)


def draw_comic() -> Pixels:
    """Draw a face with outlines, flat colours, halftone dots and a balloon."""
    side = SIDE_PX * _OVER
    picture = Image.new("RGB", (side, side), (250, 214, 90))
    pen = ImageDraw.Draw(picture)
    for y in range(0, side, 28):
        for x in range((y // 28 % 2) * 14, side, 28):
            pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=(240, 150, 60))
    ink = (20, 16, 24)
    pen.polygon(
        [(250, 420), (330, 200), (620, 160), (790, 400), (760, 640), (300, 640)],
        fill=(60, 40, 110),
        outline=ink,
        width=14,
    )
    pen.ellipse((310, 270, 740, 800), fill=(255, 214, 180), outline=ink, width=14)
    for x in (430, 620):
        pen.ellipse((x - 52, 460, x + 52, 540), fill="white", outline=ink, width=10)
        pen.ellipse((x - 18, 478, x + 18, 524), fill=ink)
        pen.arc((x - 66, 400, x + 66, 500), 200, 340, fill=ink, width=14)
    pen.line([(520, 520), (490, 620), (540, 624)], fill=ink, width=10, joint="curve")
    pen.chord((430, 640, 630, 760), 10, 170, fill=(190, 40, 50), outline=ink, width=10)
    pen.polygon([(260, 1024), (330, 790), (720, 790), (800, 1024)], fill=(210, 50, 60), outline=ink, width=14)
    pen.ellipse((600, 30, 1000, 220), fill="white", outline=ink, width=12)
    pen.polygon([(700, 210), (650, 300), (780, 214)], fill="white")
    pen.text((668, 70), "WOW!", font=ImageFont.load_default(110), fill=ink)
    return _reduce(picture)


def draw_sprites() -> Pixels:
    """Draw small symmetric figures of few colours, each cell 4 px wide."""
    rng = random.Random(7)
    cells = Image.new("RGB", (SIDE_PX // 4, SIDE_PX // 4), (40, 44, 60))
    for top in range(4, 64, 20):
        for left in range(4, 64, 20):
            colours = [tuple(rng.randrange(60, 256) for _ in range(3)) for _ in range(3)]
            for y in range(14):
                for x in range(7):
                    if rng.random() < 0.62:
                        colour = rng.choice(colours)
                        cells.putpixel((left + x, top + y), colour)
                        cells.putpixel((left + 13 - x, top + y), colour)
    return np.asarray(cells.resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST))


def draw_pencil() -> Pixels:
    """Draw a sphere, a box and their shadow by hatching on grained paper."""
    side, rng = SIDE_PX * _OVER, random.Random(11)
    grain = np.random.default_rng(11).normal(0.0, 3.0, (SIDE_PX, SIDE_PX, 1))
    picture = Image.new("RGB", (side, side), (242, 238, 226))
    pen = ImageDraw.Draw(picture)

    def hatch(left: float, top: float, angle: float, length: float, dark: int) -> None:
        bend = rng.gauss(0.0, 0.05)
        x, y = left + length * math.cos(angle + bend), top + length * math.sin(angle + bend)
        pen.line((left, top, x, y), fill=(dark, dark, dark + 6), width=rng.choice((2, 3, 4)))

    for _ in range(2600):
        angle, reach = rng.uniform(0.0, 2.0 * math.pi), 250.0 * math.sqrt(rng.random())
        x, y = 420 + reach * math.cos(angle), 400 + reach * math.sin(angle)
        light = math.hypot(x - 340, y - 310) / 420
        if rng.random() < light:
            hatch(x, y, 0.8, 46.0 * light + 8.0, int(190 - 120 * light))
    for _ in range(900):
        hatch(rng.uniform(330, 900), rng.uniform(690, 760), 0.05, 70.0, rng.randrange(90, 170))
    for row in range(60):
        hatch(700 + rng.gauss(0, 3), 480 + 5.0 * row, 0.02, 210.0, rng.randrange(70, 140))
    for edge in ((700, 470, 915, 475), (700, 470, 705, 780), (915, 475, 912, 785), (705, 780, 912, 785)):
        pen.line(edge, fill=(50, 50, 54), width=6)
    pen.ellipse((170, 150, 670, 650), outline=(60, 60, 64), width=5)
    return (_reduce(picture) + grain).round().clip(0, 255).astype(np.uint8)


def _reduce(picture: Image.Image) -> Pixels:
    return np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))


def _open(path: Path) -> Pixels:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def _cut(pixels: Pixels, left: int, top: int) -> Pixels:
    return np.ascontiguousarray(pixels[PixelBox(left, top, left + SIDE_PX, top + SIDE_PX).slices_hw])
