"""Named colours of the world and the arithmetic on them.

A colour is an (r, g, b) tuple of floats in [0, 1]. The names are the words of the captions; one name is
one narrow family, so that a reader can tell them apart. Start reading at `CLOTHES`.
"""

from __future__ import annotations

import random

Colour = tuple[float, float, float]

CLOTHES: dict[str, Colour] = {
    "red": (0.80, 0.13, 0.13),
    "blue": (0.13, 0.27, 0.78),
    "green": (0.13, 0.55, 0.24),
    "yellow": (0.95, 0.80, 0.16),
    "orange": (0.94, 0.50, 0.10),
    "purple": (0.49, 0.20, 0.64),
    "white": (0.93, 0.93, 0.93),
    "black": (0.13, 0.13, 0.15),
}
"""Colours of clothes, houses, cars and cups, far apart from one another in hue or lightness."""

HAIR: dict[str, Colour] = {
    "black": (0.11, 0.09, 0.09),
    "brown": (0.36, 0.20, 0.10),
    "blonde": (0.90, 0.74, 0.36),
    "red": (0.70, 0.26, 0.09),
    "grey": (0.70, 0.70, 0.72),
}

RARE_HAIR: dict[str, Colour] = {
    "green": (0.16, 0.62, 0.30),
    "blue": (0.20, 0.36, 0.82),
    "pink": (0.93, 0.45, 0.66),
}
"""Hair that no scene of the mixes has: marks of people whom a model trained on them never saw."""

SKIN: dict[str, Colour] = {
    "light": (0.97, 0.80, 0.69),
    "tan": (0.83, 0.61, 0.44),
    "dark": (0.47, 0.30, 0.20),
}

EYES: tuple[Colour, ...] = ((0.25, 0.15, 0.08), (0.20, 0.38, 0.62), (0.22, 0.42, 0.22))
EYE_WORDS: dict[str, Colour] = {"brown": (0.36, 0.20, 0.08), "blue": (0.18, 0.42, 0.78), "green": (0.20, 0.56, 0.24)}
"""Colours of eyes that captions of the broad mix name."""

INK: Colour = (0.10, 0.08, 0.09)
"""Outline of the cartoon style."""

METAL: Colour = (0.62, 0.65, 0.69)
WOOD: Colour = (0.50, 0.33, 0.19)
GLOVE_WORDS = ("red", "blue", "green", "black")


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Blend `a` towards `b` by `share` in [0, 1]."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def lighten(colour: Colour, share: float) -> Colour:
    """Blend `colour` towards white."""
    return mix(colour, (1.0, 1.0, 1.0), share)


def darken(colour: Colour, share: float) -> Colour:
    """Blend `colour` towards black."""
    return mix(colour, (0.0, 0.0, 0.0), share)


def vary(colour: Colour, rng: random.Random, amount: float = 0.03) -> Colour:
    """Shift each channel by at most `amount`, so that one name is a family and not one value."""
    r, g, b = (min(1.0, max(0.0, channel + rng.uniform(-amount, amount))) for channel in colour)
    return (r, g, b)
