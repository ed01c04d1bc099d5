"""A dozen small pictures of mini that pin its look: how each is drawn, stored and compared.

Regenerate them after a wanted change of look, then look at each before you commit it:
`PYTHONPATH=src .venv/bin/python tests/golden/drawing.py [NAME...]`. Start reading at `CASES`, then `draw` and `compare`.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from sfumato.cli.app import make_app
from sfumato.cli.exit_codes import run_command

PICTURES = Path(__file__).parent / "pictures"
# Stored levels are multiples of this, which halves the files; it moves a colour by less than one Delta E.
LEVEL_STEP = 4
MOST_BYTES = 15 * 1024

HOUSE = "a photograph of a red house in a green meadow"
WOMAN = "a drawing of a woman with red hair and a blue coat"
LARGE = ("--size", "160x128", "--steps", "5")
SMALL = ("--steps", "6")

# Name -> what is typed after `sfumato`; a word in braces is the path of a stored picture.
CASES: dict[str, tuple[str, ...]] = {
    "native-house": ("render", HOUSE, *SMALL),
    "native-woman": ("render", WOMAN, *SMALL, "--seed", "2"),
    "native-tall-euler-a": ("render", "a boat on a lake", *SMALL, "--sampler", "Euler a", "--size", "96x144"),
    "native-weights": ("render", "a (red:1.4) house AND a tree", *SMALL, "--negative", "snow", "--size", "96x96"),
    "gobig": ("render", HOUSE, *LARGE, "--method", "gobig"),
    "multidiffusion": ("render", HOUSE, *LARGE, "--method", "multidiffusion"),
    "cohesive": ("render", HOUSE, *LARGE, "--method", "cohesive"),
    "cohesive-people": ("render", "a man in a street", *LARGE[2:], "--size", "152x112", "--seed", "3"),
    "init": ("render", WOMAN, *SMALL, "--init", "{native-house}", "--strength", "0.6"),
    "init-large": ("render", HOUSE, *LARGE, "--init", "{native-woman}", "--method", "cohesive"),
    "mask": ("render", WOMAN, *SMALL, "--init", "{native-house}", "--mask", "{mask-left}", "--strength", "0.9"),
    "upscale": ("upscale", "{native-woman}", "--model", "mini", *LARGE[2:], "--size", "144x144"),
}


@dataclass(frozen=True)
class Difference:
    """Hold the CIEDE2000 distance of two pictures over all pixels: mean and 99th percentile."""

    mean: float
    p99: float


# What a careful eye can tell is 1; rounding on another CPU and the stored steps of levels stay below this.
TOLERANCE = Difference(mean=1.0, p99=4.0)


def draw(name: str, out: Path) -> NDArray[np.uint8]:
    """Draw a case on the CPU in float32 into a folder and return its pixels [h, w, 3].

    The only place that knows how the engine is called.
    """
    path = out / f"{name}.png"
    words = [find_stored(word[1:-1]) if word.startswith("{") else word for word in CASES[name]]
    usual = ["--seed", "1"] if "--seed" not in words else []
    more = ["--device", "cpu", "--dtype", "fp32", "--no-report", "--out", path]
    code = run_command(make_app(), [str(word) for word in (*words, *usual, *more)])
    assert code == 0, f"{name}: exit {code}"
    return load(path)


def find_stored(name: str) -> Path:
    """Return the path of a stored picture or mask."""
    return PICTURES / f"{name}.png"


def load(path: Path) -> NDArray[np.uint8]:
    """Return the pixels [h, w, 3] of a picture."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def store(name: str, pixels: NDArray[np.uint8]) -> None:
    """Store the pixels of a case in coarse levels."""
    coarse = np.rint(pixels / LEVEL_STEP).clip(0, 255 // LEVEL_STEP) * LEVEL_STEP
    Image.fromarray(coarse.astype(np.uint8)).save(find_stored(name), optimize=True)


def compare(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Difference:
    """Measure how differently two pictures of one size look."""
    distance = deltaE_ciede2000(rgb2lab(one), rgb2lab(other))
    return Difference(float(distance.mean()), float(np.percentile(distance, 99)))


def is_alike(found: Difference) -> bool:
    """Tell whether a difference is within the tolerance."""
    return found.mean <= TOLERANCE.mean and found.p99 <= TOLERANCE.p99


def main() -> None:
    """Draw and store the cases that are named, all without a name, in order: later ones start from earlier ones."""
    mask = np.zeros((128, 128, 3), np.uint8)
    mask[:, :64] = 255
    Image.fromarray(mask).save(find_stored("mask-left"), optimize=True)
    for name in sys.argv[1:] or CASES:
        with tempfile.TemporaryDirectory() as folder:
            pixels = draw(name, Path(folder))
        if find_stored(name).exists():
            print(name, "against the stored picture:", compare(pixels, load(find_stored(name))))
        store(name, pixels)


if __name__ == "__main__":
    main()
