"""The pictures of a concept as a network learns from them: cached latents of several crops, masks in cells, captions.

Knows one loaded model's encoder; no loss. Start reading at `load_examples`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sfumato.canvas.formats.images import load_picture
from sfumato.canvas.mask import read_mask
from sfumato.core.geometry import PixelSize
from sfumato.customize.concept import ConceptFolder, ConceptPicture

if TYPE_CHECKING:
    from sfumato.models.latent_model import LatentModel

# Each picture is cut so many ways: the whole of it first, then crops down to this share of its side, half of them mirrored.
CROPS = 8
SMALLEST_CROP = 0.8
# Where no caption was written; {} is the trigger.
TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "a portrait of {}", "{}, photograph")
# With this many pictures one is held out of training, and its loss says when to stop.
LEAST_FOR_HOLDING_OUT = 5


@dataclass(frozen=True, eq=False)
class ConceptExamples:
    """Hold pictures of one concept: `latents` [pictures, crops, 4, h, w], `masks` [pictures, crops, 1, h, w], 0 to 1.

    `captions` lists for each picture what it may be called. `is_masked` says which pictures have a mask; the others
    have ones.
    """

    latents: Tensor
    masks: Tensor
    captions: tuple[tuple[str, ...], ...]
    is_masked: tuple[bool, ...]

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.captions)

    def split(self) -> tuple[ConceptExamples, ConceptExamples]:
        """Return the pictures to learn from and the one held out; the same twice where there are too few."""
        if len(self) < LEAST_FOR_HOLDING_OUT:
            return self, self
        # The middle one: folders often start with the best portrait, which is worth learning from.
        held = len(self) // 2
        return self._pick([at for at in range(len(self)) if at != held]), self._pick([held])

    def _pick(self, places: Sequence[int]) -> ConceptExamples:
        return ConceptExamples(
            self.latents[list(places)],
            self.masks[list(places)],
            tuple(self.captions[at] for at in places),
            tuple(self.is_masked[at] for at in places),
        )


def load_examples(concept: ConceptFolder, model: LatentModel, *, seed: int, rows: int = 0) -> ConceptExamples:
    """Encode every picture of a concept in `CROPS` crops of the native size of a model, `rows` at once (0: all crops).

    Raises:
        RequestError: a picture cannot be read.
    """
    found = [encode_crops(concept, at, model, seed=seed, rows=rows) for at in range(len(concept.pictures))]
    return ConceptExamples(
        torch.stack([latents for latents, _ in found]),
        torch.stack([masks for _, masks in found]),
        tuple(list_captions(picture, concept.trigger) for picture in concept.pictures),
        tuple(bool(picture.mask) for picture in concept.pictures),
    )


def encode_crops(
    concept: ConceptFolder, number: int, model: LatentModel, *, seed: int, rows: int = 0, count: int = CROPS
) -> tuple[Tensor, Tensor]:
    """Encode picture `number` of a concept in `count` crops: latents [count, 4, h, w], masks [count, 1, h, w].

    Raises:
        RequestError: it cannot be read.
    """
    native, chance = model.contract.native, random.Random(f"crops {seed} {number}")
    crops = list(_cut(concept, concept.pictures[number], native, chance, count))
    pixels = torch.stack([_to_pixels(colour) for colour, _ in crops])
    # Copies: what inference mode made cannot be learned from.
    found = [model.encode_image(some.to(model.device)).float() for some in pixels.split(rows or len(pixels))]
    shares = torch.stack([torch.from_numpy(np.asarray(mask, np.float32) / 255.0)[None] for _, mask in crops])
    masks = torch.nn.functional.avg_pool2d(shares, model.contract.factor).to(model.device)
    return torch.cat(found).clone(), masks


def load_native(path: Path, native: PixelSize) -> Image.Image:
    """Return the middle of a picture in the aspect and size of a model.

    Raises:
        RequestError: it is no picture.
    """
    image = load_picture(path).convert("RGB")
    size = PixelSize(*image.size)
    box = _choose_box(size, native, random.Random(0), whole=True)
    return image.resize((native.width, native.height), Image.Resampling.LANCZOS, box=box)


def list_captions(picture: ConceptPicture, trigger: str) -> tuple[str, ...]:
    """Return what a picture may be called: its caption, else the usual templates."""
    return (picture.caption,) if picture.caption else tuple(text.replace("{}", trigger) for text in TEMPLATES)


def _cut(
    concept: ConceptFolder, picture: ConceptPicture, native: PixelSize, rng: random.Random, count: int
) -> Iterator[tuple[Image.Image, Image.Image]]:
    """Yield crops of a picture and its mask at the native size."""
    colour = load_picture(concept.find_picture(picture)).convert("RGB")
    at = concept.find_mask(picture)
    mask = Image.new("L", colour.size, 255)
    if at is not None:
        shares = read_mask(load_picture(at), PixelSize(*colour.size))
        mask = Image.fromarray((shares * 255).round().astype(np.uint8))
    for number in range(count):
        box = _choose_box(PixelSize(*colour.size), native, rng, whole=number == 0)
        size = (native.width, native.height)
        cut = [one.resize(size, Image.Resampling.LANCZOS, box=box) for one in (colour, mask)]
        yield (cut[0], cut[1]) if number % 2 == 0 else (ImageOps.mirror(cut[0]), ImageOps.mirror(cut[1]))


def _choose_box(
    size: PixelSize, native: PixelSize, rng: random.Random, *, whole: bool
) -> tuple[float, float, float, float]:
    """Return the middle of a picture in the native aspect, or a smaller box of that aspect somewhere in it."""
    scale = min(size.width / native.width, size.height / native.height)
    share = 1.0 if whole else rng.uniform(SMALLEST_CROP, 1.0)
    width, height = native.width * scale * share, native.height * scale * share
    across, down = (0.5, 0.5) if whole else (rng.random(), rng.random())
    left, top = (size.width - width) * across, (size.height - height) * down
    return left, top, left + width, top + height


def _to_pixels(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture, np.float32) / 127.5 - 1.0).permute(2, 0, 1)
