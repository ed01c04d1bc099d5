"""Sheets to look at: what was asked, drawn and generated, side by side, one sheet per shot.

Knows pictures and words. Start reading at `save_sheets`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sfumato.canvas.formats.images import save_picture
from sfumato.critic.reader.questions import Word

COLUMNS = 8
GAP_PX = 4
# Pillow's built-in letters are about 6 px wide and 11 px high.
LETTER_PX, LINE_PX, LINES = 6, 11, 6


def save_sheets(
    folder: Path, prompts: Sequence[str], shots: Sequence[Word], rows: Mapping[str, NDArray[np.uint8]]
) -> tuple[Path, ...]:
    """Save a PNG per shot with its first eight prompts; `rows` maps a title to pictures [N, H, W, 3].

    Raises:
        StorageError: the folder cannot be written.
    """
    saved: list[Path] = []
    for shot in sorted({str(s) for s in shots}):
        picks = [i for i, s in enumerate(shots) if s == shot][:COLUMNS]
        sheet = draw_sheet([prompts[i] for i in picks], {title: pictures[picks] for title, pictures in rows.items()})
        path = folder / f"{shot}.png"
        save_picture(path, sheet, {})
        saved.append(path)
    return tuple(saved)


def draw_sheet(prompts: Sequence[str], rows: Mapping[str, NDArray[np.uint8]]) -> Image.Image:
    """Lay out rows of pictures under their titles, and the prompts below."""
    side = next(iter(rows.values())).shape[1]
    cell, band = side + GAP_PX, side + GAP_PX + LINE_PX
    sheet = Image.new("RGB", (cell * len(prompts), band * len(rows) + LINES * LINE_PX), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (title, pictures) in enumerate(rows.items()):
        pen.text((2, number * band), title, fill="black")
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (column * cell, number * band + LINE_PX))
    for column, prompt in enumerate(prompts):
        lines = textwrap.wrap(prompt, max(1, side // LETTER_PX))[:LINES]
        pen.multiline_text((column * cell + 2, band * len(rows)), "\n".join(lines), fill="black", spacing=0)
    return sheet
