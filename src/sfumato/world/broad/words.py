"""Words for people, things and places of the broad mix: synonyms, and traits that may be left out.

Every function returns one phrase; which ones a caption holds, and in which order, lies in `caption`.
Start reading at `say_person`.
"""

from __future__ import annotations

import random

from sfumato.world.caption import name_colour, name_garment
from sfumato.world.objects.furniture import WOOD_WORD
from sfumato.world.objects.pen import Thing
from sfumato.world.people.person import Person
from sfumato.world.scenery.stage import Place

WHERE: dict[str, tuple[str, ...]] = {
    "meadow": (
        "in a meadow",
        "on the grass",
        "in a green meadow",
        "on a meadow",
        "in the grass",
        "in a park",
        "on a hill",
    ),
    "beach": ("on a beach", "at the beach", "by the sea", "on the beach", "in front of the sea", "on the sand"),
    "street": ("in a street", "on the street", "in a city street", "in the street", "in the city", "in a city"),
    "room": ("in a room", "indoors", "in a room with a window", "inside", "at home"),
    "plain": ("", "", "plain background", "in front of a plain wall"),
    "brick wall": ("in front of a brick wall", "before a brick wall", "in front of bricks"),
    "foliage": ("in front of green leaves", "before foliage", "in front of leaves"),
    "sky": ("against the sky", "against a blue sky", "in front of the sky"),
    "sea": ("over the sea", "above blue water", "in front of the sea", "in front of blue water"),
    "open sea": ("on the sea", "at sea", "on the water", "on the open sea"),
    "mountains": ("in the mountains", "in front of mountains", "with mountains behind", "in a meadow before mountains"),
    "flower field": (
        "in a field of {c} flowers",
        "among {c} flowers",
        "in a meadow with {c} flowers",
        "in a field of flowers",
    ),
}
LIGHT: dict[str, tuple[str, ...]] = {
    "day": ("",),
    "sunset": ("at sunset", "in the evening", "at dusk", "in the evening light", "at sundown"),
    "night": ("at night", "by night", "at night", "in the dark", "under the stars"),
}
_EMPTY: dict[str, dict[str, tuple[str, ...]]] = {
    "meadow": {
        "day": ("an empty meadow", "a green meadow under a blue sky", "a meadow", "green grass and a blue sky", "hills and grass"),
        "sunset": ("a meadow at sunset", "sunset over a meadow", "sunset over green hills", "the sun goes down over a meadow"),
        "night": ("a meadow at night", "a starry night over a meadow", "the moon over a meadow", "a dark meadow under the stars"),
    },
    "beach": {
        "day": ("an empty beach", "a beach and the sea", "a sandy beach", "the beach", "sand and sea"),
        "sunset": ("sunset on the beach", "a beach at sunset", "sunset over the sea", "an empty beach in the evening"),
        "night": ("a beach at night", "an empty beach under the moon", "the moon over the sea", "a beach under the stars"),
    },
    "street": {
        "day": ("an empty street", "a city street with houses", "a street", "a street with houses", "houses in a city"),
        "sunset": ("a street at sunset", "a city street in the evening", "a street with houses at sunset"),
        "night": (
            "a street at night", "a city at night with lights in the windows", "an empty street at night",
            "houses at night with lit windows",
        ),
    },
    "room": {
        "day": ("an empty room", "a room with a window", "a room", "inside a room"),
        "sunset": ("a room at sunset", "an empty room in the evening", "a room with a window, sunset outside"),
        "night": ("a room at night", "an empty room at night", "a room with a window, night outside"),
    },
    "brick wall": {"day": ("a brick wall", "a wall of red bricks", "brick wall texture", "red bricks", "bricks", "brick wall")},
    "foliage": {"day": ("foliage", "green leaves", "leaves texture", "green leaves close up", "leaves", "a hedge")},
    "sky": {
        "day": ("a blue sky with clouds", "the sky", "clouds in the sky", "clouds in a blue sky", "white clouds", "a blue sky"),
        "sunset": ("a sunset sky", "sunset", "the sky at sunset", "an orange sky", "the setting sun", "a red sky with clouds"),
        "night": ("a night sky", "a starry sky", "the night sky with stars", "stars", "moon and stars", "the moon at night"),
    },
    "sea": {"day": ("the sea", "sea waves", "blue water", "waves", "water")},
    "open sea": {
        "day": ("the sea", "the open sea under a blue sky", "blue sea and sky", "the sea with waves", "an ocean"),
        "sunset": ("sunset over the sea", "the sea at sunset", "a sunset at sea", "the sun going down over the sea", "sunset"),
        "night": ("the sea at night", "the moon over the sea", "moonlight on the water", "a starry night at sea"),
    },
    "mountains": {
        "day": (
            "mountains", "mountains behind a meadow", "a mountain with snow", "snowy mountains", "a meadow and mountains",
            "a mountain",
        ),
        "sunset": ("mountains at sunset", "sunset in the mountains", "a mountain in the evening light"),
        "night": ("mountains at night", "a mountain at night with stars", "a starry night in the mountains", "mountains under the moon"),
    },
    "flower field": {
        "day": (
            "a field of {c} flowers", "{c} flowers", "{c} flowers in a meadow", "flowers in a meadow",
            "a meadow full of {c} flowers", "flowers",
        ),
        "sunset": ("a field of {c} flowers at sunset", "{c} flowers in the evening", "flowers in a meadow at sunset"),
        "night": ("a field of {c} flowers at night", "flowers at night", "{c} flowers under the stars"),
    },
}  # fmt: skip
POSES: dict[str, tuple[str, ...]] = {
    "standing": ("standing", "", "standing there"),
    "walking": ("walking", "taking a walk", "going for a walk"),
    "sitting": ("sitting", "sitting down", "sitting on a bench", "seated"),
    "waving": ("waving", "waving a hand", "waving hello", "with one hand up"),
    "arms up": (
        "with arms up",
        "with raised arms",
        "with both arms up",
        "arms raised",
        "raising both arms",
        "with {their} arms up",
    ),
}
_HAIR_KINDS = {
    "curly": "curly {} hair",
    "ponytail": "{} hair in a ponytail",
    "braids": "{} braids",
    "mohawk": "a {} mohawk",
    "bun": "{} hair in a bun",
}


