"""Makes random people of the broad mix: more glasses, beards and smiles, children, hats, eyes with a colour.

It knows no scenes. Start reading at `make_broad_person`.
"""

from __future__ import annotations

import random
from dataclasses import replace

from sfumato.world.broad.characters import find_character
from sfumato.world.compose import make_person
from sfumato.world.palette import CLOTHES
from sfumato.world.people.person import HELD, Garment, Person

CHILD_SHARE = 0.09
GLASSES_SHARE, BEARD_SHARE, SMILE_SHARE, HAT_SHARE = 0.30, 0.42, 0.62, 0.12
CHILD_HEIGHT = 0.74
HELD_THINGS = (*HELD, "book")
_RANDOM_HATS = ("cap", "beanie", "hat", "headband")


def make_broad_person(rng: random.Random, *, name: str = "", age: str = "") -> Person:
    """Make a random person, or the character of a name at an age ("" is the age of most of their pictures)."""
    if name:
        one = find_character(name)
        known = one.at_age(age or one.person.age)
        return replace(
            known,
            smile=rng.random() < SMILE_SHARE,
            arm_side=rng.choice(("left", "right")),
            wobble=rng.randrange(1 << 30),
        )
    person = make_person(rng)
    man = person.kind == "man"
    marks: list[str] = []
    if rng.random() < 0.06:
        marks.append("freckles")
    if not man and rng.random() < 0.12:
        marks.append("earrings")
    person = replace(
        person,
        smile=rng.random() < SMILE_SHARE,
        glasses=rng.random() < GLASSES_SHARE,
        glasses_colour=rng.choices(("black", "red", "blue"), (0.8, 0.1, 0.1))[0],
        beard=man and person.age != "young" and rng.random() < BEARD_SHARE,
        eyes=rng.choice(("brown", "blue", "green")) if person.skin == "light" else "brown",
        hair_style=_choose_hair(person, rng),
    )
    if man and person.age != "young" and not person.beard and rng.random() < 0.16:
        marks.append("moustache")
    if rng.random() < HAT_SHARE:
        person = replace(person, hat=rng.choice(_RANDOM_HATS), hat_colour=rng.choice(list(CLOTHES)))
    if rng.random() < 0.06:
        person = replace(person, scarf=rng.choice([word for word in CLOTHES if word != person.top.colour]))
    person = replace(person, marks=tuple(marks))
    return _as_child(person, rng) if rng.random() < CHILD_SHARE else person


def _choose_hair(person: Person, rng: random.Random) -> str:
    if person.kind == "man":
        return "curly" if person.hair_style == "short" and rng.random() < 0.12 else person.hair_style
    return rng.choices((person.hair_style, "curly", "ponytail", "braids"), (0.66, 0.12, 0.15, 0.07))[0]


def _as_child(person: Person, rng: random.Random) -> Person:
    style = "short" if person.hair_style in ("bald", "bun") else person.hair_style
    hair = rng.choice(("black", "brown", "blonde", "red"))
    top = Garment("shirt", person.top.colour) if person.top.kind == "coat" else person.top
    marks = tuple(mark for mark in person.marks if mark == "freckles")
    return replace(person, age="child", hair=hair, hair_style=style, beard=False, marks=marks, top=top)


def with_broad_pose(person: Person, rng: random.Random, poses: tuple[str, ...]) -> Person:
    """Give a person one of some poses, and something to hold where the pose needs it."""
    pose = rng.choice(poses)
    if pose != "holding":
        return replace(person, pose=pose)
    return replace(
        person, pose=pose, held=rng.choice(HELD_THINGS), held_colour=rng.choice(("red", "blue", "yellow", "green"))
    )
