"""Scenes with people, hands and houses anywhere and of any size, in the sky as well: where phantoms appear.

The world's own scenes put everybody on the ground in the middle. A detector that learned only them would learn where people
stand instead of what they look like. Knows the world only. Start reading at `make_scattered`.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from sfumato.world.compose import make_person
from sfumato.world.palette import CLOTHES, SKIN
from sfumato.world.people.hand import HandSpec
from sfumato.world.people.person import HELD, POSES, HandView, Person, Placement
from sfumato.world.places import PLACES, PLAIN, TEXTURES, Place
from sfumato.world.scene import STYLES, Scene
from sfumato.world.things import THINGS, Thing

MOST_THINGS = 9
# Heights as shares of the picture's; the smallest person is 8 px high in a picture of 128.
HEIGHTS = {"person": (0.07, 0.9), "house": (0.07, 0.6), "hand": (0.07, 0.6), "thing": (0.08, 0.5)}
SHARES = {"person": 0.56, "house": 0.16, "hand": 0.14, "thing": 0.14}
# Width over height, roughly: arms and sleeves included.
WIDTHS = {"person": 0.55, "house": 1.3, "hand": 0.9, "thing": 1.6}
# Objects may touch; more of one hidden, and nobody could say what its box is.
MOST_HIDDEN_FRAC = 0.10
TRIES = 12
PHOTO_SHARE = 0.7


@dataclass(frozen=True)
class _Spot:
    """A rough box in scene units: middle of the lower edge, width, height."""

    x: float
    y: float
    width: float
    height: float

    def hides(self, other: _Spot) -> bool:
        across = min(self.x + self.width / 2, other.x + other.width / 2)
        across -= max(self.x - self.width / 2, other.x - other.width / 2)
        down = min(self.y, other.y) - max(self.y - self.height, other.y - other.height)
        smaller = min(self.width * self.height, other.width * other.height)
        return across > 0 and down > 0 and across * down > MOST_HIDDEN_FRAC * smaller


def make_scattered(rng: random.Random, *, aspect: float = 1.0) -> Scene:
    """Make a scene of one to nine people, houses, hands and other things at random places."""
    spots: list[tuple[str, _Spot]] = []
    for _ in range(rng.choice((1, 2, 3, 4, 6, MOST_THINGS))):
        kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
        spot = _find_spot(rng, kind, aspect, [taken for _, taken in spots])
        if spot is not None:
            spots.append((kind, spot))
    style = rng.choices(STYLES, (PHOTO_SHARE, 1 - PHOTO_SHARE))[0]
    place = Place(rng.choice((*PLACES, *TEXTURES, PLAIN)), rng.uniform(0.3, 0.55), rng.randrange(1 << 30))
    people = tuple((_make_posed(rng), _place_person(spot)) for kind, spot in spots if kind == "person")
    things = tuple(_make_thing(rng, kind, spot) for kind, spot in spots if kind in ("house", "thing"))
    hands = tuple(_make_hand(rng, style, spot) for kind, spot in spots if kind == "hand")
    return Scene("wide", style, place, people=people, things=things, hands=hands, aspect=aspect)


def _find_spot(rng: random.Random, kind: str, aspect: float, taken: list[_Spot]) -> _Spot | None:
    low, high = HEIGHTS[kind]
    for _ in range(TRIES):
        height = low * (high / low) ** rng.random()
        width = WIDTHS[kind] * height
        # A tenth may lie outside: frames cut.
        x = rng.uniform(min(0.4 * width, aspect / 2), max(aspect - 0.4 * width, aspect / 2))
        spot = _Spot(x, rng.uniform(0.9 * height, 1.05), width, height)
        if not any(spot.hides(other) for other in taken):
            return spot
    return None


def _make_posed(rng: random.Random) -> Person:
    person = replace(make_person(rng), pose=rng.choice(POSES))
    if person.pose != "holding":
        return person
    return replace(person, held=rng.choice(HELD), held_colour=rng.choice(("red", "blue", "yellow", "green")))


def _place_person(spot: _Spot) -> Placement:
    # Raised arms reach beyond the head.
    return Placement(spot.x, spot.y, 0.9 * spot.height)


def _make_thing(rng: random.Random, kind: str, spot: _Spot) -> Thing:
    word = "house" if kind == "house" else rng.choice([name for name in THINGS if name != "house"])
    colour = rng.choice({"dog": ("brown", "white", "black"), "tree": ("green", "orange")}.get(word, tuple(CLOTHES)))
    return Thing(word, colour, complex(spot.x, spot.y), spot.height)


def _make_hand(rng: random.Random, style: str, spot: _Spot) -> HandView:
    count = 4 if style == "cartoon" else 5
    gesture = rng.choice(("open", "open", "fist", "pointing", "one", "two", "three", "relaxed"))
    spec = HandSpec(
        rng.choice(("left", "right")),
        rng.choice(("palm", "back")),
        gesture,
        count,
        rng.uniform(0.4, 1.25),
        rng.randrange(1 << 30),
    )
    centre = complex(spot.x, spot.y - spot.height / 2)
    lean = rng.choice((rng.uniform(-20, 20), rng.uniform(-math.degrees(math.pi), math.degrees(math.pi))))
    return HandView(spec, rng.choice(list(SKIN)), "", rng.choice(list(CLOTHES)), centre, 0.95 * spot.height, lean)