def say_where(place: Place, rng: random.Random) -> str:
    """Return where somebody is: "on a beach"."""
    return rng.choice(WHERE[place.kind]).replace("{c}", place.colour)


def say_empty(place: Place, rng: random.Random) -> str:
    """Return what an empty place is, its light included: "sunset over the sea"."""
    return rng.choice(_EMPTY[place.kind][place.light]).replace("{c}", place.colour)


def say_light(place: Place, rng: random.Random) -> str:
    """Return the light: "at night", "" by day."""
    if place.kind == "room" and place.light == "night":
        return rng.choice(("at night", "in the evening", "by lamplight"))
    return rng.choice(LIGHT[place.light])


def say_noun(person: Person, rng: random.Random, *, with_age: bool) -> str:
    """Return a person's noun with its age: "an old woman", "a girl", "a person"."""
    man = person.kind == "man"
    if person.age == "child":
        return (
            rng.choice(("a boy", "a boy", "a little boy") if man else ("a girl", "a girl", "a little girl"))
            if rng.random() < 0.85
            else "a child"
        )
    if rng.random() < 0.05:
        return "a person"
    noun = rng.choice(("man",) * 8 + ("guy",)) if man else rng.choice(("woman",) * 8 + ("lady",))
    if not with_age or person.age == "adult":
        return f"a {noun}"
    if person.age == "young" and not man and rng.random() < 0.2:
        return "a girl"
    return {"young": f"a young {noun}", "old": rng.choice((f"an old {noun}", f"an old {noun}", f"an elderly {noun}"))}[
        person.age
    ]


def say_name(person: Person, rng: random.Random) -> str:
    """Return the name of a character with the words of their age."""
    name, noun = person.name, "man" if person.kind == "man" else "woman"
    small = "boy" if person.kind == "man" else "girl"
    forms = {
        "adult": (name,),
        "child": (f"{name} as a child", f"{name} as a child", f"{name} as a {small}", f"little {name}"),
        "young": (f"young {name}", f"{name} as a young {noun}", f"young {name}"),
        "old": (f"old {name}", f"{name} as an old {noun}", f"old {name}"),
    }
    return rng.choice(forms[person.age])


def say_hair(person: Person, rng: random.Random) -> str:
    """Return the hair: "long red hair"."""
    if person.hair_style == "bald":
        return rng.choice(("a bald head", "no hair"))
    white = rng.choice(("grey", "grey", "white")) if person.hair == "grey" else person.hair
    if person.hair_style in _HAIR_KINDS and rng.random() < 0.8:
        return _HAIR_KINDS[person.hair_style].format(white)
    style = person.hair_style if person.hair_style in ("long", "short", "curly") else ""
    return rng.choice((f"{style} {white} hair".strip(), f"{white} hair"))


def list_traits(person: Person, rng: random.Random, keep: float, *, close: bool) -> list[str]:
    """Return what a person has, as nouns after "with", in random order; each with the chance `keep`."""
    hat = f"{name_colour(person.hat_colour)} {person.hat}" if person.hat != "crown" else "a golden crown"
    glasses = (
        "glasses" if person.glasses_colour == "black" or rng.random() < 0.4 else f"{person.glasses_colour} glasses"
    )
    beard = "a beard" if rng.random() < 0.6 else f"a {'white' if person.hair == 'grey' else person.hair} beard"
    covered = person.hat in ("cap", "beanie", "hat") and person.hair_style in ("bald", "bun")
    known = [
        ("" if covered else say_hair(person, rng), 1.0),
        (glasses if person.glasses else "", 1.1),
        (beard if person.beard else "", 1.1),
        (hat if person.hat else "", 1.1),
        (f"{name_colour(person.scarf)} scarf" if person.scarf else "", 1.0),
        (f"{person.skin} skin" if person.skin != "tan" else "", 0.3),
        (f"{person.eyes} eyes" if close and person.eyes else "", 0.45),
    ]
    known += [(_MARK_WORDS[mark], 0.8) for mark in person.marks]
    traits = [text for text, weight in known if text and rng.random() < keep * weight]
    rng.shuffle(traits)
    return traits[:4]


