"""What skin looks like: tones, palms, red knuckles, creases, palm lines, nails, drawn at random for one hand.

It turns words (`light`, `tan`, `dark`) and a seed into numbers for the shader. Start reading at `draw_skin`,
then `find_marks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfumato.world.hands3d.labels import EXTRA
from sfumato.world.hands3d.mesh import Floats, bone
from sfumato.world.hands3d.posed import PosedHand
from sfumato.world.hands3d.rig import DIGITS, FINGERS, RestHand, unit

_TONES = np.array(
    [
        [232, 190, 172], [224, 172, 148], [206, 150, 120], [188, 128, 94],
        [158, 102, 72], [122, 76, 52], [88, 54, 40], [66, 43, 34],
    ]
) / 255.0  # fmt: skip
"""Anchor tones of the back of the hand in sRGB, from light to dark."""
TONE_RANGES = {"light": (0.0, 2.2), "tan": (2.4, 4.2), "dark": (4.6, 7.0)}
"""Which stretch of the anchors each skin word of the captions means."""
_PALE_PALM = np.array([214, 160, 138]) / 255.0
VARNISH_SHARE = 0.12


class SkinDetail(NamedTuple):
    """How strong each detail of the skin is; the shader's numbers."""

    roughness: float
    bump: float
    mottle: float
    wrinkles: float
    gloss: float
    varnish: float
    palm_lines: float
    tendons: float
    veins: float


class SkinColours(NamedTuple):
    """Linear colours of back, palm, nail and sleeve, float32 [3] each."""

    back: Floats
    palm: Floats
    nail: Floats
    sleeve: Floats


@dataclass(frozen=True)
class Skin:
    """One hand's skin: its details, its colours, how red tips and knuckles are, how far knuckles stand out in dm."""

    detail: SkinDetail
    colours: SkinColours
    redness: float
    knuckles: float


class HandMarks(NamedTuple):
    """Where details lie on the resting hand, for the shader."""

    creases: Floats  # [14, 9]: point, axis, reach, strength on the back, gap of double lines on the palm side
    palm: Floats  # [5, 3]: origin, along / length, across / width, along, across
    rays: Floats  # [4]: where each finger's tendon ends across the palm
    tips: Floats  # [7, 7]: by digit: bone end, direction, where the free edge of the nail begins
    borders: Floats  # [7, 2, 6]: by digit: point and axis of the planes between its segments


