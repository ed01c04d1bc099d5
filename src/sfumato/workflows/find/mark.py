"""Draw what was found over its picture: a frame for each thing, its kind and how sure it is, and its points.

Knows pixels and findings. Start reading at `draw_marks`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from sfumato.canvas.formats.save import save_canvas
from sfumato.canvas.pixels import PixelStore, count_grain, make_small
from sfumato.core.errors import RequestError
from sfumato.core.found import Found

# A marked picture is for looking at; a larger one is reduced.
LONGEST_PX = 4096
# Colours that people with red-green blindness tell apart (Okabe and Ito, 2008); kinds not named take the last.
COLOURS = {"face": "#E69F00", "hand": "#56B4E9", "person": "#009E73", "eye": "#F0E442", "mouth": "#CC79A7"}
OTHER_COLOUR = "#D55E00"
# Frames of small parts carry no words: they would hide what they frame.
LEAST_LABEL_PX = 40
# Bones of a hand, from joint to joint, in the order of its 21 points.
BONES = tuple((0 if joint == 1 else joint - 1, joint) for root in range(1, 21, 4) for joint in range(root, root + 4))


def draw_marks(pixels: PixelStore, found: Iterable[Found]) -> Image.Image:
    """Return a picture, reduced to at most 4096 px a side, with marks on it."""
    grain = count_grain(pixels.size, LONGEST_PX)
    picture = make_small(pixels, LONGEST_PX).convert("RGB")
    pen = ImageDraw.Draw(picture)
    width = max(2, round(max(picture.size) / 500))
    font = ImageFont.load_default(size=max(11, 6 * width))
    # Small things lie on large ones.
    for one in sorted(found, key=lambda one: -one.box.area):
        _draw_one(pen, one, grain, width, font)
    return picture


def check_suffix(path: Path) -> None:
    """Check that a marked picture can have this name.

    Raises:
        RequestError: another suffix than .png, .jpg or .webp.
    """
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise RequestError("a marked picture is a .png, .jpg or .webp file", got=str(path), do="Name it so in `out`.")


def save_marks(path: Path, pixels: PixelStore, found: Iterable[Found]) -> None:
    """Save a marked picture as .png, .jpg or .webp.

    Raises:
        RequestError: another suffix.
        StorageError: the disk refuses.
    """
    check_suffix(path)
    save_canvas(path, draw_marks(pixels, found), {})


def _draw_one(
    pen: ImageDraw.ImageDraw, one: Found, grain: int, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    colour = COLOURS.get(one.kind, OTHER_COLOUR)
    left, top = one.box.left / grain, one.box.top / grain
    right, bottom = max(left + 1, one.box.right / grain - 1), max(top + 1, one.box.bottom / grain - 1)
    pen.rectangle((left, top, right, bottom), outline=colour, width=width)
    points = [(x / grain, y / grain) for x, y in one.points]
    if one.kind == "hand" and len(points) == len(BONES) + 1:
        for start, end in BONES:
            pen.line((points[start], points[end]), fill=colour, width=width)
    radius = width / 2 if one.kind in ("eye", "mouth") else width
    for x, y in points:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    if right - left >= LEAST_LABEL_PX:
        words = f"{one.kind} {one.confidence:.2f}"
        place = (left + width, top + width)
        pen.rectangle(pen.textbbox(place, words, font=font), fill="black")
        pen.text(place, words, fill=colour, font=font)
