"""Evidence for people: a sheet for each hand with what was read there, in colours and in plain words.

A sheet shows the hand, its parts and digits in colours, and the verdict; of a hand that was repaired, before and after.
Knows pixels and verdicts. Start reading at `draw_evidence`.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sfumato.canvas.formats.save import save_canvas
from sfumato.canvas.pixels import PixelStore
from sfumato.critic.anatomy.judge import JudgedHand, cut_hands
from sfumato.critic.anatomy.labels import ARM, CROP_PX, DIGITS, NAIL, PALM
from sfumato.workflows.check.mark import DIGIT_COLOURS, VERDICT_COLOURS

# Each panel shows the parser's square of 128 px twice as large.
PANEL_PX = 2 * CROP_PX
OVERLAY = 0.6
PART_COLOURS = {ARM: (120, 120, 120), PALM: (204, 121, 167), NAIL: (255, 255, 255)}
BACKGROUND, TEXT = (250, 250, 248), (30, 30, 30)
FONT_PX, LINE_PX, MARGIN_PX, LINE_CHARACTERS = 15, 20, 10, 66


def draw_evidence(pixels: PixelStore, hand: JudgedHand, *, repaired: PixelStore | None = None) -> Image.Image:
    """Return the sheet of a hand: what is there, what the parser sees, and why the verdict is what it is.

    `repaired` is the picture after this hand was repaired; it is then shown beside.
    """
    panels = [_enlarge(cut_hands(pixels, [hand.square])[0])]
    panels.append(_colour(panels[0], hand))
    if repaired is not None:
        panels.append(_enlarge(cut_hands(repaired, [hand.square])[0]))
    lines = [line for text in list_words(hand) for line in textwrap.wrap(text, LINE_CHARACTERS)]
    width = max(2 * PANEL_PX, len(panels) * PANEL_PX) + (len(panels) + 1) * MARGIN_PX
    height = PANEL_PX + 3 * MARGIN_PX + LINE_PX * len(lines)
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    for number, panel in enumerate(panels):
        sheet.paste(panel, (MARGIN_PX + number * (PANEL_PX + MARGIN_PX), MARGIN_PX))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=FONT_PX)
    pen.rectangle((0, 0, width - 1, 5), fill=VERDICT_COLOURS[hand.verdict.word])
    for number, line in enumerate(lines):
        pen.text((MARGIN_PX, PANEL_PX + 2 * MARGIN_PX + number * LINE_PX), line, fill=TEXT, font=font)
    return sheet


def list_words(hand: JudgedHand) -> list[str]:
    """Return the evidence about a hand in plain words: the verdict, what counted how many digits, and each likely cause."""
    verdict, evidence = hand.verdict, hand.evidence
    head = int(evidence.count_logs.argmax())
    lines = [
        f"{verdict.word} ({verdict.sure:.2f}): {verdict.reason}",
        (
            f"digits: {verdict.digits} ({verdict.count_sure:.2f}); the network says {head}, {evidence.middles} middles of "
            f"digits hang together, {evidence.tips} fingertips light up"
        ),
        f"all digits can be told: {verdict.countable:.2f}; something is wrong: {verdict.goof:.2f}",
    ]
    lines += [f"{finding.cause} at the {finding.part}: {finding.probability:.2f}" for finding in verdict.findings]
    lines.append("colours: " + ", ".join(f"{digit.digit} {_name(digit.digit)}" for digit in evidence.digits))
    return lines


_COLOUR_WORDS = ("orange", "light blue", "green", "yellow", "dark blue", "red")


def _name(digit: str) -> str:
    return _COLOUR_WORDS[DIGITS.index(digit)]


def save_evidence(folder: Path, name: str, sheets: list[Image.Image]) -> list[Path]:
    """Write the sheets of a picture's hands as `NAME hand N.png`; return where.

    Raises:
        StorageError: the folder cannot be written.
    """
    places = [folder / f"{name} hand {number}.png" for number in range(1, len(sheets) + 1)]
    for place, sheet in zip(places, sheets, strict=True):
        save_canvas(place, sheet, {})
    return places


def _enlarge(crop: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(crop).resize((PANEL_PX, PANEL_PX), Image.Resampling.BICUBIC)


def _colour(panel: Image.Image, hand: JudgedHand) -> Image.Image:
    """Return a panel with arm, palm, nails and digits in colours."""
    kinds = hand.maps.parts.argmax(0)
    cover = np.zeros((*kinds.shape, 4), np.uint8)
    for part in (ARM, PALM):
        cover[kinds == part] = (*PART_COLOURS[part], round(255 * OVERLAY))
    for digit in hand.evidence.digits:
        cover[digit.cells] = (*DIGIT_COLOURS[DIGITS.index(digit.digit)], round(255 * OVERLAY))
    cover[kinds == NAIL] = (*PART_COLOURS[NAIL], 255)
    layer = Image.fromarray(cover).resize((PANEL_PX, PANEL_PX), Image.Resampling.NEAREST)
    return Image.alpha_composite(panel.convert("RGBA"), layer).convert("RGB")
