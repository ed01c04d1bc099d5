"""Says what a scene shows: several paraphrases, whole or partial, with style and count words. Start reading at `make_captions`."""

from __future__ import annotations

import random

from sfumato.world.people.person import Garment, HandView, Person
from sfumato.world.scene import Scene
from sfumato.world.things import Thing

COUNT_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
_STYLE_FRONT = {
    "photo": ("a photo of", "photo of", "a photograph of"),
    "cartoon": ("a cartoon of", "cartoon of", "a drawing of"),
}
_STYLE_BACK = {"photo": (", photo", ", photograph"), "cartoon": (", cartoon", ", cartoon style")}
_WHERE = {
    "meadow": ("in a meadow", "on the grass", "in a green meadow"),
    "beach": ("on a beach", "at the beach", "by the sea"),
    "street": ("in a street", "on the street", "in a city street"),
    "room": ("in a room", "indoors"),
    "plain": ("", "plain background"),
    "brick wall": ("in front of a brick wall", "before a brick wall"),
    "foliage": ("in front of green leaves", "before foliage"),
    "sky": ("against the sky", "against a blue sky"),
    "sea": ("over the sea", "above blue water"),
}


def make_captions(scene: Scene, rng: random.Random) -> tuple[str, ...]:
    """Write paraphrases of a scene; the first is the fullest, the others leave things out."""
    return tuple(_with_style(scene, rng, _describe(scene, rng, detail)) for detail in (1.0, 0.75, 0.5, 0.25))


def _with_style(scene: Scene, rng: random.Random, text: str) -> str:
    if rng.random() < 0.65:
        return f"{rng.choice(_STYLE_FRONT[scene.style])} {text}"
    return text + rng.choice(_STYLE_BACK[scene.style])


def _describe(scene: Scene, rng: random.Random, detail: float) -> str:
    if scene.shot in ("hand", "hands"):
        return _describe_hands(scene, rng, detail)
    if scene.shot in ("place", "texture"):
        return _describe_empty(scene, rng)
    subject = _describe_subjects(scene, rng, detail)
    return _join(_framed(scene, rng, subject), _where(scene, rng, detail))


def _where(scene: Scene, rng: random.Random, detail: float) -> str:
    keep = scene.place.kind != "plain" and rng.random() < 0.35 + 0.65 * detail
    return rng.choice(_WHERE[scene.place.kind]) if keep else ""


def _framed(scene: Scene, rng: random.Random, subject: str) -> str:
    frames = {
        "portrait": ("a portrait of {}", "{}, portrait", "a close-up of {}", "the face of {}"),
        "half": ("{}, half body", "{}, upper body", "{}"),
        "full": ("{}, full body", "{}", "{}"),
        "wide": ("{} far away", "a wide view of {}", "{} in the distance"),
    }
    return rng.choice(frames.get(scene.shot, ("{}",))).format(subject)


def _describe_subjects(scene: Scene, rng: random.Random, detail: float) -> str:
    people = [person for person, _ in scene.people]
    if len(people) >= 3 or (len(people) == 2 and rng.random() < 0.35):
        group = _describe_group(people, rng)
        return f"{group} and {name_thing(scene.things[0], rng)}" if scene.things else group
    phrases = [_person(person, rng, detail, close=scene.shot == "portrait") for person in people]
    placed = [(where.x, phrase) for (_, where), phrase in zip(scene.people, phrases, strict=True)]
    placed += [(thing.foot.real, name_thing(thing, rng)) for thing in scene.things]
    if len(placed) == 2:
        return _relate(sorted(placed), rng)
    return " and ".join(phrase for _, phrase in sorted(placed))


def _relate(placed: list[tuple[float, str]], rng: random.Random) -> str:
    (_, left), (_, right) = placed
    patterns = (
        "{l} left of {r}",
        "{r} right of {l}",
        "{l} and {r}",
        "{l} on the left and {r} on the right",
        "{l} to the left of {r}",
    )
    return rng.choice(patterns).format(l=left, r=right)


