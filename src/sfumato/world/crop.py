"""Crops of large drawings: what a window sees of a picture several times the native size, and words for it.

A model that only knows whole pictures puts whole people into every window of a large one. These crops teach it what
skin, cloth, sky and bricks look like from near. Start reading at `make_crop`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.world.caption import name_colour, name_garment, name_person, name_thing
from sfumato.world.people.person import Person
from sfumato.world.scene import Scene
from sfumato.world.stream import Wish, make_sample
from sfumato.world.truth import Truth

SCALES = (1.5, 8.0)
"""How many times larger than a crop the whole drawing is; spread evenly over octaves."""

_ON_SUBJECT_SHARE = 0.75
_LEAST_AREA = 0.03
_LEADS = ("a detail of", "detail of", "part of")
_TAILS = (", detail", ", detail view")
_STYLE_WORDS = {"photo": ("a photo of", "photo of", "photograph of"), "cartoon": ("a cartoon of", "a drawing of")}
_STYLE_TAILS = {"photo": (", photo", ", photograph"), "cartoon": (", cartoon", ", cartoon style")}
_PLACE_WORDS = {
    "sky": ("the sky", "blue sky", "sky"),
    "sea": ("the sea", "water"),
    "sand": ("sand", "the beach"),
    "grass": ("grass", "the meadow"),
    "hills": ("green hills", "hills"),
    "building": ("buildings", "houses"),
    "pavement": ("the pavement", "pavement"),
    "road": ("the road", "asphalt"),
    "floor": ("the floor", "floor"),
    "wall": ("a plain wall", "the wall"),
    "window": ("a window", "the window"),
    "bricks": ("bricks", "a brick wall"),
    "mortar": ("bricks", "a brick wall"),
    "leaves": ("leaves", "foliage"),
}


@dataclass(frozen=True)
class Crop:
    """Part of a drawing: uint8 [size, size, 3], paraphrases of what shows, how large the whole would be, its parts."""

    image: NDArray[np.uint8]
    captions: tuple[str, ...]
    scale: float
    truth: Truth


def make_crop(seed: int, *, size: int = 128) -> Crop:
    """Draw the scene of a seed at 1.5 to 8 times `size` and cut out `size` x `size` pixels, mostly of its subject."""
    rng = random.Random(f"crop {seed}")
    scale = SCALES[0] * (SCALES[1] / SCALES[0]) ** rng.random()
    sample = make_sample(seed, size=round(size * scale), wish=Wish(with_truth=True))
    assert sample.truth is not None, "asked for"
    left, top = _choose_corner(sample.truth, size, rng)
    cut = np.s_[top : top + size, left : left + size]
    truth = Truth(sample.truth.ids[cut], sample.truth.paths, sample.truth.facts)
    return Crop(np.ascontiguousarray(sample.image[cut]), describe_crop(sample.scene, truth, rng), scale, truth)


def describe_crop(scene: Scene, truth: Truth, rng: random.Random) -> tuple[str, ...]:
    """Write four paraphrases of what shows, largest first; each later one names less."""
    areas = _measure_groups(truth)
    names = sorted((name for name in areas if areas[name] >= _LEAST_AREA), key=lambda name: -areas[name])
    captions: list[str] = []
    for most in (4, 3, 2, 1):
        phrases = dict.fromkeys(_name_group(name, scene, rng) for name in (names or list(areas))[:most])
        text = " and ".join(phrases)
        text = f"{rng.choice(_LEADS)} {text}" if rng.random() < 0.7 else text + rng.choice(_TAILS)
        if rng.random() < 0.5:
            text = f"{rng.choice(_STYLE_WORDS[scene.style])} {text}"
        elif rng.random() < 0.8 or scene.style != "photo":
            text += rng.choice(_STYLE_TAILS[scene.style])
        captions.append(text)
    return tuple(captions)


def _choose_corner(truth: Truth, size: int, rng: random.Random) -> tuple[int, int]:
    """Return (left, top) in pixels: around a pixel of a random part of the subject, or anywhere."""
    height, width = truth.ids.shape
    subject = [i for i, path in enumerate(truth.paths) if path and not path.startswith("place/")]
    shown = np.intersect1d(np.asarray(subject, dtype=np.int64), truth.ids)
    x, y = rng.random() * width, rng.random() * height
    if len(shown) and rng.random() < _ON_SUBJECT_SHARE:
        rows, columns = np.nonzero(truth.ids == rng.choice(shown.tolist()))
        pick = rng.randrange(len(rows))
        x = columns[pick] + rng.uniform(-0.35, 0.35) * size
        y = rows[pick] + rng.uniform(-0.35, 0.35) * size
    left, top = (int(min(max(at - size / 2, 0), whole - size)) for at, whole in ((x, width), (y, height)))
    return left, top


def _measure_groups(truth: Truth) -> dict[str, float]:
    """Return the share of the crop that each nameable group of parts covers."""
    areas = np.bincount(truth.ids.ravel(), minlength=len(truth.paths)) / truth.ids.size
    groups: dict[str, float] = {}
    for path, area in zip(truth.paths, areas, strict=True):
        if path and area > 0:
            group = _find_group(path)
            groups[group] = groups.get(group, 0.0) + float(area)
    return groups


def _find_group(path: str) -> str:
    steps = path.split("/")
    if steps[0].startswith("person") and len(steps) > 1 and not steps[1].startswith("held_"):
        if "hand" in steps:
            return f"{steps[0]}/hand"
        part = re.sub(r"_(left|right)$", "", steps[1])
        part = {"leg": "foot" if "foot" in steps else "leg", "arm": "torso", "neck": "head"}.get(part, part)
        return f"{steps[0]}/{part}"
    return "/".join(steps[:2]) if steps[0].startswith(("place", "person")) else steps[0]


def _name_group(group: str, scene: Scene, rng: random.Random) -> str:
    owner, _, part = group.partition("/")
    if owner == "place":
        return rng.choice(_PLACE_WORDS[part])
    kind, index = re.sub(r"\d+", "", owner), int(re.sub(r"\D+", "", owner)) - 1
    if kind == "bench":
        return "a bench"
    if kind == "person":
        return _name_body_part(part, scene.people[index][0], rng)
    if kind == "hand_arm":
        return name_colour(scene.hands[index].sleeve) + " sleeve"
    if kind == "hand":
        return rng.choice(("a hand", "fingers of a hand"))
    return name_thing([thing for thing in scene.things if thing.kind == kind][index], rng)


def _name_body_part(part: str, person: Person, rng: random.Random) -> str:
    if part == "head":
        return f"{rng.choice(('the face of', 'the head of'))} {name_person(person, rng)}"
    if part == "hand":
        return rng.choice(("a hand", "the hand of " + name_person(person, rng)))
    if part == "foot":
        return rng.choice(("a foot", "feet"))
    if part.startswith("held_"):
        return f"{name_colour(person.held_colour)} {person.held}"
    return name_garment(person.top if part == "torso" or person.top.kind == "dress" else person.bottom)
