"""Draw pictures of one person of the world, the same in each, with masks and captions: photos to teach a concept from.

The person has marks that no scene of mini's training has (green hair, say), so mini cannot know them. Knows no model.
Start reading at `draw_character`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.formats.images import save_picture
from sfumato.core.errors import RequestError
from sfumato.core.files import write_atomic
from sfumato.world.caption import name_garment
from sfumato.world.compose import make_person
from sfumato.world.palette import RARE_HAIR
from sfumato.world.people.person import Person, Placement
from sfumato.world.places import Place
from sfumato.world.scene import Scene, placement_for_head
from sfumato.world.shapes import make_shapes
from sfumato.world.stream import draw_scene

PICTURE_PX = 128
MOST_PICTURES = 500
PLACES = {"meadow": "in a meadow", "beach": "on a beach", "street": "in a street", "room": "in a room"}
POSES = {"standing": "standing", "walking": "walking", "waving": "waving", "arms up": "with arms up"}
# Five pictures show the face twice, the upper body once and the whole person twice; more repeat that.
SHOTS = ("portrait", "full", "half", "portrait", "full")


@dataclass(frozen=True, eq=False)
class CharacterPicture:
    """Hold one drawing: `pixels` uint8 [H, W, 3], `mask` bool [H, W] of the person, `caption` with {} for the name."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    caption: str


def make_character(seed: int) -> Person:
    """Make a person with hair of a colour that no scene of the mixes has; the same seed, the same person."""
    rng = random.Random(f"character {seed}")
    person = make_person(rng)
    style = "short" if person.hair_style == "bald" else person.hair_style
    return replace(person, hair=rng.choice(list(RARE_HAIR)), hair_style=style, age="adult", arm_side="right")


def draw_character(person: Person, count: int, seed: int, *, style: str = "photo") -> list[CharacterPicture]:
    """Draw one person in several shots, places and poses.

    Raises:
        RequestError: the count is out of range.
    """
    if not 1 <= count <= MOST_PICTURES:
        raise RequestError("the number of pictures is out of range", got=count, do=f"Say 1 to {MOST_PICTURES}.")
    rng = random.Random(f"pictures of a character {seed}")
    return [_draw(person, SHOTS[number % len(SHOTS)], rng, style) for number in range(count)]


def write_character(folder: Path, seed: int, *, name: str, count: int = 5) -> list[Path]:
    """Write pictures of the person of a seed as `concept new` reads them: 1.png, 1_mask.png, 1.txt and so on.

    Raises:
        RequestError: the count is out of range.
        StorageError: the folder cannot be written.
    """
    paths: list[Path] = []
    for number, one in enumerate(draw_character(make_character(seed), count, seed), 1):
        paths.append(folder / f"{number}.png")
        save_picture(paths[-1], Image.fromarray(one.pixels), {})
        save_picture(folder / f"{number}_mask.png", Image.fromarray(one.mask.astype(np.uint8) * 255), {})
        text = one.caption.replace("{}", name) + "\n"
        write_atomic(folder / f"{number}.txt", lambda stream, text=text: stream.write(text.encode()))
    return paths


def describe_character(person: Person) -> str:
    """Describe a person as a user would: the words that a concept's description may hold."""
    marks = [f"{person.hair} hair", *(["glasses"] * person.glasses), *(["a beard"] * person.beard)]
    return f"a {person.kind} with {' and '.join(marks)} in {name_garment(person.top)}"


def _draw(person: Person, shot: str, rng: random.Random, style: str) -> CharacterPicture:
    place = Place(rng.choice(list(PLACES)), rng.uniform(0.36, 0.50), rng.randrange(1 << 30))
    pose = rng.choice(list(POSES)) if shot != "portrait" else "standing"
    person = replace(person, pose=pose, wobble=rng.randrange(1 << 30))
    scene = Scene(shot, style, place, people=((person, _place(shot, pose, rng)),))
    pixels, truth = draw_scene(scene, make_shapes(scene), height_px=PICTURE_PX, with_truth=True)
    assert truth is not None, "it was asked for"
    said = "a portrait of {}" if shot == "portrait" else f"{{}} {POSES[pose]}"
    end = {"full": ", full body", "half": ", half body"}.get(shot, "")
    medium = "photograph" if style == "photo" else "cartoon"
    return CharacterPicture(pixels, truth.mask("person1"), f"{said} {PLACES[place.kind]}{end}, {medium}")


def _place(shot: str, pose: str, rng: random.Random) -> Placement:
    raised = pose in ("arms up", "waving")
    if shot == "portrait":
        return placement_for_head(0.5 + rng.uniform(-0.03, 0.03), rng.uniform(0.41, 0.46), rng.uniform(3.0, 3.5))
    if shot == "half":
        height = rng.uniform(1.30, 1.45) if raised else rng.uniform(1.55, 1.80)
        return placement_for_head(0.5, rng.uniform(0.38, 0.42) if raised else rng.uniform(0.26, 0.31), height)
    return Placement(0.5 + rng.uniform(-0.1, 0.1), rng.uniform(0.93, 0.97), 0.75 if raised else 0.85)