def _describe_group(people: list[Person], rng: random.Random) -> str:
    count = COUNT_WORDS[len(people)]
    kinds = {person.kind for person in people}
    noun = {"man": "men", "woman": "women"}[kinds.pop()] if len(kinds) == 1 and rng.random() < 0.8 else "people"
    poses = {person.pose for person in people}
    pose = _POSE_WORDS[poses.pop()][0] if len(poses) == 1 and rng.random() < 0.7 else ""
    return _join(f"{rng.choice((count, count, 'a group of ' + count))} {noun}", pose)


_POSE_WORDS = {
    "standing": ("standing", ""),
    "walking": ("walking", "walking"),
    "sitting": ("sitting", "sitting down"),
    "waving": ("waving", "waving a hand"),
    "arms up": ("with arms up", "with raised arms"),
}


def _person(person: Person, rng: random.Random, detail: float, *, close: bool) -> str:
    def keep(weight: float = 1.0) -> bool:
        return rng.random() < detail * weight

    adjective = {"young": "young ", "old": "old "}.get(person.age, "") if keep() else ""
    noun = person.kind
    traits = [
        text
        for text, wanted in (
            (_hair(person, rng), keep()),
            ("glasses", person.glasses and keep()),
            ("a beard", person.beard and keep()),
        )
        if wanted and text
    ]
    if _exception(person):
        traits.append(_exception(person))
    text = f"{'an' if adjective.startswith('o') else 'a'} {adjective}{noun}"
    if person.skin != "tan" and keep(0.25):
        text += f" with {person.skin} skin"
        text += "".join(f" and {trait}" for trait in traits[:1]) if traits else ""
    elif traits:
        text += " with " + (" and ".join(traits) if len(traits) < 3 else f"{traits[0]}, {traits[1]} and {traits[2]}")
    clothes = _clothes(person, rng, close=close) if keep(1.2) else ""
    action = _action(person, rng) if not close and keep(1.2) else ""
    smile = (
        rng.choice(("smiling", "with a smile"))
        if person.smile and close and keep()
        else "serious"
        if close and not person.smile and keep(0.6)
        else ""
    )
    parts = [text, clothes] + ([action] if action else []) + ([f", {smile}"] if smile else [])
    return _join(*parts).replace(" ,", ",")


def name_person(person: Person, rng: random.Random) -> str:
    """Name a person in a few words: "an old woman with grey hair"."""
    adjective = {"young": "young ", "old": "old "}.get(person.age, "") if rng.random() < 0.5 else ""
    hair = f" with {_hair(person, rng)}" if rng.random() < 0.5 else ""
    return f"{'an' if adjective.startswith('o') else 'a'} {adjective}{person.kind}{hair}"


def _exception(person: Person) -> str:
    exception = person.exception
    if exception is None:
        return ""
    if exception.kind == "glove":
        return f"{exception.level} gloves"
    side, part = exception.limb.split("_")[1], exception.limb.split("_")[0]
    if exception.kind == "prosthesis":
        return f"a prosthetic {side} {part}"
    return f"an amputated {side} {part}"


def _hair(person: Person, rng: random.Random) -> str:
    if person.hair_style == "bald":
        return rng.choice(("a bald head", "no hair"))
    if person.hair_style == "bun":
        return f"{person.hair} hair in a bun"
    return rng.choice((f"{person.hair_style} {person.hair} hair", f"{person.hair} hair"))


def name_garment(garment: Garment) -> str:
    """Name a piece of clothing: "a red coat", "blue trousers"."""
    plural = garment.kind in ("trousers", "shorts")
    return f"{garment.colour if plural else name_colour(garment.colour)} {garment.kind}"


def _clothes(person: Person, rng: random.Random, *, close: bool) -> str:
    top = name_garment(person.top)
    lead = rng.choice(("in", "wearing"))
    if close or person.top.kind in ("dress", "coat") or rng.random() < 0.4:
        return f"{lead} {top}"
    return f"{lead} {top} and {name_garment(person.bottom)}"