_MARK_WORDS = {
    "freckles": "freckles",
    "scar": "a scar",
    "moustache": "a moustache",
    "earrings": "earrings",
    "eyepatch": "an eyepatch",
    "streak": "a white streak",
    "goatee": "a goatee",
    "mole": "a mole",
}


def join_words(words: list[str]) -> str:
    """Join words as a list: "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]


def say_clothes(person: Person, rng: random.Random, *, close: bool) -> str:
    """Return the clothes: "in a red coat and black trousers"."""
    top = name_garment(person.top)
    lead = rng.choice(("in", "in", "wearing", "wearing", "dressed in"))
    if close or person.top.kind in ("dress", "coat") or rng.random() < 0.45:
        return f"{lead} {top}"
    return f"{lead} {top} and {name_garment(person.bottom)}"


def say_action(person: Person, rng: random.Random) -> str:
    """Return what somebody does: "holding a red cup"."""
    if person.pose == "holding":
        thing = f"{name_colour(person.held_colour)} {person.held}" if rng.random() < 0.75 else f"a {person.held}"
        return f"{rng.choice(('holding', 'holding', 'with', 'carrying'))} {thing}"
    return rng.choice(POSES[person.pose]).replace("{their}", "his" if person.kind == "man" else "her")


def say_mood(person: Person, rng: random.Random) -> str:
    """Return the look on a face: "smiling", "serious"."""
    if person.smile:
        return rng.choice(("smiling", "smiling", "with a smile", "laughing", "smiling at the camera", "happy"))
    return rng.choice(("serious", "with a serious face", "not smiling", "looking serious"))


def say_thing(thing: Thing, rng: random.Random) -> str:
    """Return a thing with its colour and form, or without: "a black cat sitting"."""
    bare = rng.random() < 0.15
    if thing.kind == "vase":
        flowers = "flowers" if bare else f"{thing.colour} flowers"
        vase = "a vase" if rng.random() < 0.5 else f"{name_colour(thing.second)} vase"
        return rng.choice((f"{flowers} in {vase}", f"{vase} with {flowers}", f"{vase} of {flowers}"))
    if thing.kind == "clock":
        return _say_clock(thing, rng, bare=bare)
    noun = _pick_noun(thing, rng)
    bare = bare and noun != "sitting cat"
    if bare or (thing.kind == "tree" and thing.colour == "green" and rng.random() < 0.5):
        return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
    wooden = thing.colour == WOOD_WORD and thing.kind in ("chair", "table") and rng.random() < 0.6
    if noun == "sitting cat":
        return f"{name_colour(thing.colour)} cat sitting"
    text = f"a wooden {noun}" if wooden else f"{name_colour(thing.colour)} {noun}"
    if thing.kind == "bicycle" and thing.form == "basket" and rng.random() < 0.5:
        text += " with a basket"
    if thing.kind == "tree" and thing.colour == "orange" and rng.random() < 0.4:
        text += " in autumn"
    return text


def say_time(form: str, rng: random.Random) -> str:
    """Return the words of a time such as 10:15: "a quarter past ten"."""
    hour, minute = (int(part) for part in form.split(":"))
    names = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    now, after = names[hour - 1], names[hour % 12]
    quarter = rng.choice(("a quarter", "quarter"))
    return {0: f"{now} o'clock", 15: f"{quarter} past {now}", 30: f"half past {now}", 45: f"{quarter} to {after}"}[
        minute
    ]


def _say_clock(thing: Thing, rng: random.Random, *, bare: bool) -> str:
    noun = rng.choice(("clock", "clock", "wall clock", "clock face"))
    text = f"a {noun}" if bare or noun == "clock face" else f"{name_colour(thing.colour)} {noun}"
    if rng.random() < 0.7:
        text += f" {rng.choice(('showing', 'showing', 'at'))} {say_time(thing.form, rng)}"
    return text


_NOUNS: dict[str, tuple[str, ...]] = {
    "watch": ("watch", "watch", "wristwatch"),
    "bicycle": ("bicycle", "bicycle", "bike"),
    "sailing boat": ("boat", "sailing boat", "sailboat"),
    "rowing boat": ("boat", "rowing boat"),
    "fishing boat": ("boat", "fishing boat", "ship"),
    "sitting cat": ("cat", "cat", "sitting cat"),
}


def _pick_noun(thing: Thing, rng: random.Random) -> str:
    return rng.choice(_NOUNS.get(f"{thing.form} {thing.kind}".strip(), (thing.kind,)))
