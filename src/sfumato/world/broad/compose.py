"""Chooses scenes of the broad mix: who, what, where, in which light. Start reading at `make_broad_scene`.

It reuses the first world's people, hands and sizes; the words lie in `caption`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from sfumato.world.broad.people import CHILD_HEIGHT, make_broad_person, with_broad_pose
from sfumato.world.compose import PHOTO_SHARE, THING_SIZE, make_hand_view, make_thing
from sfumato.world.objects.animals import CAT_COLOURS
from sfumato.world.objects.furniture import FLOWER_COLOURS, WOOD_WORD
from sfumato.world.objects.pen import Thing
from sfumato.world.palette import CLOTHES
from sfumato.world.people.person import Person, Placement
from sfumato.world.places import PLACES, PLAIN, TEXTURES
from sfumato.world.scene import STYLES, Scene, placement_for_head
from sfumato.world.scenery.stage import Place
from sfumato.world.things import MORE_THINGS, THINGS

BROAD_SHARES: dict[str, float] = {
    "portrait": 0.12,
    "bust": 0.08,
    "half": 0.13,
    "full": 0.13,
    "group": 0.11,
    "wide": 0.04,
    "hand": 0.06,
    "hands": 0.02,
    "thing": 0.12,
    "pair": 0.07,
    "still": 0.04,
    "place": 0.06,
    "texture": 0.02,
}
"""Share of each shot in the mix `broad`."""

CHARACTER_SHOTS = {"portrait": 0.30, "bust": 0.20, "half": 0.20, "full": 0.22, "pair": 0.08}
"""Shots that show a named character."""

NIGHT_SHARE, SUNSET_SHARE = 0.13, 0.13
_SIZES = THING_SIZE | {
    "cat": 0.46,
    "bicycle": 0.44,
    "boat": 0.52,
    "chair": 0.62,
    "table": 0.35,
    "vase": 0.62,
    "clock": 0.66,
}
_OUTDOORS = ("meadow", "beach", "street", "mountains", "flower field")
_EVERYWHERE = (*PLACES, *PLACES, "mountains", "flower field")


@dataclass(frozen=True)
class Cast:
    """Who has to be in the scene: a character's name and age, "" for anybody."""

    name: str = ""
    age: str = ""


@dataclass(frozen=True)
class _Set:
    """What every shot is made from: the random stream, the style, the aspect and who has to be there."""

    rng: random.Random
    style: str
    aspect: float
    cast: Cast

    def person(self, poses: tuple[str, ...] = ("standing",), *, first: bool = True) -> Person:
        """Make a person in one of some poses; the first one is the character, if there is one."""
        who = self.cast if first else Cast()
        return with_broad_pose(make_broad_person(self.rng, name=who.name, age=who.age), self.rng, poses)

    def place(self, kinds: tuple[str, ...] = _EVERYWHERE) -> Place:
        """Choose a place, its light, and the colour of its flowers."""
        rng, kind = self.rng, self.rng.choice(kinds)
        light = rng.choices(("day", "sunset", "night"), (1 - NIGHT_SHARE - SUNSET_SHARE, SUNSET_SHARE, NIGHT_SHARE))[0]
        if kind in (PLAIN, "brick wall", "foliage", "sea"):
            light = "day"
        colour = rng.choice(list(FLOWER_COLOURS)) if kind == "flower field" else ""
        return Place(kind, rng.uniform(0.36, 0.50), rng.randrange(1 << 30), light, colour)


def make_broad_scene(
    rng: random.Random, *, shot: str = "", style: str = "", aspect: float = 1.0, cast: Cast | None = None
) -> Scene:
    """Make a random scene of the broad mix; `shot`, `style` and `cast` fix what they name."""
    cast = cast or Cast()
    shares = CHARACTER_SHOTS if cast.name else BROAD_SHARES
    shot = shot or rng.choices(list(shares), list(shares.values()))[0]
    style = style or rng.choices(STYLES, (PHOTO_SHARE, 1 - PHOTO_SHARE))[0]
    return _MAKE[shot](_Set(rng, style, aspect, cast))