def _action(person: Person, rng: random.Random) -> str:
    if person.pose == "holding":
        return f"holding {name_colour(person.held_colour)} {person.held}"
    return rng.choice(_POSE_WORDS[person.pose])


def name_colour(colour: str) -> str:
    """Return a colour with its article: "an orange"."""
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour}"


def name_thing(thing: Thing, rng: random.Random) -> str:
    """Name a thing: "a red house", "a tree"."""
    if thing.kind == "tree" and thing.colour == "green" and rng.random() < 0.6:
        return "a tree"
    return f"{name_colour(thing.colour)} {thing.kind}"


def _describe_empty(scene: Scene, rng: random.Random) -> str:
    words = {
        "meadow": ("an empty meadow", "a green meadow under a blue sky", "a meadow"),
        "beach": ("an empty beach", "a beach and the sea", "a sandy beach"),
        "street": ("an empty street", "a city street with houses", "a street"),
        "room": ("an empty room", "a room with a window", "a room"),
        "brick wall": ("a brick wall", "a wall of red bricks", "brick wall texture"),
        "foliage": ("foliage", "green leaves", "leaves texture"),
        "sky": ("a blue sky with clouds", "the sky", "clouds in the sky"),
        "sea": ("the sea", "sea waves", "blue water"),
    }
    return rng.choice(words[scene.place.kind])


_GESTURE_WORDS = {
    "open": ("an open {}", "an open {}, fingers spread"),
    "fist": ("a fist, {}", "a {} making a fist", "a closed {}"),
    "pointing": ("a pointing {}", "a {} pointing"),
    "one": ("a {} showing one finger", "a {} with one finger up"),
    "two": ("a {} showing two fingers", "a {} with two fingers up"),
    "three": ("a {} showing three fingers", "a {} with three fingers up"),
    "four": ("a {} showing four fingers", "a {} with four fingers up"),
    "five": ("a {} showing five fingers", "an open {} with five fingers"),
    "relaxed": ("a relaxed {}", "a {}"),
    "grip": ("a half-closed {}", "a {} with bent fingers"),
}
_VIEW_WORDS = {
    "palm": (", palm side", ", seen from the palm"),
    "back": (", back side", ", back of the hand"),
    "side": (", seen from the side", ", side view"),
}


def _describe_hands(scene: Scene, rng: random.Random, detail: float) -> str:
    view = scene.hands[0]
    if scene.shot == "hands":
        gesture = {"open": "two open hands", "fist": "two fists", "two": "two hands showing two fingers each"}[
            view.spec.gesture
        ]
        return _join(gesture, _hand_traits(scene, view, rng, detail), _where(scene, rng, detail))
    noun = f"{view.spec.side} hand" if rng.random() < 0.5 * detail + 0.15 else "hand"
    text = rng.choice(_GESTURE_WORDS[view.spec.gesture]).format(noun)
    return _join(text, _hand_traits(scene, view, rng, detail), _where(scene, rng, detail)).replace(" ,", ",")


def _hand_traits(scene: Scene, view: HandView, rng: random.Random, detail: float) -> str:
    parts: list[str] = []
    if view.exception is not None:
        parts.append(f"in a {view.glove} glove" if view.glove else f"with an amputated {view.exception.limb} finger")
    if rng.random() < 0.5 * detail:
        parts.append(rng.choice(_VIEW_WORDS[view.spec.view]))
    if not view.glove and rng.random() < 0.6 * detail:
        parts.append(f", {view.skin} skin")
    if rng.random() < 0.6 * detail and view.sleeve:
        parts.append(f", {view.sleeve} sleeve")
    if view.spec.gesture == "open" and view.exception is None and rng.random() < 0.4:
        parts.append(f", {COUNT_WORDS[scene.digit_count]} fingers")
    return "".join(p if p.startswith(",") else f" {p}" for p in parts).strip()


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part).replace(" ,", ",")
