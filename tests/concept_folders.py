"""Photos and concepts for tests: a few coloured squares with masks and captions, and a concept made of them.

Start reading at `write_photos`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundles import tiny_mini
from sfumato.customize.concept import ConceptFolder
from sfumato.customize.create import NewConcept, create_concept
from sfumato.models.load import load_model

CAPTION = "bo, red"


def write_photos(folder: Path, *, count: int = 5, side: int = 64, masks: bool = True) -> Path:
    """Write pictures of a red square in different places, each with its mask and a caption."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(7)
    for number in range(count):
        pixels = noise.integers(0, 255, (side, side, 3), dtype=np.uint8)
        mask = np.zeros((side, side), np.uint8)
        place = slice(4 * number, 4 * number + side // 2)
        pixels[place, place], mask[place, place] = (220, 30, 30), 255
        Image.fromarray(pixels).save(folder / f"{number}.png")
        if masks:
            Image.fromarray(mask).save(folder / f"{number}_mask.png")
        (folder / f"{number}.txt").write_text(CAPTION)
    return folder


def make_concept(photos: Path, name: str = "bo", **more: str) -> ConceptFolder:
    """Make a concept of such photos in the folder of concepts."""
    return create_concept(NewConcept(name=name, photos=photos, noun="cat", **more))


@pytest.fixture(autouse=True)
def concepts(tmp_path, monkeypatch):
    """Return an empty folder of concepts."""
    monkeypatch.setenv("SFUMATO_CONCEPTS", str(tmp_path / "concepts"))
    return tmp_path / "concepts"


@pytest.fixture
def photos(tmp_path):
    """Return a folder of five pictures with masks and captions."""
    return write_photos(tmp_path / "photos")


@pytest.fixture
def concept(photos):
    """Return a concept of them."""
    return make_concept(photos)


@pytest.fixture(scope="module")
def model():
    """Return the tiny mini in float32."""
    return load_model(str(tiny_mini()), dtype="fp32")
