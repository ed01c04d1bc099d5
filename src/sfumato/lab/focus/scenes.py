"""Scenes with small faces as a model would give them: drawn, then passed through the autoencoder; the truth is kept.

Knows the world and an autoencoder; no pass. Start reading at `draw_scene_of`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.core.geometry import PixelBox
from sfumato.lab.detector.truth import find_objects
from sfumato.lab.reader.autoencoder_round_trip import RoundTrip, pass_autoencoder
from sfumato.world.people.person import Person
from sfumato.world.stream import Wish, make_sample

# Seeds of other pictures end below; see `lab.reader.pictures`.
FOCUS_SEEDS, TEXTURE_SEEDS = 80_000_000, 85_000_000
# Heights in px that give faces of about 11 to 45 px.
_HEIGHTS = {"full": (192, 256, 320, 384), "group": (192, 256, 320, 384), "wide": (384, 448, 512, 640)}
TEXTURE_PX = 256


@dataclass(frozen=True, eq=False)
class TrueFace:
    """Hold a face that was drawn: the box of its skin, px, and whose it is."""

    box: PixelBox
    person: Person

    def list_words(self) -> dict[str, object]:
        """Return what a reader should read of it."""
        person = self.person
        return {
            "kind": person.kind,
            "age": person.age,
            "hair": person.hair if person.hair_style != "bald" else "none",
            "hair_style": person.hair_style,
            "skin": person.skin,
            "glasses": int(person.glasses),
            "smile": int(person.smile),
            "beard": int(person.beard),
        }


@dataclass(frozen=True, eq=False)
class FocusScene:
    """Hold a scene as drawn and as decoded, uint8 [h, w, 3], its caption, and its faces."""

    drawn: NDArray[np.uint8]
    decoded: NDArray[np.uint8]
    caption: str
    faces: tuple[TrueFace, ...]


def draw_scene_of(seed: int, autoencoder: RoundTrip) -> FocusScene:
    """Draw the scene of a seed, people whole or far away, at a size of its own."""
    rng = random.Random(f"focus {seed}")
    shot = rng.choice(tuple(_HEIGHTS))
    wish = Wish(shot=shot, with_truth=True)
    sample = make_sample(FOCUS_SEEDS + seed, size=rng.choice(_HEIGHTS[shot]), wish=wish)
    assert sample.truth is not None, "asked for"
    faces = list[TrueFace]()
    for name, (kind, box, _) in find_objects(sample.truth).items():
        number = re.search(r"person(\d+)", name)
        if kind == "face" and number is not None:
            whole = PixelBox(*(round(side) for side in box))
            faces.append(TrueFace(whole, sample.scene.people[int(number[1]) - 1][0]))
    return FocusScene(sample.image, pass_autoencoder(autoencoder, sample.image[None])[0], sample.caption, tuple(faces))


def draw_texture(seed: int, autoencoder: RoundTrip) -> FocusScene:
    """Draw bricks, leaves, sky or sea: nobody is there."""
    sample = make_sample(TEXTURE_SEEDS + seed, size=TEXTURE_PX, wish=Wish(shot="texture"))
    return FocusScene(sample.image, pass_autoencoder(autoencoder, sample.image[None])[0], sample.caption, ())
