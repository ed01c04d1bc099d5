"""A scene as values: what is in the picture and where, before anything is drawn. Start reading at `Scene`."""

from __future__ import annotations

from dataclasses import dataclass

from sfumato.world.people.body import HEAD, NECK
from sfumato.world.people.person import HandView, Person, Placement
from sfumato.world.places import Place
from sfumato.world.things import Thing

SHOTS = ("portrait", "half", "full", "group", "wide", "hand", "hands", "thing", "pair", "place", "texture")
MORE_SHOTS = ("bust", "still")
"""Shots that the broad mix adds: head and shoulders, and things on furniture."""
STYLES = ("photo", "cartoon")


@dataclass(frozen=True)
class Scene:
    """Everything a picture shows. `aspect` is width over height; coordinates have the picture's height as unit.

    `relation` says how the first subject stands to the last: on, beside, before or against; "" leaves it to the sides.
    """

    shot: str
    style: str
    place: Place
    people: tuple[tuple[Person, Placement], ...] = ()
    things: tuple[Thing, ...] = ()
    hands: tuple[HandView, ...] = ()
    aspect: float = 1.0
    relation: str = ""

    @property
    def digit_count(self) -> int:
        """Digits that a whole hand has in this style."""
        return 4 if self.style == "cartoon" else 5


def placement_for_head(x: float, head_y: float, height: float) -> Placement:
    """Place a standing person so that the middle of the head is at (x, head_y)."""
    return Placement(x, head_y + height * (0.475 + 0.315 + NECK + HEAD / 2), height)
