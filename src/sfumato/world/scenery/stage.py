"""A place as values, and the stage on which it is drawn. Start reading at `SceneryStage`.

It knows ink and the tree of parts; no particular place.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import skia

from sfumato.world.ink import Ink, box_path
from sfumato.world.palette import Colour
from sfumato.world.truth import PartTree

LIGHTS = ("day", "sunset", "night")


@dataclass(frozen=True)
class Place:
    """A place by its word, the height of its horizon, and the seed of what no caption mentions.

    `light` is one of LIGHTS, `colour` the word of its flowers where it has some.
    """

    kind: str
    horizon: float = 0.45
    wobble: int = 0
    light: str = "day"
    colour: str = ""


@dataclass(frozen=True)
class SceneryStage:
    """A place being drawn: its regions get ids under place/."""

    ink: Ink
    tree: PartTree
    place: Place
    rng: random.Random

    def part(self, name: str) -> int:
        """Return the id of a region, entered on first use."""
        return self.tree.add(f"place/{name}")

    def band(self, top: float, bottom: float, colour: Colour, name: str, *, shade: str = "down") -> skia.Path:
        """Fill the whole width between two heights."""
        path = box_path(-0.01, top, self.ink.aspect + 0.01, bottom)
        self.ink.fill(path, colour, self.part(name), shade=shade, edge=False)
        return path

    def gradient(self, top: float, bottom: float, colours: tuple[Colour, ...], name: str) -> skia.Path:
        """Fill the whole width between two heights with colours that run into one another."""
        path = box_path(-0.01, top, self.ink.aspect + 0.01, bottom)
        self.ink.ramp(path, (top, bottom), colours)
        self.ink.mark(path, self.part(name))
        return path
