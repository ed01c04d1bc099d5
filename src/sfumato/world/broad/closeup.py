"""Close-ups: what a window sees of a large picture, chosen by what is in it: an eye, lips, cloth, bricks, leaves.

A small drawing with its truth says where the parts are; then only the window is drawn, at the large scale.
It knows whole samples; the words of single parts lie here. Start reading at `make_closeup`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.world.broad.words import say_noun, say_thing
from sfumato.world.caption import name_colour, name_garment
from sfumato.world.crop import SCALES, Crop
from sfumato.world.ink import Window
from sfumato.world.people.person import Person
from sfumato.world.scene import Scene
from sfumato.world.shapes import make_shapes
from sfumato.world.stream import Wish, draw_scene, make_sample
from sfumato.world.truth import Truth

FINEST_SCALE = 12.0
"""Eyes, lips and joints are drawn up to so many times larger; other parts up to the largest scale of a crop."""
_FINE = ("eye", "mouth", "nose", "brow", "glasses", "ear")
_PAIRED = ("eye", "ear", "brow")
# The chance that a part becomes the subject, where it shows.
_WEIGHTS = {
    "eye": 3.0, "mouth": 2.5, "nose": 1.0, "ear": 0.6, "glasses": 1.5, "brow": 0.5, "hair": 1.2, "head": 1.5, "beard": 1.0,
    "hat": 1.0, "torso": 2.0, "skirt": 0.8, "leg": 0.6, "arm": 0.8, "hand": 2.5, "foot": 0.8, "held": 2.5, "scarf": 1.0,
    "thing": 1.5,
}  # fmt: skip
_BARE = ("sky", "wall", "floor", "road", "pavement", "sand", "hills", "grass")
_LEADS = ("a detail of", "detail of", "part of", "a close-up of", "close-up of", "close up of")
_TAILS = (", detail", ", detail view", ", close-up", " close up")
_STYLE_FRONT = {"photo": ("a photo of", "photo of", "photograph of"), "cartoon": ("a cartoon of", "a drawing of")}
_STYLE_BACK = {"photo": (", photo", ", photograph"), "cartoon": (", cartoon", ", drawing")}
_PLACES = {
    "sky": ("the sky", "sky", "a piece of sky"),
    "sea": ("the sea", "water", "waves"),
    "sand": ("sand", "the beach"),
    "grass": ("grass", "green grass", "the meadow"),
    "hills": ("green hills", "hills"),
    "building": ("buildings", "a wall of a house", "windows of a house"),
    "pavement": ("the pavement", "pavement"),
    "road": ("the road", "asphalt"),
    "floor": ("the floor", "a wooden floor"),
    "wall": ("a plain wall", "the wall"),
    "window": ("a window", "the window"),
    "bricks": ("bricks", "a brick wall", "red bricks"),
    "mortar": ("bricks", "a brick wall"),
    "leaves": ("leaves", "green leaves", "foliage"),
    "mountain": ("a mountain", "rocks", "the side of a mountain"),
    "snow": ("snow", "snow on a mountain"),
    "forest": ("a forest", "trees"),
    "flowers": ("flowers", "{c} flowers"),
    "stems": ("flowers", "stems of flowers"),
    "sun": ("the sun", "the setting sun"),
    "moon": ("the moon",),
    "stars": ("stars", "the night sky"),
}


@dataclass(frozen=True)
class _ShownPart:
    """One nameable part that shows: its owner (person1, cat1, place), its own word, and its ids."""

    owner: str
    word: str
    ids: tuple[int, ...]

    @property
    def weight(self) -> float:
        """Return the chance to become the subject."""
        if self.owner == "place":
            return 0.35 if self.word in _BARE else 1.2
        return _WEIGHTS.get(self.word, _WEIGHTS["thing"])


def make_closeup(seed: int, *, size: int = 128) -> Crop:
    """Draw `size` x `size` pixels of the broad scene of a seed at 1.5 to 12 times its size, around one of its parts."""
    rng = random.Random(f"closeup {seed}")
    sample = make_sample(seed, size=size, wish=Wish(mix="broad", with_truth=True))
    assert sample.truth is not None, "asked for"
    parts = _list_parts(sample.truth)
    part = rng.choices(parts, [one.weight for one in parts])[0]
    # One of two eyes, ears or hands: the middle of both would show neither.
    chosen = (rng.choice(part.ids),) if part.word in _PAIRED else part.ids
    rows, columns = np.nonzero(np.isin(sample.truth.ids, chosen))
    scale = _choose_scale(part, rows, columns, size, rng)
    # The middle of the part, or any place of it, and a little beside that.
    pick = rng.randrange(len(rows))
    middle = rng.random() < 0.5 or part.word in _FINE
    y, x = (float(rows.mean()), float(columns.mean())) if middle else (float(rows[pick]), float(columns[pick]))
    whole = round(size * scale)
    left, top = (_corner((at + 0.5) * whole / size + rng.uniform(-0.2, 0.2) * size, whole, size) for at in (x, y))
    scene = sample.scene
    image, truth = draw_scene(
        scene, make_shapes(scene), height_px=size, with_truth=True, window=Window(left, top, whole, 1.0)
    )
    assert truth is not None, "asked for"
    return Crop(image, _describe(scene, truth, part, rng), whole / size, truth)


def _corner(at: float, whole: int, size: int) -> int:
    return int(min(max(at - size / 2, 0), whole - size))


def _choose_scale(
    part: _ShownPart, rows: NDArray[np.int64], columns: NDArray[np.int64], size: int, rng: random.Random
) -> float:
    """Return a scale at which the part fills a sixth to the whole of the window, within what a large picture shows."""
    extent = max(int(np.ptp(rows)), int(np.ptp(columns)), 1) + 1
    most = FINEST_SCALE if part.word in _FINE else SCALES[1]
    if part.owner == "place":
        return SCALES[0] * (SCALES[1] / SCALES[0]) ** rng.random()
    wanted = size / extent * rng.uniform(0.25, 1.1)
    return min(max(wanted, SCALES[0]), most)


def _list_parts(truth: Truth) -> list[_ShownPart]:
    """List the parts that show at least a few pixels, grouped by their names."""
    areas = np.bincount(truth.ids.ravel(), minlength=len(truth.paths))
    groups: dict[tuple[str, str], list[int]] = {}
    for number, path in enumerate(truth.paths):
        if path and areas[number] > 0:
            groups.setdefault(_name_part(path), []).append(number)
    found = [_ShownPart(owner, word, tuple(ids)) for (owner, word), ids in groups.items() if areas[ids].min() >= 3]
    return found or [_ShownPart("place", "wall", (int(np.argmax(areas)),))]


def _name_part(path: str) -> tuple[str, str]:
    """Return the owner and the word of a path: person1/head/eye_left is the eye of person1."""
    steps = path.split("/")
    if steps[0] == "place":
        return "place", steps[1]
    if not steps[0].startswith("person"):
        return re.sub(r"_arm$", "", steps[0]), "sleeve" if steps[-1] == "sleeve" else "whole"
    bare = [re.sub(r"_(left|right)$", "", step) for step in steps[1:]]
    if bare[0].startswith("held_"):
        return steps[0], "held"
    for word in ("hand", "foot"):
        if word in bare:
            return steps[0], f"{word}{'_left' if 'left' in steps[1] else '_right'}"[: len(word)]
    if bare[0] == "head" and len(bare) > 1:
        return steps[0], bare[1] if bare[1] != "eye" else "eye"
    return steps[0], {"hips": "leg", "neck": "head"}.get(bare[0], bare[0])


def _describe(scene: Scene, truth: Truth, part: _ShownPart, rng: random.Random) -> tuple[str, ...]:
    """Write four captions: the subject, with what covers most of the rest, then less."""
    areas = np.bincount(truth.ids.ravel(), minlength=len(truth.paths)) / truth.ids.size
    groups: dict[tuple[str, str], float] = {}
    for number, path in enumerate(truth.paths):
        if path and areas[number] > 0:
            name = _name_part(path)
            groups[name] = groups.get(name, 0.0) + float(areas[number])
    subject = (part.owner, part.word)
    others = sorted(
        (name for name in groups if name != subject and groups[name] > 0.08), key=lambda name: -groups[name]
    )
    names = [subject, *others] if subject in groups else others or [subject]
    captions: list[str] = []
    for most in (3, 2, 1, 1):
        phrases = dict.fromkeys(_say_part(*name, scene, rng) for name in names[:most])
        text = " and ".join(phrases)
        text = f"{rng.choice(_LEADS)} {text}" if rng.random() < 0.6 else text + rng.choice(_TAILS)
        if rng.random() < 0.45:
            text = f"{rng.choice(_STYLE_FRONT[scene.style])} {text}"
        elif rng.random() < 0.7 or scene.style != "photo":
            text += rng.choice(_STYLE_BACK[scene.style])
        captions.append(text)
    return tuple(captions)


def _say_part(owner: str, word: str, scene: Scene, rng: random.Random) -> str:
    if owner == "place":
        return rng.choice(_PLACES.get(word, (word,))).replace("{c}", scene.place.colour)
    kind, number = re.sub(r"\d+", "", owner), int(re.sub(r"\D+", "", owner) or 1) - 1
    if kind == "person":
        return _say_body_part(word, scene.people[number][0], rng)
    if kind == "hand":
        return (
            name_colour(scene.hands[number].sleeve) + " sleeve"
            if word == "sleeve"
            else rng.choice(("a hand", "fingers", "fingers of a hand"))
        )
    if kind == "bench":
        return "a bench"
    return say_thing([thing for thing in scene.things if thing.kind == kind][number], rng)


def _say_body_part(word: str, person: Person, rng: random.Random) -> str:
    owner = person.name or say_noun(person, rng, with_age=True)
    of = f" of {owner}" if rng.random() < 0.45 else ""
    colour = f"{person.eyes} " if person.eyes and rng.random() < 0.6 else ""
    lips = ("a smiling mouth", "a smile with teeth", "lips") if person.smile else ("lips", "a closed mouth", "a mouth")
    names: dict[str, tuple[str, ...]] = {
        "eye": (f"{_an(colour + 'eye')}", f"{colour}eyes", f"{_an(colour + 'eye')}"),
        "mouth": lips,
        "nose": ("a nose",),
        "ear": ("an ear",),
        "brow": ("an eyebrow",),
        "glasses": ("glasses", "eyes behind glasses"),
        "hair": (f"{person.hair} hair", "hair"),
        "beard": ("a beard",),
        "moustache": ("a moustache",),
        "hat": (f"{_an(person.hat or 'hat')}",),
        "head": ("a face", "the face"),
        "hand": ("a hand", "fingers"),
        "foot": ("a foot", "feet", "shoes"),
        "held": (f"{name_colour(person.held_colour)} {person.held}", f"a hand holding {name_colour(person.held_colour)} {person.held}"),
        "scarf": (f"{_an(person.scarf + ' scarf')}",),
    }  # fmt: skip
    if word in names:
        return rng.choice(names[word]) + (of if word not in ("held", "hat", "scarf") else "")
    upper = word in ("torso", "arm") or person.top.kind == "dress"
    garment = person.top if upper else person.bottom
    cloth = rng.choice((f"{garment.colour} cloth", f"the cloth of {name_garment(garment)}"))
    return name_garment(garment) if rng.random() < 0.6 else cloth


def _an(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
