"""Scenes with small faces as a model would give them: drawn, then passed through the autoencoder; the truth is kept.

Knows the world and an autoencoder; no pass. Start reading at `draw_scene_of`; `draw_close_up` gives the most that a
model can draw of one face.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.core.geometry import PixelBox
from sfumato.lab.detector.truth import find_objects
from sfumato.lab.reader.autoencoder_round_trip import RoundTrip, pass_autoencoder
from sfumato.world.people.person import Person
from sfumato.world.scene import Scene
from sfumato.world.shapes import make_shapes
from sfumato.world.stream import Wish, draw_scene, make_sample
from sfumato.world.truth import Truth

# Seeds of other pictures end below; see `lab.reader.pictures`.
FOCUS_SEEDS, TEXTURE_SEEDS = 80_000_000, 85_000_000
# Heights in px that give faces of about 11 to 45 px.
_HEIGHTS = {"full": (192, 256, 320, 384), "group": (192, 256, 320, 384), "wide": (384, 448, 512, 640)}
TEXTURE_PX = 256
# A close-up is drawn at this side, that of mini; a scene is never drawn higher than so many px for it.
CLOSE_UP_PX, MOST_DRAWN_PX, CELL_PX = 128, 4096, 8


@dataclass(frozen=True, eq=False)
class TrueFace:
    """Hold a face that was drawn: the box of its skin, px, whose it is, and the person's number from 0."""

    box: PixelBox
    person: Person
    number: int = 0
    head_px: int = 0

    @property
    def path(self) -> str:
        """Return where its parts are in the truth."""
        return f"person{self.number + 1}/head"


@dataclass(frozen=True, eq=False)
class FocusScene:
    """Hold a scene as drawn and as decoded, uint8 [h, w, 3], its caption, its faces, and what it was drawn from."""

    drawn: NDArray[np.uint8]
    decoded: NDArray[np.uint8]
    caption: str
    scene: Scene
    truth: Truth
    faces: tuple[TrueFace, ...] = field(default=())

    def draw_again(self, scene: Scene) -> NDArray[np.uint8]:
        """Draw another scene at the size of this one, uint8 [h, w, 3]."""
        return draw_scene(scene, make_shapes(scene), height_px=self.drawn.shape[0], with_truth=False)[0]


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
            whole, index = PixelBox(*(round(side) for side in box)), int(number[1]) - 1
            head = sample.truth.box(f"person{index + 1}/head")
            assert head is not None, "its face shows"
            head_px = max(head[2] - head[0], head[3] - head[1])
            faces.append(TrueFace(whole, sample.scene.people[index][0], index, head_px))
    decoded = pass_autoencoder(autoencoder, sample.image[None])[0]
    return FocusScene(sample.image, decoded, sample.caption, sample.scene, sample.truth, tuple(faces))


def draw_close_up(scene: FocusScene, frame: PixelBox, autoencoder: RoundTrip) -> NDArray[np.uint8]:
    """Return a crop as the autoencoder shows it when it is drawn at native size, shrunk to the frame, uint8 [h, w, 3].

    No model can draw more of it than its autoencoder shows.
    """
    height = scene.drawn.shape[0]
    scale = min(CLOSE_UP_PX / min(frame.width, frame.height), MOST_DRAWN_PX / height)
    large, _ = draw_scene(scene.scene, make_shapes(scene.scene), height_px=round(height * scale), with_truth=False)
    box = (frame.left * scale, frame.top * scale, frame.right * scale, frame.bottom * scale)
    sides = (max(1, round(side * scale / CELL_PX)) * CELL_PX for side in (frame.width, frame.height))
    shown = np.asarray(Image.fromarray(large).resize(tuple(sides), Image.Resampling.BICUBIC, box))
    decoded = Image.fromarray(pass_autoencoder(autoencoder, shown[None])[0])
    return np.asarray(decoded.resize((frame.width, frame.height), Image.Resampling.LANCZOS))


def draw_texture(seed: int, autoencoder: RoundTrip) -> tuple[NDArray[np.uint8], str]:
    """Draw bricks, leaves, sky or sea, uint8 [h, w, 3], with a caption: nobody is there."""
    sample = make_sample(TEXTURE_SEEDS + seed, size=TEXTURE_PX, wish=Wish(shot="texture"))
    return pass_autoencoder(autoencoder, sample.image[None])[0], sample.caption