def _is_child(person: Person) -> bool:
    return person.age == "child"


def _portrait(of: _Set) -> Scene:
    rng, person = of.rng, of.person()
    height = rng.uniform(2.7, 3.6) / (1.28 if _is_child(person) else 1.0)
    low = 0.06 if person.hat else 0.04 if _is_child(person) or person.hair_style in ("mohawk", "curly", "bun") else 0.0
    where = placement_for_head(of.aspect / 2 + rng.uniform(-0.05, 0.05), rng.uniform(0.41, 0.47) + low, height)
    return Scene(
        "portrait",
        of.style,
        of.place((*_EVERYWHERE, PLAIN, PLAIN, PLAIN, *TEXTURES)),
        people=((person, where),),
        aspect=of.aspect,
    )


def _bust(of: _Set) -> Scene:
    """Show head and shoulders: a face of a quarter to a third of the picture's height."""
    rng, person = of.rng, of.person()
    height = rng.uniform(1.8, 2.4) / (1.2 if _is_child(person) else 1.0)
    where = placement_for_head(of.aspect / 2 + rng.uniform(-0.10, 0.10), rng.uniform(0.33, 0.42), height)
    return Scene(
        "bust", of.style, of.place((*_EVERYWHERE, PLAIN, *TEXTURES[:2])), people=((person, where),), aspect=of.aspect
    )


def _half(of: _Set) -> Scene:
    rng = of.rng
    person = of.person(("standing", "standing", "waving", "arms up", "arms up", "holding", "holding", "holding"))
    raised = person.pose in ("arms up", "waving", "holding")
    height = rng.uniform(1.25, 1.45) if raised else rng.uniform(1.45, 1.80)
    head_y = rng.uniform(0.36, 0.42) if raised else rng.uniform(0.26, 0.32)
    if _is_child(person):
        height, head_y = height * 0.9, head_y + 0.03
    where = placement_for_head(of.aspect / 2 + rng.uniform(-0.06, 0.06), head_y, height)
    return Scene("half", of.style, of.place(), people=((person, where),), aspect=of.aspect)


def _full(of: _Set) -> Scene:
    rng = of.rng
    person = of.person(("standing", "walking", "sitting", "waving", "arms up", "arms up", "holding", "holding"))
    height = rng.uniform(0.70, 0.80) if person.pose in ("arms up", "waving") else rng.uniform(0.78, 0.88)
    if person.hat or person.hair_style == "mohawk":
        height *= 0.95
    height *= CHILD_HEIGHT + 0.08 if _is_child(person) else 1.0
    where = Placement(of.aspect / 2 + rng.uniform(-0.10, 0.10), rng.uniform(0.93, 0.97), height)
    if rng.random() < 0.12 and person.pose != "sitting":
        return _before_something(of, person, replace(where, height=where.height * 0.9))
    return Scene("full", of.style, of.place(), people=((person, where),), aspect=of.aspect)


def _before_something(of: _Set, person: Person, where: Placement) -> Scene:
    """Show a person before a house, a tree or a car."""
    rng, place = of.rng, of.place(("meadow", "beach", "mountains", "street"))
    kind = "car" if place.kind == "street" else rng.choice(("house", "house", "tree", "car"))
    high = {"house": 0.62, "tree": 0.72, "car": 0.32}[kind]
    side = rng.choice((-0.16, 0.16))
    thing = make_broad_thing(
        rng, kind, complex(of.aspect / 2 + side, rng.uniform(0.76, 0.82)), high * rng.uniform(0.9, 1.1)
    )
    where = replace(where, x=of.aspect / 2 - side * rng.uniform(0.4, 1.2))
    return Scene(
        "full", of.style, place, people=((person, where),), things=(thing,), aspect=of.aspect, relation="before"
    )


