"""One sheet of many pictures: rows and columns with labels, reduced where it would be too large to look at.

Knows pictures and words. Start reading at `draw_grid`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

# A larger sheet is no sheet that a program opens.
MOST_SHEET_PIXELS = 2**26
_GAP_PX = 8
_LEAST_FONT_PX = 12


def draw_grid(
    pictures: Sequence[Image.Image],
    *,
    columns: int | None = None,
    column_labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
) -> Image.Image:
    """Return pictures in rows, `columns` in each (else about a square), with words above columns and left of rows."""
    count = columns or math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / count)
    wide, high = max(one.width for one in pictures), max(one.height for one in pictures)
    scale = min(1.0, math.sqrt(MOST_SHEET_PIXELS / (count * wide * rows * high)))
    wide, high = max(1, int(wide * scale)), max(1, int(high * scale))
    font = ImageFont.load_default(size=max(_LEAST_FONT_PX, high // 24))
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left = max((_measure(pen, text, font) for text in row_labels), default=0)
    left = min(left, 2 * wide) + 2 * _GAP_PX if row_labels else 0
    top = 2 * max(_LEAST_FONT_PX, high // 24) if column_labels else 0
    sheet = Image.new("RGB", (left + count * (wide + _GAP_PX), top + rows * (high + _GAP_PX)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        shown = picture.convert("RGB")
        shown.thumbnail((wide, high), Image.Resampling.LANCZOS)
        row, column = divmod(number, count)
        sheet.paste(shown, (left + column * (wide + _GAP_PX), top + row * (high + _GAP_PX)))
    for number, text in enumerate(column_labels[:count]):
        pen.text((left + number * (wide + _GAP_PX), 0), _fit(pen, text, font, wide), fill="black", font=font)
    for number, text in enumerate(row_labels[:rows]):
        place = (_GAP_PX, top + number * (high + _GAP_PX) + high // 2)
        pen.text(place, _fit(pen, text, font, left - _GAP_PX), fill="black", font=font)
    return sheet


def _measure(pen: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> int:
    return math.ceil(pen.textlength(text, font=font))


def _fit(pen: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width_px: int) -> str:
    """Return as much of a text as a width holds."""
    text = " ".join(text.split())
    while text and pen.textlength(text, font=font) > width_px:
        text = text[:-2] + "…" if len(text) > 2 else ""
    return text
