"""Makes random scenes: who, where, doing what, framed how. Start reading at `make_scene`.

Chances live in the tables below. What the small model cannot learn is kept rare rather than left out.
"""

from __future__ import annotations

import random
from dataclasses import replace

from sfumato.world.palette import CLOTHES, GLOVE_WORDS, SKIN
from sfumato.world.people.hand import HandSpec, digit_names
from sfumato.world.people.person import HELD, Difference, Garment, HandView, Person, Placement
from sfumato.world.places import PLACES, PLAIN, TEXTURES, Place
from sfumato.world.scene import STYLES, Scene, placement_for_head
from sfumato.world.things import THINGS, Thing

MIXES: dict[str, dict[str, float]] = {
    "mini": {
        "portrait": 0.20,
        "half": 0.10,
        "full": 0.16,
        "group": 0.12,
        "wide": 0.07,
        "hand": 0.13,
        "hands": 0.03,
        "thing": 0.10,
        "pair": 0.04,
        "place": 0.03,
        "texture": 0.02,
    },
    "people": {"portrait": 0.25, "half": 0.15, "full": 0.30, "group": 0.20, "wide": 0.10},
    "hands": {"hand": 0.8, "hands": 0.2},
}
"""Share of each shot in a mix; `mini` is what the embedded model is trained on."""

PHOTO_SHARE = 0.75
EXCEPTION_SHARE = 0.04
_OUTDOORS = ("meadow", "beach", "street")


def make_scene(rng: random.Random, *, mix: str = "mini", shot: str = "", style: str = "", aspect: float = 1.0) -> Scene:
    """Make a random scene; `shot` and `style` fix these two, else they are drawn from the mix."""
    shares = MIXES[mix]
    shot = shot or rng.choices(list(shares), list(shares.values()))[0]
    style = style or rng.choices(STYLES, (PHOTO_SHARE, 1 - PHOTO_SHARE))[0]
    return _MAKE[shot](rng, style, aspect)


def make_person(rng: random.Random) -> Person:
    """Make a random person with clothes that go together."""
    kind = rng.choice(("man", "woman"))
    age = rng.choices(("young", "adult", "old"), (0.25, 0.5, 0.25))[0]
    hair = "grey" if age == "old" else rng.choice(("black", "brown", "blonde", "red"))
    if kind == "woman":
        hair_style = rng.choices(("long", "short", "bun"), (0.6, 0.2, 0.2))[0]
        top = rng.choice(("shirt", "sweater", "coat", "dress"))
        bottom = rng.choice(("trousers", "skirt"))
    else:
        hair_style = rng.choices(("short", "bald"), (0.88, 0.12) if age != "old" else (0.6, 0.4))[0]
        top = rng.choice(("shirt", "sweater", "coat"))
        bottom = rng.choice(("trousers", "trousers", "shorts"))
    top_colour = rng.choice(list(CLOTHES))
    bottom_colour = rng.choice([c for c in ("blue", "black", "white", "green", "red") if c != top_colour])
    return Person(
        kind=kind,
        age=age,
        hair=hair,
        hair_style=hair_style,
        skin=rng.choices(list(SKIN), (0.45, 0.3, 0.25))[0],
        glasses=rng.random() < 0.22,
        smile=rng.random() < 0.6,
        beard=kind == "man" and age != "young" and rng.random() < 0.3,
        top=Garment(top, top_colour),
        bottom=Garment(bottom, bottom_colour),
        arm_side=rng.choice(("left", "right")),
        wobble=rng.randrange(1 << 30),
    )


def _with_pose(person: Person, rng: random.Random, poses: tuple[str, ...]) -> Person:
    pose = rng.choice(poses)
    if pose != "holding":
        return replace(person, pose=pose)
    return replace(person, pose=pose, held=rng.choice(HELD), held_colour=rng.choice(("red", "blue", "yellow", "green")))


def _with_exception(person: Person, rng: random.Random) -> Person:
    if rng.random() >= EXCEPTION_SHARE or person.pose in ("sitting", "holding"):
        return person
    kind = rng.choice(("amputation", "prosthesis", "glove"))
    side = rng.choice(("left", "right"))
    if kind == "glove":
        return replace(person, exception=Difference(kind, "both", rng.choice(GLOVE_WORDS)))
    limb, level = rng.choice(
        ((f"arm_{side}", "elbow"), (f"arm_{side}", "wrist"), (f"arm_{side}", "shoulder"), (f"leg_{side}", "knee"))
    )
    if kind == "prosthesis" and level in ("wrist", "shoulder"):
        level = "elbow"
    return replace(person, exception=Difference(kind, limb, level))


def _place(rng: random.Random, kinds: tuple[str, ...] = PLACES) -> Place:
    return Place(rng.choice(kinds), rng.uniform(0.36, 0.50), rng.randrange(1 << 30))