def _group(of: _Set) -> Scene:
    rng = of.rng
    count = rng.choices((2, 3, 4), (0.70, 0.19, 0.11))[0]
    height = {2: rng.uniform(0.68, 0.82), 3: rng.uniform(0.62, 0.74), 4: rng.uniform(0.56, 0.66)}[count]
    close = count == 2 and rng.random() < 0.30
    ground = rng.uniform(0.92, 0.96)
    if close:
        height, ground = rng.uniform(1.15, 1.4), 0.0
    poses = (
        ("standing", "waving", "walking", "arms up", "holding")
        if count == 2
        else ("standing", "standing", "walking", "waving")
    )
    if close:
        poses = ("standing",)
    people: list[tuple[Person, Placement]] = []
    for i in range(count):
        x = of.aspect * (i + 0.5) / count + rng.uniform(-0.02, 0.02)
        person = of.person(poses, first=i == 0)
        if count == 2:
            person = replace(person, arm_side="right" if i == 0 else "left")
        tall = height * rng.uniform(0.94, 1.0) * (CHILD_HEIGHT if _is_child(person) else 1.0)
        where = (
            placement_for_head(x, rng.uniform(0.26, 0.34), tall)
            if close
            else Placement(x, ground + rng.uniform(-0.015, 0.015), tall)
        )
        people.append((person, where))
    return Scene("group", of.style, of.place(), people=tuple(people), aspect=of.aspect)


def _wide(of: _Set) -> Scene:
    rng, place = of.rng, of.place(("meadow", "beach", "mountains", "flower field"))
    count = rng.choices((1, 2, 3), (0.5, 0.35, 0.15))[0]
    slots = rng.sample([0.12, 0.31, 0.50, 0.69, 0.88], count + 1)
    people: list[tuple[Person, Placement]] = []
    for number, x in enumerate(sorted(slots[:count])):
        height = rng.uniform(0.24, 0.34)
        person = of.person(("standing", "walking", "waving"), first=number == 0)
        people.append((person, Placement(x * of.aspect, place.horizon + height * rng.uniform(0.95, 1.15), height)))
    things: tuple[Thing, ...] = ()
    if rng.random() < 0.6:
        kind = rng.choice(("house", "tree"))
        foot = complex(slots[-1] * of.aspect, place.horizon + 0.14)
        things = (make_broad_thing(rng, kind, foot, rng.uniform(0.26, 0.34)),)
    return Scene("wide", of.style, place, people=tuple(people), things=things, aspect=of.aspect)


def make_broad_thing(rng: random.Random, kind: str, foot: complex, height: float) -> Thing:
    """Make a thing of either world with a random colour, form and side."""
    if kind not in MORE_THINGS:
        return make_thing(rng, kind, foot, height)
    words: dict[str, tuple[str, ...]] = {
        "cat": tuple(CAT_COLOURS),
        "chair": (WOOD_WORD, WOOD_WORD, WOOD_WORD, *CLOTHES),
        "table": (WOOD_WORD, WOOD_WORD, WOOD_WORD, "white", "black", "red", "blue"),
        "vase": tuple(FLOWER_COLOURS),
    }
    forms: dict[str, tuple[str, ...]] = {
        "cat": ("sitting", "sitting", "standing"),
        "boat": ("sailing", "sailing", "rowing", "fishing"),
        "bicycle": ("", "", "basket"),
        "chair": ("", "slats"),
    }
    colour = rng.choice(words.get(kind, tuple(CLOTHES)))
    form = rng.choice(forms.get(kind, ("",)))
    if kind == "clock":
        form = f"{rng.randint(1, 12)}:{rng.choice((0, 15, 30, 45)):02d}"
    second = rng.choice([word for word in ("blue", "white", "green", "red", "black") if word != colour])
    if kind == "boat" and form == "rowing":
        height *= 0.62
    if kind == "cat" and form == "standing":
        height *= 0.85
    return Thing(
        kind,
        colour,
        foot,
        height,
        form,
        second,
        1.0 if kind == "clock" else rng.choice((-1.0, 1.0)),
        rng.randrange(1 << 30),
    )


