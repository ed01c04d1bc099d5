"""Captions of the broad mix: plain prompts, lists of words, whole sentences, in any order and with parts left out.

The first of four is the fullest. A part of them speaks the grammar of the first world, on which the judges were trained.
It knows scenes; the single phrases lie in `words`. Start reading at `make_broad_captions`.
"""

from __future__ import annotations

import random

from sfumato.world.broad.words import (
    join_words,
    list_traits,
    say_action,
    say_clothes,
    say_empty,
    say_light,
    say_mood,
    say_name,
    say_noun,
    say_thing,
    say_where,
)
from sfumato.world.caption import COUNT_WORDS, make_captions
from sfumato.world.people.person import HandView, Person
from sfumato.world.places import PLACES, PLAIN, TEXTURES
from sfumato.world.scene import MORE_SHOTS, Scene
from sfumato.world.things import MORE_THINGS

DETAILS = (0.95, 0.7, 0.45, 0.2)
"""How much each of the four captions says."""
OLD_GRAMMAR_SHARE = 0.30
LIST_SHARE = 0.10
STYLE_SHARE = 0.72
_STYLE_FRONT = {
    "photo": ("a photo of", "photo of", "a photograph of", "photograph of", "a picture of", "a photo showing"),
    "cartoon": ("a cartoon of", "cartoon of", "a drawing of", "drawing of", "a comic of"),
}
_STYLE_BACK = {
    "photo": (", photo", ", photograph", ", a photo", ", photography"),
    "cartoon": (", cartoon", ", cartoon style", ", drawing", ", comic"),
}
_FRAMES = {
    "portrait": (
        "a portrait of {}",
        "portrait of {}",
        "{}, portrait",
        "a close-up of {}",
        "the face of {}",
        "close-up of {}",
        "{}",
    ),
    "bust": ("a portrait of {}", "portrait of {}", "{}", "{}, head and shoulders", "{}, portrait", "{}"),
    "half": ("{}, half body", "{}, upper body", "{}", "{}"),
    "full": ("{}, full body", "{}", "{}", "the whole figure of {}"),
    "wide": ("{} far away", "a wide view of {}", "{} in the distance", "{}, seen from far away"),
}


def make_broad_captions(scene: Scene, rng: random.Random) -> tuple[str, ...]:
    """Write four captions of a scene; later ones name less."""
    old = make_captions(scene, rng) if _is_old(scene) else ()
    found: list[str] = []
    for number, detail in enumerate(DETAILS):
        if old and rng.random() < OLD_GRAMMAR_SHARE:
            found.append(old[number])
        else:
            found.append(_write(scene, rng, detail))
    return tuple(found)


def _is_old(scene: Scene) -> bool:
    """Tell whether the grammar of the first world can say all that matters of a scene."""
    known = scene.place.kind in (*PLACES, PLAIN, *TEXTURES) and scene.place.light == "day"
    plain = all(not person.name and person.age != "child" for person, _ in scene.people)
    plain = plain and (len(scene.people) < 2 or all(person.pose != "holding" for person, _ in scene.people))
    return known and plain and not scene.relation and scene.shot not in MORE_SHOTS and not any(
        thing.kind in MORE_THINGS for thing in scene.things
    )  # fmt: skip


def _write(scene: Scene, rng: random.Random, detail: float) -> str:
    if len(scene.people) == 1 and rng.random() < LIST_SHARE:
        return _tidy(_list_words(scene, rng, detail))
    light = say_light(scene.place, rng) if rng.random() < 0.45 + 0.55 * detail else ""
    if scene.shot in ("place", "texture"):
        return _tidy(_with_style(scene, rng, say_empty(scene.place, rng)))
    where = say_where(scene.place, rng) if rng.random() < 0.25 + 0.75 * detail else ""
    if scene.hands:
        subject = _say_hands(scene, rng, detail)
    else:
        subject = rng.choice(_FRAMES.get(scene.shot, ("{}",))).format(_say_subjects(scene, rng, detail))
    if where and rng.random() < 0.08:
        text = f"{where}, {subject}" + (f" {light}" if light else "")
    elif light and rng.random() < 0.3:
        text = f"{subject} {where}, {light.removeprefix('at ').removeprefix('in the ')}"
    elif rng.random() < 0.75:
        text = f"{subject} {where} {light}"
    else:
        text = f"{subject}, {where} {light}" if where else f"{subject} {light}"
    return _tidy(_with_style(scene, rng, text))


def _with_style(scene: Scene, rng: random.Random, text: str) -> str:
    # A drawing has to say so more often: without a word for the style a prompt means a photograph.
    if rng.random() >= (STYLE_SHARE if scene.style == "photo" else 0.93):
        return text
    if rng.random() < 0.55 and not text.startswith(("in ", "on ", "at ", "by ")):
        return f"{rng.choice(_STYLE_FRONT[scene.style])} {text}"
    return text + rng.choice(_STYLE_BACK[scene.style])