def linear(colour: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return linear light of sRGB in [0, 1]."""
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def encode_srgb(light: Floats) -> Floats:
    """Return sRGB in [0, 1] of linear light in [0, 1]."""
    high = np.float32(1.055) * np.maximum(light, np.float32(1e-6)) ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(light <= 0.0031308, light * np.float32(12.92), high)


def draw_skin(word: str, age: float, sleeve: NDArray[np.float64], rng: np.random.Generator) -> Skin:
    """Draw the skin of a hand; `sleeve` is the sRGB colour of its sleeve, `age` the share of an old body."""
    low, high = TONE_RANGES[word]
    place = rng.uniform(low, high)
    index = min(int(place), len(_TONES) - 2)
    share = place - index
    tone = _TONES[index] * (1 - share) + _TONES[index + 1] * share
    tone = np.clip(tone * rng.normal(1, 0.025, 3) * rng.normal(1, 0.04), 0.03, 0.95)
    # Palms of dark hands are much paler than their backs.
    paleness = 0.5 * place / (len(_TONES) - 1)
    palm = np.clip((tone * (1 - paleness) + _PALE_PALM * paleness) * np.array([1.03, 0.98, 0.97]), 0, 1)
    back, palm = linear(tone), linear(palm)
    varnish = rng.random() < VARNISH_SHARE
    varnish_colour = linear(
        np.array([[170, 20, 40], [225, 90, 120], [120, 20, 60], [235, 225, 215], [40, 40, 60]])[rng.integers(5)] / 255
    )
    nail = np.clip((0.45 * back + 0.55 * palm) * np.array([1.16, 0.99, 1.02]) + 0.03 * np.array([1, 0.8, 0.8]), 0, 1)
    detail = SkinDetail(
        roughness=rng.uniform(0.44, 0.66),
        bump=rng.uniform(0.06, 0.16),
        mottle=rng.uniform(0.15, 0.55),
        wrinkles=rng.uniform(0.4, 1.0) * (1 + 0.5 * age),
        gloss=rng.uniform(0.35, 0.85),
        varnish=float(varnish),
        palm_lines=rng.uniform(0.5, 1.1),
        tendons=rng.uniform(0.0, 1.0) * (1 + 0.5 * age),
        veins=max(0.0, rng.normal(0.2, 0.3)),
    )
    colours = SkinColours(
        *(
            np.asarray(colour, np.float32)
            for colour in (back, palm, varnish_colour if varnish else nail, linear(sleeve))
        )
    )
    return Skin(detail, colours, rng.uniform(0.4, 1.3), rng.uniform(0.0, 0.035) * (1 + 0.6 * age))


def find_marks(rest: RestHand, hand: PosedHand, extra_of: int) -> HandMarks:
    """Find creases, palm lines, nail edges and the borders of segments; `extra_of` is the digit copied, 0 for none."""
    return HandMarks(_list_creases(rest), *_frame_palm(rest), *_list_tips(rest, hand, extra_of))


def _list_creases(rest: RestHand) -> Floats:
    rows = []
    for digit in DIGITS:
        for segment in (1, 2, 3):
            if digit == 1 and segment == 1:
                continue
            point, axis = rest.heads[bone(digit, segment)], rest.direction(digit, segment)
            reach, back, gap = (
                (0.16, 0.25, 0.3)
                if segment == 1
                else (0.15, 1.0 if segment == 2 else 0.6, 1.0 if segment == 2 else 0.2)
            )
            rows.append([*point, *axis, reach, back, gap])
    return np.array(rows, np.float32)


def _frame_palm(rest: RestHand) -> tuple[Floats, Floats]:
    """Return the frame of the palm and where each finger lies across it (0 little finger, 1 index)."""
    index, middle, little = (rest.heads[bone(digit, 1)] for digit in (2, 3, 5))
    along, length = rest.middle, np.linalg.norm(middle - rest.wrist)
    across = unit((index - little) - along * ((index - little) @ along))
    width = (index - little) @ across
    origin = rest.wrist + across * ((little - rest.wrist) @ across)
    frame = np.array([origin, along / length, across / width, along, across], np.float32)
    rays = [(rest.heads[bone(finger, 1)] - origin) @ across / width for finger in FINGERS]
    return frame, np.array(rays, np.float32)


def _list_tips(rest: RestHand, hand: PosedHand, extra_of: int) -> tuple[Floats, Floats]:
    tips, borders = np.zeros((EXTRA + 1, 7)), np.zeros((EXTRA + 1, 2, 6))
    for digit in (*DIGITS, *((EXTRA,) if extra_of else ())):
        own = extra_of if digit == EXTRA else digit
        end, along = rest.tails[bone(own, 3)], rest.direction(own, 3)
        nail = rest.mesh.nail_vertices(own)
        reach = np.percentile((hand.rest_vertices[nail] - end) @ along, 97) if len(nail) else 1e3
        tips[digit] = [*end, *along, reach - 0.022]
        for number, segment in enumerate((2, 3)):
            before = rest.direction(own, segment - 1)
            if own == 1 and segment == 2:  # The thumb has two segments: its first border never cuts.
                borders[digit, number] = [*(end + 1e3 * along), *along]
            else:
                borders[digit, number] = [*rest.heads[bone(own, segment)], *unit(before + rest.direction(own, segment))]
    # The thumb's only border is between segments 1 and 2.
    borders[1] = [borders[1][1], borders[1][0]]
    return tips.astype(np.float32), borders.astype(np.float32)


def paint_vertices(rest: RestHand, hand: PosedHand, redness: float) -> Floats:
    """Return for each vertex how much it is palm (0 back, 1 palm side) and how red, float32 [N, 2]."""
    palm = _side(hand.rest_normals @ rest.palm_normal)
    thumb = rest.mesh.digit_weights[:, 0] + rest.mesh.fine_weights[:, bone(1, 1)]
    thumb = np.concatenate([thumb, np.zeros(len(palm) - len(thumb))])
    palm = palm * np.clip((hand.forearm - 0.9) / 0.1, 0, 1)
    palm = palm * (1 - thumb) + _side(-(hand.rest_normals @ rest.thumb_dorsal)) * thumb
    red = 0.35 * palm
    for digit in DIGITS:
        red += 0.9 * _near(hand, rest.tails[bone(digit, 3)], 0.2)
        for segment in (1, 2):
            red += 0.5 * _near(hand, rest.heads[bone(digit, segment)], 0.12) * (1 - palm)
    return np.stack([palm, redness * red], 1).astype(np.float32)


def _side(facing: NDArray[np.float64]) -> NDArray[np.float64]:
    share = np.clip(facing * 1.2 + 0.5, 0, 1)
    return share * share * (3 - 2 * share)


def _near(hand: PosedHand, point: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    return np.exp(-((hand.rest_vertices - point) ** 2).sum(1) / reach**2)