def _thing_places(kind: str) -> tuple[str, ...]:
    return {
        "watch": (PLAIN, PLAIN, "brick wall"),
        "lamp": ("room",),
        "cup": ("room", PLAIN, PLAIN),
        "car": ("street", "street", "meadow", "beach", "mountains"),
        "dog": ("meadow", "beach", "street", "room", "flower field"),
        "cat": ("room", "room", "meadow", "street", "beach", PLAIN),
        "bicycle": ("street", "street", "meadow", "beach", "brick wall", "brick wall"),
        "boat": ("open sea", "open sea", "open sea", "sea"),
        "chair": ("room", "room", PLAIN, "meadow"),
        "table": ("room",),
        "vase": ("room", PLAIN, PLAIN),
        "clock": (PLAIN, PLAIN, "brick wall"),
    }.get(kind, ("meadow", "beach", "mountains", "meadow", "flower field"))


def _thing(of: _Set) -> Scene:
    rng, kind = of.rng, of.rng.choice((*THINGS, *MORE_THINGS, *MORE_THINGS))
    place = of.place(_thing_places(kind))
    height = _SIZES[kind] * rng.uniform(0.80, 1.15)
    foot = complex(
        of.aspect / 2 + rng.uniform(-0.08, 0.08),
        0.52 + height / 2 if kind in ("watch", "clock") else rng.uniform(0.82, 0.90),
    )
    thing = make_broad_thing(rng, kind, foot, height)
    if kind == "boat":
        thing = replace(thing, foot=complex(foot.real, max(place.horizon + 0.10, rng.uniform(0.62, 0.78))))
    if kind in ("table", "bicycle") and of.aspect < 1.0:
        thing = replace(thing, height=thing.height * of.aspect)
    against = "against" if kind == "bicycle" and place.kind == "brick wall" else ""
    return Scene("thing", of.style, place, things=(thing,), aspect=of.aspect, relation=against)


def _pair(of: _Set) -> Scene:
    """Show a person beside a thing, or two things."""
    rng = of.rng
    if of.cast.name or rng.random() < 0.60:
        return _person_and_thing(of)
    place = of.place(("meadow", "beach", "street", "mountains"))
    first, second = rng.sample(("house", "tree", "dog", "cat", "bicycle", "car"), 2)
    things: list[Thing] = []
    for x, kind in zip((0.27, 0.73), (first, second), strict=True):
        wide = min(1.0, of.aspect)
        size = _SIZES[kind] * (0.60 if kind in ("bicycle", "car") else 0.68) * wide
        things.append(make_broad_thing(rng, kind, complex(x * of.aspect, rng.uniform(0.78, 0.86)), size))
    return Scene("pair", of.style, place, things=tuple(things), aspect=of.aspect)


def _person_and_thing(of: _Set) -> Scene:
    rng = of.rng
    kind = rng.choice(("dog", "dog", "cat", "cat", "bicycle", "bicycle", "chair", "house", "tree", "lamp", "car"))
    places = {
        "chair": ("room",),
        "lamp": ("room",),
        "house": ("meadow", "beach", "mountains"),
        "tree": ("meadow", "beach", "mountains"),
    }
    place = of.place(
        places.get(kind, ("meadow", "beach", "street", "mountains") + (("room",) if kind in ("dog", "cat") else ()))
    )
    x, other = rng.choice(((0.26, 0.70), (0.74, 0.30)))
    person = of.person(("standing", "standing", "waving", "walking"))
    # The acting arm points away from the thing.
    person = replace(person, arm_side="right" if x < 0.5 else "left")
    tall = rng.uniform(0.60, 0.74) * (CHILD_HEIGHT + 0.06 if _is_child(person) else 1.0)
    size = _SIZES[kind] * {"bicycle": 0.78, "car": 0.75, "dog": 0.80, "cat": 0.70, "chair": 0.62, "lamp": 0.75}.get(
        kind, 0.68
    )
    thing = make_broad_thing(rng, kind, complex(other * of.aspect, rng.uniform(0.86, 0.91)), size * min(1.0, of.aspect))
    where = Placement(x * of.aspect, rng.uniform(0.90, 0.94), tall)
    beside = "beside" if rng.random() < 0.6 else ""
    return Scene("pair", of.style, place, people=((person, where),), things=(thing,), aspect=of.aspect, relation=beside)


