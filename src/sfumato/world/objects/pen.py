"""A pen that draws one thing by named pieces, in units of the thing's own height. Start reading at `Pen`.

It knows ink and the tree of parts; no scene and no particular thing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import skia

from sfumato.world.ink import Ink, box_path, oval_path, poly_path
from sfumato.world.palette import Colour
from sfumato.world.truth import PartTree

GLASS: Colour = (0.72, 0.86, 0.95)
LIT_GLASS: Colour = (1.0, 0.86, 0.48)
LAMPLIGHT: Colour = (1.0, 0.72, 0.30)

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Thing:
    """A thing by its words and its place: `foot` is the middle of its lower edge, in scene units.

    `form` is a word for how it stands or what it is (sitting, sailing), `second` the word of a second colour;
    `wobble` seeds what no caption mentions. Several faces: `facing` is 1.0 as drawn, -1.0 mirrored.
    """

    kind: str
    colour: str
    foot: complex
    height: float
    form: str = ""
    second: str = ""
    facing: float = 1.0
    wobble: int = 0


@dataclass(frozen=True)
class Pen:
    """A thing being drawn: local x in [-1, 1]-like units of its height, y upwards from its foot."""

    ink: Ink
    tree: PartTree
    thing: Thing
    path: str

    def at(self, x: float, y: float) -> complex:
        """Return the scene point of a local one."""
        return self.thing.foot + self.thing.height * complex(x * self.thing.facing, -y)

    def poly(self, points: Points, colour: Colour, name: str, *, shade: str = "side", round_by: float = 0.0) -> None:
        """Fill a polygon; `round_by` rounds its corners."""
        self.ink.fill(
            poly_path([self.at(x, y) for x, y in points], round_by), colour, self.part(name, colour), shade=shade
        )

    def blob(self, points: Points, colour: Colour, name: str, *, shade: str = "side", edge: bool = True) -> None:
        """Fill a closed smooth curve through the middles of the sides of a polygon."""
        self.ink.fill(self.path_of(points), colour, self.part(name, colour), shade=shade, edge=edge)

    def path_of(self, points: Points) -> skia.Path:
        """Make the closed smooth curve of `blob`."""
        return poly_path([self.at(x, y) for x, y in points], 0.5)

    def box(self, sides: tuple[float, float, float, float], colour: Colour, name: str, *, shade: str = "side") -> None:
        """Fill a rectangle: left, low, right, high."""
        left, low, right, high = sides
        a, b = self.at(left, high), self.at(right, low)
        left, right = min(a.real, b.real), max(a.real, b.real)
        self.ink.fill(box_path(left, a.imag, right, b.imag), colour, self.part(name, colour), shade=shade)

    def oval(
        self,
        at: tuple[float, float],
        radii: tuple[float, float],
        colour: Colour,
        name: str,
        *,
        shade: str = "round",
        edge: bool = True,
        turn: float = 0.0,
    ) -> None:
        """Fill an ellipse; `turn` in radians, counted as the thing faces."""
        rx, ry = radii[0] * self.thing.height, radii[1] * self.thing.height
        oval = oval_path(self.at(*at), rx, ry, -turn * self.thing.facing)
        self.ink.fill(oval, colour, self.part(name, colour), shade=shade, edge=edge)

    def line(self, points: Points, colour: Colour, width: float, name: str) -> None:
        """Draw an open line; three points make a curve."""
        self.ink.line([self.at(x, y) for x, y in points], colour, width * self.thing.height, self.part(name, colour))

    def bar(self, points: Points, colour: Colour, width: float, name: str) -> None:
        """Draw a line as a round bar: with an outline in cartoons, with a light side in photographs."""
        scene = [self.at(x, y) for x, y in points]
        wide, part = width * self.thing.height, self.part(name, colour)
        if self.ink.is_cartoon:
            self.ink.line(scene, (0.10, 0.08, 0.09), wide + 0.012 * self.ink.edge_scale, part)
            self.ink.line(scene, colour, wide, part)
            return
        self.ink.line(scene, tuple_darken(colour), wide, part)
        shift = complex(-0.16, -0.16) * wide
        self.ink.line([point + shift for point in scene], colour, 0.66 * wide, part)

    def ring(self, at: tuple[float, float], radius: float, colour: Colour, width: float, name: str) -> None:
        """Draw a circle as a line."""
        turns = [k * math.pi / 16 for k in range(33)]
        self.line(
            tuple((at[0] + radius * math.cos(a), at[1] + radius * math.sin(a)) for a in turns), colour, width, name
        )

    def part(self, name: str, colour: Colour) -> int:
        """Return the id of a piece, entered on first use."""
        return self.tree.add(f"{self.path}/{name}", colour=colour)


def tuple_darken(colour: Colour) -> Colour:
    """Return the shadow side of a round bar."""
    return (colour[0] * 0.66, colour[1] * 0.66, colour[2] * 0.66)
