"""Prompts for large pictures: captions of held-out scenes in a fixed mix, each with what its scene holds.

Every prefix of the list is a fair sample of the mix, so a run that is cut short is too. Knows the world,
no model. Start reading at `list_prompts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.core.geometry import PixelSize
from sfumato.lab.reader.pictures import PROMPT_SEEDS
from sfumato.world.scene import Scene
from sfumato.world.stream import Wish, make_sample

# Ranges of seeds beside those of `evaluate mini`: 60 and 65 million up.
HIRES_SEEDS, REFERENCE_SEEDS = PROMPT_SEEDS + 7_000_000, PROMPT_SEEDS + 8_000_000
# Two evaluation seeds lie this far apart.
SEED_STEP = 10_000
# What is asked for, in turns: a stratum and the shots that fill it one after the other. Empty places and textures are
# where phantoms are plainest, people far away where they are likeliest.
STRATA: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("people near", ("full", "half", "portrait")),
    ("people far", ("wide",)),
    ("empty place", ("place",)),
    ("crowd", ("group",)),
    ("texture", ("texture",)),
    ("house or thing", ("pair", "thing", "pair", "hand")),
)
# Houses of a street belong to the street: nobody counts them.
UNCOUNTED_HOUSES = ("street",)


@dataclass(frozen=True)
class ScenePrompt:
    """Hold one prompt: the seed and shot of its scene, and the most objects of a kind that the scene excuses."""

    number: int
    stratum: str
    shot: str
    world_seed: int
    text: str
    most: Mapping[str, int]


def list_prompts(count: int, *, seed: int, aspect: float = 1.0) -> tuple[ScenePrompt, ...]:
    """Draw the first `count` prompts of a seed; a longer list begins with the shorter one."""
    first = HIRES_SEEDS + seed * SEED_STEP
    return tuple(_draw_prompt(number, first + number, aspect) for number in range(count))


def draw_scene_of(prompt: ScenePrompt, size: PixelSize) -> NDArray[np.uint8]:
    """Draw the scene of a prompt at a size, uint8 [H, W, 3]: what a perfect renderer might have made."""
    wish = Wish(shot=prompt.shot, aspect=size.width / size.height)
    return _fit(make_sample(prompt.world_seed, size=size.height, wish=wish).image, size)


def draw_reference(count: int, size: PixelSize, *, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Draw `count` other scenes of the same mix at a size, one at a time: together they may be larger than memory."""
    first = REFERENCE_SEEDS + seed * SEED_STEP
    for number in range(count):
        wish = Wish(shot=_choose(number)[1], aspect=size.width / size.height)
        yield _fit(make_sample(first + number, size=size.height, wish=wish).image, size)


def count_most(scene: Scene) -> dict[str, int]:
    """Return how many objects of each kind a scene excuses; a kind that cannot be counted is left out."""
    people = len(scene.people)
    most = {"person": people, "face": people, "hand": 2 * people + len(scene.hands)}
    if scene.place.kind not in UNCOUNTED_HOUSES:
        most["house"] = sum(thing.kind == "house" for thing in scene.things)
    return most


def _draw_prompt(number: int, world_seed: int, aspect: float) -> ScenePrompt:
    stratum, shot = _choose(number)
    # The height changes pixels, not the scene; the smallest is the quickest.
    sample = make_sample(world_seed, size=32, wish=Wish(shot=shot, aspect=aspect))
    return ScenePrompt(number, stratum, shot, world_seed, sample.captions[0], count_most(sample.scene))


def _choose(number: int) -> tuple[str, str]:
    stratum, shots = STRATA[number % len(STRATA)]
    return stratum, shots[number // len(STRATA) % len(shots)]


def _fit(picture: NDArray[np.uint8], size: PixelSize) -> NDArray[np.uint8]:
    assert picture.shape == (*size.shape_hw, 3), "the world draws whole pixels of the aspect asked for"
    return picture