def _portrait(rng: random.Random, style: str, aspect: float) -> Scene:
    height = rng.uniform(3.0, 3.5)
    where = placement_for_head(aspect / 2 + rng.uniform(-0.03, 0.03), rng.uniform(0.41, 0.46), height)
    place = _place(rng, (*PLACES, PLAIN, PLAIN))
    return Scene("portrait", style, place, people=((make_person(rng), where),), aspect=aspect)


def _half(rng: random.Random, style: str, aspect: float) -> Scene:
    person = _with_exception(
        _with_pose(make_person(rng), rng, ("standing", "waving", "arms up", "holding", "waving")), rng
    )
    raised = person.pose in ("arms up", "waving", "holding")
    height = rng.uniform(1.30, 1.45) if raised else rng.uniform(1.55, 1.80)
    head_y = rng.uniform(0.38, 0.42) if raised else rng.uniform(0.26, 0.31)
    return Scene(
        "half",
        style,
        _place(rng),
        people=((person, placement_for_head(aspect / 2 + rng.uniform(-0.04, 0.04), head_y, height)),),
        aspect=aspect,
    )


def _full(rng: random.Random, style: str, aspect: float) -> Scene:
    person = _with_exception(
        _with_pose(make_person(rng), rng, ("standing", "walking", "sitting", "waving", "arms up", "holding")), rng
    )
    height = rng.uniform(0.70, 0.80) if person.pose in ("arms up", "waving") else rng.uniform(0.78, 0.90)
    where = Placement(aspect / 2 + rng.uniform(-0.10, 0.10), rng.uniform(0.93, 0.97), height)
    return Scene("full", style, _place(rng), people=((person, where),), aspect=aspect)


def _group(rng: random.Random, style: str, aspect: float) -> Scene:
    count = rng.choices((2, 3, 4), (0.65, 0.22, 0.13))[0]
    height = {2: rng.uniform(0.68, 0.82), 3: rng.uniform(0.62, 0.74), 4: rng.uniform(0.56, 0.66)}[count]
    poses = ("standing", "waving", "walking", "arms up") if count == 2 else ("standing", "walking")
    people: list[tuple[Person, Placement]] = []
    for i in range(count):
        x = aspect * (i + 0.5) / count + rng.uniform(-0.02, 0.02)
        person = _with_pose(make_person(rng), rng, poses)
        # The acting arm points away from the neighbour, so that limbs stay apart.
        if count == 2:
            person = replace(person, arm_side="right" if i == 0 else "left")
        people.append((person, Placement(x, rng.uniform(0.92, 0.96), height * rng.uniform(0.94, 1.0))))
    return Scene("group", style, _place(rng), people=tuple(people), aspect=aspect)


def _wide(rng: random.Random, style: str, aspect: float) -> Scene:
    place = _place(rng, _OUTDOORS[:2])
    count = rng.choices((1, 2, 3), (0.5, 0.35, 0.15))[0]
    slots = rng.sample([0.12, 0.31, 0.50, 0.69, 0.88], count + 1)
    people: list[tuple[Person, Placement]] = []
    for x in sorted(slots[:count]):
        height = rng.uniform(0.24, 0.34)
        people.append(
            (
                _with_pose(make_person(rng), rng, ("standing", "walking", "waving")),
                Placement(x * aspect, place.horizon + height * rng.uniform(0.95, 1.15), height),
            )
        )
    things: tuple[Thing, ...] = ()
    if rng.random() < 0.6:
        kind = rng.choice(("house", "tree"))
        things = (make_thing(rng, kind, complex(slots[-1] * aspect, place.horizon + 0.14), rng.uniform(0.26, 0.34)),)
    return Scene("wide", style, place, people=tuple(people), things=things, aspect=aspect)


def make_thing(rng: random.Random, kind: str, foot: complex, height: float) -> Thing:
    """Make a thing of the first world with a random colour."""
    words = {
        "dog": ("brown", "white", "black"),
        "tree": ("green", "green", "orange"),
        "watch": ("black", "red", "blue", "green"),
    }
    return Thing(kind, rng.choice(words.get(kind, tuple(CLOTHES))), foot, height)


THING_SIZE = {"house": 0.55, "tree": 0.70, "car": 0.33, "watch": 0.80, "lamp": 0.70, "dog": 0.42, "cup": 0.45}


def _thing_place(rng: random.Random, kind: str) -> Place:
    indoors = {"watch": (PLAIN,), "lamp": ("room",), "cup": ("room", PLAIN)}
    outdoors = {"car": ("street", "meadow", "beach"), "dog": ("meadow", "beach", "street", "room")}
    return _place(rng, indoors.get(kind) or outdoors.get(kind) or ("meadow", "beach"))