def _still(of: _Set) -> Scene:
    """Show something on a table or a chair, or a table and a chair."""
    rng, place = of.rng, of.place(("room",))
    wide = min(1.0, of.aspect)
    choice = rng.random()
    if choice < 0.25:
        chair = make_broad_thing(rng, "chair", complex(of.aspect / 2, 0.90), rng.uniform(0.62, 0.72))
        seat = chair.foot + complex(0.03 * chair.facing, -0.44) * chair.height
        cat = make_broad_thing(rng, "cat", seat, 0.55 * chair.height)
        cat = replace(cat, form="sitting", height=0.55 * chair.height)
        return Scene("still", of.style, place, things=(chair, cat), aspect=of.aspect, relation="on")
    if choice < 0.45:
        table = make_broad_thing(rng, "table", complex(0.33 * of.aspect, 0.88), 0.275 * wide)
        chair = make_broad_thing(rng, "chair", complex(0.81 * of.aspect, 0.90), 0.44 * wide)
        return Scene("still", of.style, place, things=(table, chair), aspect=of.aspect)
    table = make_broad_thing(
        rng, "table", complex(of.aspect / 2, rng.uniform(0.93, 0.98)), rng.uniform(0.36, 0.42) * wide
    )
    kind = rng.choice(("lamp", "cup", "cup", "vase", "vase", "cat", "book"))
    high = {"lamp": 1.0, "cup": 0.42, "vase": 1.05, "cat": 0.85, "book": 0.62}[kind] * table.height
    foot = table.foot + complex(rng.uniform(-0.45, 0.45), -0.93) * table.height
    thing = make_broad_thing(rng, kind, foot, high)
    if kind == "cat":
        thing = replace(thing, form="sitting", height=high)
    return Scene("still", of.style, place, things=(table, thing), aspect=of.aspect, relation="on")


def _hand(of: _Set) -> Scene:
    rng = of.rng
    centre = complex(of.aspect / 2 + rng.uniform(-0.04, 0.04), 0.50 + rng.uniform(-0.03, 0.03))
    view = make_hand_view(rng, of.style, centre, rng.uniform(0.66, 0.80))
    return Scene(
        "hand", of.style, of.place((PLAIN, PLAIN, *PLACES, "sea", "sky", "foliage")), hands=(view,), aspect=of.aspect
    )


def _hands(of: _Set) -> Scene:
    rng = of.rng
    first = make_hand_view(rng, of.style, complex(0.27 * of.aspect, 0.48), 0.50)
    lean = abs(rng.uniform(-8, 8))
    spec = replace(first.spec, gesture=rng.choice(("open", "fist", "two")), missing=())
    sides = ("left", "right") if spec.view == "back" else ("right", "left")
    first = replace(first, lean_deg=-lean, exception=None, spec=replace(spec, side=sides[0]))
    other = replace(spec, side=sides[1], wobble=rng.randrange(1 << 30))
    second = replace(first, centre=complex(0.73 * of.aspect, 0.48), lean_deg=lean, spec=other)
    return Scene("hands", of.style, of.place((PLAIN, "room", "meadow")), hands=(first, second), aspect=of.aspect)


def _only_place(of: _Set) -> Scene:
    kinds = (*PLACES, "mountains", "mountains", "flower field", "flower field", "open sea", "open sea", "sky")
    place = of.place(kinds)
    if place.light == "day" and of.rng.random() < 0.35:
        place = replace(place, light=of.rng.choice(("sunset", "night")))
    return Scene("place", of.style, place, aspect=of.aspect)


def _texture(of: _Set) -> Scene:
    return Scene("texture", of.style, replace(of.place(TEXTURES), light="day"), aspect=of.aspect)


_MAKE = {
    "portrait": _portrait,
    "bust": _bust,
    "half": _half,
    "full": _full,
    "group": _group,
    "wide": _wide,
    "hand": _hand,
    "hands": _hands,
    "thing": _thing,
    "pair": _pair,
    "still": _still,
    "place": _only_place,
    "texture": _texture,
}
