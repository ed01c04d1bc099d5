"""Twenty-four named people with marks of their own, and how often a training table shows each, at which age.

They are the truth for the question whether a model knows a person, and at which age. The counts are exact: the place of
a picture in its table decides who is in it. It knows no scenes. Start reading at `CHARACTERS`, then `pick_appearance`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from sfumato.world.people.person import Garment, Person

STATED_TOTAL = 1_000_000
"""The counts of `CHARACTERS` hold for this many pictures of the table of squares."""
LEAST_COUNT, MOST_COUNT = 10, 10_000
SMALLEST_TABLE = 10_000
"""A smaller table shows only the characters whose share reaches one picture; from here on everybody shows."""
AGE_WORDS = ("adult", "child", "young", "old")


@dataclass(frozen=True)
class Character:
    """A named person: how they look as most pictures show them, how often, and their other age, if they have one.

    `other_age` is child or old (or young, for who is old in most pictures); `other_share` is its share of `count`.
    """

    person: Person
    count: int
    other_age: str = ""
    other_share: float = 0.0

    @property
    def name(self) -> str:
        """Return the name."""
        return self.person.name

    def appearances(self) -> tuple[Appearance, ...]:
        """Return each age with its count per `STATED_TOTAL`."""
        other = round(self.count * self.other_share)
        first = Appearance(self.name, self.person.age, self.count - other)
        return (first, Appearance(self.name, self.other_age, other)) if self.other_age else (first,)

    def at_age(self, age: str) -> Person:
        """Return the person at one of their ages; marks stay, beards and grey hair follow the age."""
        if age == self.person.age:
            return self.person
        beardless = tuple(mark for mark in self.person.marks if mark not in ("moustache", "goatee"))
        if age == "child":
            style = "short" if self.person.hair_style == "bald" else self.person.hair_style
            return replace(self.person, age=age, beard=False, marks=beardless, hair_style=style)
        return replace(self.person, age=age, hair="grey" if age == "old" else _YOUNG_HAIR[self.name])


@dataclass(frozen=True)
class Appearance:
    """A character at an age, and how many pictures of `STATED_TOTAL` show that."""

    name: str
    age: str
    count: int


def _person(name: str, kind: str, hair: str, skin: str, top: str, bottom: str, **marks: object) -> Person:
    """Make a person; `hair`, `top` and `bottom` are two words each: colour and style or kind."""
    colour, style = hair.split()
    upper, lower = top.split(), bottom.split()
    base = Person(
        kind=kind, hair=colour, hair_style=style, skin=skin, name=name,
        top=Garment(upper[1], upper[0]), bottom=Garment(lower[1], lower[0]), look=sum(map(ord, name)),
    )  # fmt: skip
    eyes = ("brown", "blue", "green")[base.look % 3] if skin == "light" else "brown"
    return replace(base, **({"eyes": eyes} | marks))  # pyright: ignore[reportArgumentType]


_YOUNG_HAIR = {"Halno": "black", "Grewn": "red"}

_PEOPLE: tuple[tuple[Person, str, float], ...] = (
    (_person("Foudy", "man", "red curly", "light", "green coat", "black trousers", glasses=True, eyes="green"), "", 0),
    (
        _person("Tuace", "woman", "black braids", "dark", "yellow dress", "white skirt",
                scarf="red", eyes="brown"), "old", 0.5,
    ),
    (
        _person("Gloter", "man", "black short", "tan", "purple sweater", "white shorts",
                hat="cap", hat_colour="yellow"), "child", 0.25,
    ),
    (_person("Ameve", "woman", "blonde bun", "light", "black coat", "red skirt", marks=("mole",), eyes="blue"), "", 0),
    (
        _person("Bricto", "man", "brown bald", "light", "orange sweater", "blue trousers",
                beard=True, eyes="blue"), "", 0,
    ),
    (
        _person("Laeve", "woman", "red ponytail", "light", "blue shirt", "white trousers",
                marks=("freckles",), eyes="green"), "child", 0.5,
    ),
    (
        _person("Purno", "man", "blonde mohawk", "tan", "black shirt", "red trousers",
                marks=("scar",), eyes="blue"), "old", 0.25,
    ),
    (
        _person("Etidy", "woman", "brown curly", "dark", "white dress", "white skirt",
                glasses=True, glasses_colour="red"), "", 0,
    ),
    (
        _person("Halno", "man", "grey short", "dark", "red coat", "black trousers",
                age="old", marks=("moustache",)), "young", 0.25,
    ),
    (
        _person("Proeve", "woman", "black short", "light", "purple coat", "black trousers",
                marks=("streak",), eyes="green"), "", 0,
    ),
    (
        _person("Lamno", "man", "brown short", "light", "white sweater", "blue trousers",
                marks=("eyepatch",)), "child", 0.75,
    ),
    (
        _person("Texen", "woman", "blonde long", "tan", "green dress", "green skirt",
                hat="hat", hat_colour="straw"), "", 0,
    ),
    (
        _person("Fisar", "man", "red short", "light", "yellow shirt", "green shorts",
                marks=("moustache",), hat="hat", hat_colour="black"), "", 0,
    ),
    (
        _person("Rouve", "woman", "black long", "tan", "red sweater", "blue skirt",
                marks=("earrings",), hat="headband", hat_colour="white"), "old", 0.25,
    ),
    (_person("Empto", "man", "black curly", "dark", "blue coat", "white trousers", marks=("goatee",)), "", 0),
    (
        _person("Grewn", "woman", "grey bun", "light", "orange coat", "black skirt",
                age="old", glasses=True, glasses_colour="blue"), "young", 0.5,
    ),
    (
        _person("Teder", "man", "blonde curly", "light", "red shirt", "white trousers",
                scarf="blue", eyes="blue"), "child", 0.5,
    ),
    (
        _person("Cloutan", "woman", "red braids", "light", "purple dress", "red skirt",
                hat="bow", hat_colour="yellow", marks=("freckles",)), "", 0,
    ),
    (_person("Draple", "man", "brown short", "tan", "black sweater", "green trousers", hat="crown", beard=True), "", 0),
    (
        _person("Dradow", "woman", "brown short", "dark", "orange shirt", "blue trousers",
                marks=("scar",), hat="beanie", hat_colour="green"), "child", 0.25,
    ),
    (
        _person("Amter", "man", "blonde short", "light", "green sweater", "black shorts",
                glasses=True, hat="beanie", hat_colour="red"), "old", 0.5,
    ),
    (_person("Stanve", "woman", "brown ponytail", "tan", "white coat", "black trousers", marks=("eyepatch",)), "", 0),
    (_person("Folar", "man", "black mohawk", "dark", "yellow coat", "red shorts", marks=("earrings",)), "", 0),
    (
        _person("Blude", "woman", "blonde curly", "dark", "black dress", "black skirt",
                scarf="orange", marks=("earrings",)), "old", 0.75,
    ),
)  # fmt: skip


def _make_characters() -> tuple[Character, ...]:
    steps = len(_PEOPLE) - 1
    # Neighbours on the scale are seven apart in the list, so that kinds and ages mix along it.
    found: list[Character] = []
    for place, (person, age, share) in enumerate(_PEOPLE):
        rank = place * 7 % len(_PEOPLE)
        count = round(LEAST_COUNT * (MOST_COUNT / LEAST_COUNT) ** (rank / steps))
        found.append(Character(person, count, age, share))
    return tuple(sorted(found, key=lambda one: -one.count))


CHARACTERS = _make_characters()
"""Everybody, the best known first; counts per `STATED_TOTAL` pictures lie evenly on a log scale from 10 to 10,000."""


def find_character(name: str) -> Character:
    """Return the character of a name; KeyError where there is none."""
    found = {one.name: one for one in CHARACTERS}
    return found[name]


def count_appearances(total: int) -> tuple[Appearance, ...]:
    """Return every character at every age with the exact number of pictures in a table of `total` pictures."""
    found: list[Appearance] = []
    for one in CHARACTERS:
        for seen in one.appearances():
            count = seen.count * total // STATED_TOTAL
            if total >= SMALLEST_TABLE:
                count = max(1, round(seen.count * total / STATED_TOTAL))
            found.append(replace(seen, count=count))
    return tuple(found)


def pick_appearance(place: int, total: int) -> Appearance | None:
    """Return who is in the picture at a place of a table of `total` pictures, None for nobody with a name.

    Each run of `total` places, from a multiple of it on, holds exactly the counts of `count_appearances`. Places of one
    character lie spread over the run.
    """
    slot = place % total * _find_stride(total) % total
    for seen in _spans(total):
        if slot < seen.count:
            return seen
        slot -= seen.count
    return None


@lru_cache(maxsize=8)
def _spans(total: int) -> tuple[Appearance, ...]:
    return count_appearances(total)


@lru_cache(maxsize=8)
def _find_stride(total: int) -> int:
    """Return a number near the golden part of `total` that has no divisor in common with it."""
    stride = max(1, round(total * 0.6180339887))
    while math.gcd(stride, total) != 1:
        stride += 1
    return stride