def _thing(rng: random.Random, style: str, aspect: float) -> Scene:
    kind = rng.choice(THINGS)
    height = THING_SIZE[kind] * rng.uniform(0.85, 1.15)
    foot = complex(
        aspect / 2 + rng.uniform(-0.08, 0.08), 0.52 + height / 2 if kind == "watch" else rng.uniform(0.82, 0.90)
    )
    return Scene("thing", style, _thing_place(rng, kind), things=(make_thing(rng, kind, foot, height),), aspect=aspect)


def _pair(rng: random.Random, style: str, aspect: float) -> Scene:
    place = _place(rng, ("meadow", "beach"))
    kinds = rng.sample(("house", "tree", "dog"), 2)
    things: list[Thing] = []
    for x, kind in zip((0.26, 0.74), kinds, strict=True):
        things.append(make_thing(rng, kind, complex(x * aspect, rng.uniform(0.78, 0.86)), THING_SIZE[kind] * 0.68))
    if rng.random() < 0.5:
        return Scene("pair", style, place, things=tuple(things), aspect=aspect)
    x, kept = (0.24, things[1]) if rng.random() < 0.5 else (0.76, things[0])
    where = Placement(x * aspect, 0.90, rng.uniform(0.60, 0.70))
    return Scene("pair", style, place, people=((make_person(rng), where),), things=(kept,), aspect=aspect)


def make_hand_view(rng: random.Random, style: str, centre: complex, size: float) -> HandView:
    """Make a random hand of the style around a point, `size` from wrist to fingertip."""
    count = 4 if style == "cartoon" else 5
    gesture = rng.choices(
        ("open", "fist", "pointing", "one", "two", "three", "four", "five"),
        (0.38, 0.12, 0.10, 0.05, 0.12, 0.09, 0.09, 0.05),
    )[0]
    if gesture == "five" and count == 4:
        gesture = "open"
    side, view = rng.choice(("left", "right")), rng.choice(("palm", "back"))
    exception, missing, glove = None, (), ""
    if gesture == "open" and rng.random() < 2 * EXCEPTION_SHARE:
        lost = rng.choice(digit_names(count)[1:])
        exception, missing = Difference("amputation", lost, "finger"), (lost,)
    elif rng.random() < EXCEPTION_SHARE:
        glove = rng.choice(GLOVE_WORDS)
        exception = Difference("glove", "hand", glove)
    spec = HandSpec(side, view, gesture, count, rng.uniform(0.6, 1.25), rng.randrange(1 << 30), missing)
    lean = rng.uniform(-16, 16) if gesture != "pointing" else rng.choice((-82.0, 82.0)) + rng.uniform(-8, 8)
    return HandView(
        spec,
        rng.choices(list(SKIN), (0.45, 0.3, 0.25))[0],
        glove,
        rng.choice(list(CLOTHES)),
        centre,
        size,
        lean,
        exception,
    )


def _hand(rng: random.Random, style: str, aspect: float) -> Scene:
    centre = complex(aspect / 2 + rng.uniform(-0.04, 0.04), 0.50 + rng.uniform(-0.03, 0.03))
    view = make_hand_view(rng, style, centre, rng.uniform(0.66, 0.80))
    return Scene("hand", style, _place(rng, (PLAIN, PLAIN, "meadow", "beach", "room")), hands=(view,), aspect=aspect)


def _hands(rng: random.Random, style: str, aspect: float) -> Scene:
    first = make_hand_view(rng, style, complex(0.27 * aspect, 0.48), 0.50)
    lean = rng.uniform(-8, 8)
    first = replace(
        first,
        lean_deg=-abs(lean),
        exception=None,
        spec=replace(first.spec, gesture=rng.choice(("open", "fist", "two")), missing=()),
    )
    # As seen by the person who stretches them out (backs) or from in front (palms): thumbs point inwards or outwards.
    sides = ("left", "right") if first.spec.view == "back" else ("right", "left")
    first = replace(first, spec=replace(first.spec, side=sides[0]))
    second = replace(
        first,
        centre=complex(0.73 * aspect, 0.48),
        lean_deg=abs(lean),
        spec=replace(first.spec, side=sides[1], wobble=rng.randrange(1 << 30)),
    )
    return Scene("hands", style, _place(rng, (PLAIN, "room")), hands=(first, second), aspect=aspect)


def _only_place(rng: random.Random, style: str, aspect: float) -> Scene:
    return Scene("place", style, _place(rng), aspect=aspect)


def _texture(rng: random.Random, style: str, aspect: float) -> Scene:
    return Scene("texture", style, _place(rng, TEXTURES), aspect=aspect)


_MAKE = {
    "portrait": _portrait,
    "half": _half,
    "full": _full,
    "group": _group,
    "wide": _wide,
    "hand": _hand,
    "hands": _hands,
    "thing": _thing,
    "pair": _pair,
    "place": _only_place,
    "texture": _texture,
}
