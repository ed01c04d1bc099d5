"""Draw verdicts over their picture: a frame and a word for each hand, and its digits in colours.

Knows pixels and verdicts. Start reading at `draw_verdicts`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sfumato.canvas.pixels import PixelStore, count_grain, make_small
from sfumato.critic.anatomy.instances import SeenDigit
from sfumato.critic.anatomy.judge import JudgedHand
from sfumato.critic.anatomy.labels import CELL_PX, CROP_PX, DIGITS
from sfumato.critic.finders.crops import TurnedSquare
from sfumato.workflows.check.check import UnreadHand, count_words

# A marked picture is for looking at; a larger one is reduced.
LONGEST_PX = 4096
# Colours that people with red-green blindness tell apart (Okabe and Ito, 2008).
VERDICT_COLOURS = {
    "ok": "#009E73", "goof": "#D55E00", "licensed": "#CC79A7", "abstain": "#F0E442", "not-countable": "#A0A0A0",
}  # fmt: skip
DIGIT_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0))
OVERLAY = 0.45
CELLS = CROP_PX // CELL_PX


def draw_verdicts(pixels: PixelStore, hands: Iterable[JudgedHand | UnreadHand]) -> Image.Image:
    """Return a picture, reduced to at most 4096 px a side, with the verdicts on it."""
    grain = count_grain(pixels.size, LONGEST_PX)
    picture = make_small(pixels, LONGEST_PX).convert("RGB")
    hands = list(hands)
    for hand in hands:
        if isinstance(hand, JudgedHand):
            picture = _colour_digits(picture, hand, grain)
    pen = ImageDraw.Draw(picture)
    width = max(2, round(max(picture.size) / 500))
    font = ImageFont.load_default(size=max(11, 6 * width))
    for hand in hands:
        word = hand.verdict.word if isinstance(hand, JudgedHand) else "not-countable"
        text = word
        # The number of digits of a hand that cannot be counted would only mislead.
        if isinstance(hand, JudgedHand) and word != "not-countable":
            text = f"{count_words(hand.verdict.digits)}, {word} {hand.verdict.sure:.2f}"
        box = hand.box
        left, top = box.left / grain, box.top / grain
        pen.rectangle(
            (left, top, box.right / grain - 1, box.bottom / grain - 1), outline=VERDICT_COLOURS[word], width=width
        )
        width_px = pen.textlength(text, font=font)
        high = font.size if isinstance(font, ImageFont.FreeTypeFont) else 0
        place = (max(0.0, min(left, picture.width - width_px)), max(0.0, top - high - width))
        pen.rectangle(pen.textbbox(place, text, font=font), fill="black")
        pen.text(place, text, fill=VERDICT_COLOURS[word], font=font)
    return picture


def _colour_digits(picture: Image.Image, hand: JudgedHand, grain: int) -> Image.Image:
    """Return the picture with the digits of a hand in colours, the extra one red."""
    cover = np.zeros((CELLS, CELLS, 4), np.uint8)
    for digit in hand.evidence.digits:
        _paint(cover, digit)
    square = hand.square
    small = TurnedSquare(square.x / grain, square.y / grain, square.side / grain, square.angle)
    box = small.bound()
    step = CELLS / small.side
    sine, cosine = math.sin(small.angle), math.cos(small.angle)
    # From a place in the box to a cell of the square: back to the middle, turned back, scaled.
    x, y = small.x - box.left, small.y - box.top
    a, b, d, e = step * cosine, step * sine, -step * sine, step * cosine
    c, f = CELLS / 2 - a * x - b * y, CELLS / 2 - d * x - e * y
    turned = Image.fromarray(cover).transform(
        (box.width, box.height), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.NEAREST
    )
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    layer.paste(turned, (box.left, box.top))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def _paint(cover: np.ndarray, digit: SeenDigit) -> None:
    cover[digit.cells] = (*DIGIT_COLOURS[DIGITS.index(digit.digit)], round(255 * OVERLAY))