def _say_subjects(scene: Scene, rng: random.Random, detail: float) -> str:
    people = [person for person, _ in scene.people]
    if len(people) >= 3 or (len(people) == 2 and rng.random() < 0.4):
        group = _say_group(people, rng)
        return f"{group} and {say_thing(scene.things[0], rng)}" if scene.things else group
    close = scene.shot in ("portrait", "bust")
    phrases = [say_person(person, rng, detail, close=close) for person in people]
    if scene.relation:
        return _relate_words(scene, rng, phrases + [say_thing(thing, rng) for thing in scene.things])
    placed = [(where.x, phrase) for (_, where), phrase in zip(scene.people, phrases, strict=True)]
    placed += [(thing.foot.real, say_thing(thing, rng)) for thing in scene.things]
    if len(placed) == 2:
        (_, left), (_, right) = sorted(placed)
        return rng.choice(_SIDES).format(l=left, r=right)
    return " and ".join(phrase for _, phrase in sorted(placed))


_SIDES = (
    "{l} left of {r}", "{r} right of {l}", "{l} and {r}", "{r} and {l}", "{l} on the left and {r} on the right",
    "{l} to the left of {r}", "{l} next to {r}", "{l} and {r} side by side", "{l} and {r} standing next to each other",
)  # fmt: skip


def _relate_words(scene: Scene, rng: random.Random, phrases: list[str]) -> str:
    first, last = phrases[0], phrases[-1]
    if scene.relation == "on":
        # The furniture stands first in the scene, as it is drawn first.
        return rng.choice(("{b} on {a}", "{b} on {a}", "{b} standing on {a}", "{a} with {b} on it", "{b}")).format(
            a=first, b=last
        )
    if scene.relation == "before":
        return rng.choice(("{a} in front of {b}", "{a} before {b}", "{a} in front of {b}", "{b} behind {a}")).format(
            a=first, b=last
        )
    if scene.relation == "beside":
        return rng.choice(
            ("{a} next to {b}", "{b} next to {a}", "{a} beside {b}", "{a} with {b}", "{a} and {b}")
        ).format(a=first, b=last)
    return rng.choice(("{a} leaning", "{a}", "{a} standing")).format(a=first)


def say_person(person: Person, rng: random.Random, detail: float, *, close: bool) -> str:
    """Describe one person: noun or name, traits, clothes, action and mood, some of them, in some order."""

    def keep(weight: float = 1.0) -> bool:
        return rng.random() < detail * weight

    named = bool(person.name)
    # A name should do alone: two captions of three say nothing else of who it is.
    describe = not named or rng.random() < 0.33
    head = say_name(person, rng) if named else say_noun(person, rng, with_age=rng.random() < 0.3 + 0.7 * detail)
    if named and describe and rng.random() < 0.4:
        head += ", " + say_noun(person, rng, with_age=False)
    traits = list_traits(person, rng, detail, close=close) if describe else []
    mood = say_mood(person, rng) if keep(0.9 if close else 0.35) else ""
    if mood in ("smiling", "laughing", "happy") and not named and rng.random() < 0.25 and head.startswith("a "):
        head, mood = f"a {mood} {head.removeprefix('a ')}", ""
    if traits and not named and rng.random() < 0.10 and "a beard" in traits:
        traits.remove("a beard")
        head = f"a bearded {head.split(' ', 1)[1]}"
    clothes = say_clothes(person, rng, close=close) if describe and keep(1.1) else ""
    action = say_action(person, rng) if not close and rng.random() < 0.4 + 0.6 * detail else ""
    having = f"with {join_words(traits)}" if traits else ""
    parts = [having, clothes, action]
    if rng.random() < 0.25:
        rng.shuffle(parts)
    text = " ".join([head, *(part for part in parts if part)])
    if not mood:
        return text
    return f"{text}, {mood}" if rng.random() < 0.5 else f"{text} {mood}"


def _say_group(people: list[Person], rng: random.Random) -> str:
    count = COUNT_WORDS[len(people)]
    kinds = {("child" if person.age == "child" else person.kind) for person in people}
    nouns = {"man": ("men",), "woman": ("women",), "child": ("children", "kids")}
    noun = (
        rng.choice(nouns[kinds.pop()])
        if len(kinds) == 1 and rng.random() < 0.7
        else rng.choice(("people", "people", "friends"))
    )
    poses = {person.pose for person in people}
    pose = say_action(people[0], rng) if len(poses) == 1 and "holding" not in poses and rng.random() < 0.8 else ""
    lead = rng.choice((count, count, count, f"a group of {count}"))
    beside = rng.choice(("", "", "standing next to each other", "side by side", "together")) if not pose else ""
    return f"{lead} {noun} {pose} {beside}"


def _list_words(scene: Scene, rng: random.Random, detail: float) -> str:
    """Write the words of one person as a list without grammar, in any order after the first."""
    person = scene.people[0][0]
    close = scene.shot in ("portrait", "bust")
    first = say_name(person, rng) if person.name else say_noun(person, rng, with_age=True).split(" ", 1)[1]
    words = [] if person.name and rng.random() < 0.6 else list_traits(person, rng, detail, close=close)
    words = [word.removeprefix("a ").removeprefix("an ") for word in words]
    if rng.random() < detail:
        words.append(f"{person.top.colour} {person.top.kind}")
    if not close:
        words.append(say_action(person, rng).removeprefix("with "))
    if scene.place.kind not in (PLAIN, "flower field"):
        words.append(scene.place.kind)
    words.append({"day": "", "sunset": "sunset", "night": "night"}[scene.place.light])
    words += [thing.kind for thing in scene.things]
    words.append(say_mood(person, rng) if rng.random() < detail and close else "")
    if rng.random() < 0.7 or scene.style == "cartoon":
        words.append("photo" if scene.style == "photo" else rng.choice(("cartoon", "drawing")))
    frame = {"portrait": "portrait", "bust": "portrait", "full": "full body", "half": "half body"}.get(scene.shot, "")
    words.append(frame if rng.random() < 0.5 else "")
    rng.shuffle(words)
    return ", ".join([first, *(word for word in words if word)])


_GESTURES: dict[str, tuple[str, ...]] = {
    "open": ("an open {}", "an open {}, fingers spread", "a {}", "a {} with spread fingers", "an open {}"),
    "fist": ("a fist", "a {} making a fist", "a closed {}", "a fist, {}"),
    "pointing": ("a pointing {}", "a {} pointing", "a {} pointing with one finger"),
    "one": ("a {} showing one finger", "a {} with one finger up", "a {} pointing up"),
    "two": ("a {} showing two fingers", "a {} with two fingers up", "a {} making a victory sign"),
    "three": ("a {} showing three fingers", "a {} with three fingers up", "three fingers"),
    "four": ("a {} showing four fingers", "a {} with four fingers up", "four fingers"),
    "five": ("a {} showing five fingers", "an open {} with five fingers", "a {} with five fingers spread"),
    "relaxed": ("a relaxed {}", "a {}"),
    "grip": ("a half-closed {}", "a {} with bent fingers"),
}
_VIEWS = {
    "palm": ("palm side", "seen from the palm", "showing the palm"),
    "back": ("back side", "back of the hand", "seen from the back"),
    "side": ("seen from the side", "side view"),
}


def _say_hands(scene: Scene, rng: random.Random, detail: float) -> str:
    view = scene.hands[0]
    if scene.shot == "hands":
        text = {"open": "two open hands", "fist": "two fists", "two": "two hands showing two fingers each"}[
            view.spec.gesture
        ]
        text = "two hands" if rng.random() < 0.2 else text
    else:
        noun = f"{view.spec.side} hand" if rng.random() < 0.15 + 0.5 * detail else "hand"
        text = rng.choice(_GESTURES[view.spec.gesture]).format(noun)
    return text + _say_hand_traits(scene, view, rng, detail)


def _say_hand_traits(scene: Scene, view: HandView, rng: random.Random, detail: float) -> str:
    parts: list[str] = []
    if view.exception is not None:
        parts.append(f" in a {view.glove} glove" if view.glove else f" with an amputated {view.exception.limb} finger")
    elif view.sleeve and rng.random() < 0.65 * detail + 0.1:
        parts.append(
            rng.choice(
                (
                    f", {view.sleeve} sleeve",
                    f" in {_article(view.sleeve)} {view.sleeve} sleeve",
                    f" with {_article(view.sleeve)} {view.sleeve} sleeve",
                )
            )
        )
    if rng.random() < 0.5 * detail:
        parts.append(f", {rng.choice(_VIEWS[view.spec.view])}")
    if not view.glove and rng.random() < 0.5 * detail:
        parts.append(f", {view.skin} skin")
    if view.spec.gesture == "open" and view.exception is None and rng.random() < 0.35:
        parts.append(f", {COUNT_WORDS[scene.digit_count]} fingers")
    return "".join(parts)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _tidy(text: str) -> str:
    """Take out doubled spaces and commas that a part left out leaves behind."""
    words = " ".join(text.split()).replace(" ,", ",").replace(",,", ",")
    return words.strip(" ,")
