"""Thousands of pictures and captions as a network learns from them: encoded once, kept in files, read row by row.

Knows one loaded model's encoders and one folder of caches. Start reading at `cache_examples`; a handful of pictures is
held in memory by `examples`.

A cache is named by what it was made from. A stop in the middle loses the pictures since the last 16 at most.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfumato.core.files import make_storage_error
from sfumato.customize.examples import encode_crops, list_captions
from sfumato.customize.inversion import encode_texts
from sfumato.models.text.encoder import EncodedText

if TYPE_CHECKING:
    from sfumato.customize.concept import ConceptFolder
    from sfumato.models.latent_model import LatentModel
    from sfumato.models.text.clip import TextTower

# Thousands of pictures need few cuts of each: the whole, and a mirrored part.
CROPS = 2
# So many rows are written between two notes of how far a cache is.
NOTED_EVERY = 16
# Of many pictures so many are held out of training at most, and one of this many otherwise.
MOST_HELD_OUT, HELD_OUT_OF = 16, 10


@dataclass(frozen=True, eq=False)
class CachedExamples:
    """Hold pictures of one concept in files: latents [pictures, crops, 4, h, w] and masks [pictures, crops, 1, h, w].

    Both are float16. `captions` lists for each picture what it may be called.
    """

    latents: NDArray[np.float16]
    masks: NDArray[np.float16]
    captions: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.captions)

    def read(self, pictures: Sequence[int], crops: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return latents [rows, 4, h, w] and masks [rows, 1, h, w] of some crops, float32."""
        rows = list(pictures), list(crops)
        found = [torch.from_numpy(kept[rows].astype(np.float32)).to(device) for kept in (self.latents, self.masks)]
        return found[0], found[1]

    def split(self) -> tuple[list[int], list[int]]:
        """Return the numbers of the pictures to learn from, and of those held out, spread evenly."""
        count = min(MOST_HELD_OUT, len(self) // HELD_OUT_OF) or (1 if len(self) >= HELD_OUT_OF // 2 else 0)
        if not count:
            every = list(range(len(self)))
            return every, every
        held = {(2 * at + 1) * len(self) // (2 * count) for at in range(count)}
        return [at for at in range(len(self)) if at not in held], sorted(held)


class CachedTexts:
    """Texts as a model reads them, by text: hidden states in a file, float16."""

    def __init__(self, texts: Sequence[str], hidden: NDArray[np.float16], pooled: NDArray[np.float16] | None) -> None:
        self._numbers = {text: at for at, text in enumerate(texts)}
        self._hidden, self._pooled = hidden, pooled

    def read(self, texts: Sequence[str], device: torch.device) -> EncodedText:
        """Return texts as rows, float32."""
        rows = [self._numbers[text] for text in texts]
        hidden = torch.from_numpy(self._hidden[rows].astype(np.float32)).to(device)
        if self._pooled is None:
            return EncodedText(hidden, None)
        return EncodedText(hidden, torch.from_numpy(self._pooled[rows].astype(np.float32)).to(device))


def cache_examples(concept: ConceptFolder, model: LatentModel, folder: Path, *, base: str, seed: int) -> CachedExamples:
    """Encode every picture of a concept once for a base of digest `base`; later calls read the files.

    Raises:
        RequestError: a picture cannot be read.
        StorageError: the disk refuses.
    """
    native = model.contract.native
    height, width = native.to_latent(model.contract.factor).shape_hw
    rows = [asdict(picture) | {"caption": ""} for picture in concept.pictures]
    key = _name([base, seed, CROPS, str(native), rows])
    count = len(concept.pictures)
    shapes = {"latents": (model.contract.latent_channels, height, width), "masks": (1, height, width)}

    def encode(at: int) -> list[Tensor]:
        return list(encode_crops(concept, at, model, seed=seed, rows=1, count=CROPS))

    latents, masks = _fill(folder, key, {name: (count, CROPS, *shape) for name, shape in shapes.items()}, encode)
    captions = tuple(list_captions(picture, concept.trigger) for picture in concept.pictures)
    return CachedExamples(latents, masks, captions)


def cache_texts(towers: Sequence[TextTower], texts: Sequence[str], folder: Path, *, base: str) -> CachedTexts:
    """Encode every text once for a base of digest `base`; later calls read the files.

    Raises:
        RequestError: a text is longer than an encoder reads at once.
        StorageError: the disk refuses.
    """
    unique = sorted(set(texts))
    with torch.no_grad():
        first = encode_texts(towers, unique[:1])
    shapes = {"hidden": (len(unique), *first.hidden.shape[1:])}
    if first.pooled is not None:
        shapes["pooled"] = (len(unique), *first.pooled.shape[1:])

    def encode(at: int) -> list[Tensor]:
        with torch.no_grad():
            found = encode_texts(towers, unique[at : at + 1])
        return [found.hidden[0]] if found.pooled is None else [found.hidden[0], found.pooled[0]]

    hidden, *pooled = _fill(folder, _name([base, unique]), shapes, encode)
    return CachedTexts(unique, hidden, pooled[0] if pooled else None)


def _name(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _fill(
    folder: Path, key: str, shapes: dict[str, tuple[int, ...]], encode: Callable[[int], Sequence[Tensor]]
) -> list[NDArray[np.float16]]:
    """Return float16 arrays in files, rows that were not encoded before encoded now."""
    note = folder / f"{key}.json"
    paths = [folder / f"{key}.{name}.npy" for name in shapes]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = _read_count(note) if all(path.is_file() for path in paths) else 0
        modes = "r+" if done else "w+"
        kept: list[NDArray[np.float16]] = [
            np.lib.format.open_memmap(path, modes, np.float16, None if done else shape)
            for path, shape in zip(paths, shapes.values(), strict=True)
        ]
        count = len(kept[0])
        for at in range(done, count):
            for array, found in zip(kept, encode(at), strict=True):
                array[at] = found.detach().cpu().numpy().astype(np.float16)
            if (at + 1) % NOTED_EVERY == 0 or at + 1 == count:
                for array in kept:
                    assert isinstance(array, np.memmap), "opened so"
                    array.flush()
                note.write_text(json.dumps({"rows": at + 1}))
    except OSError as error:
        raise make_storage_error(folder, error) from error
    return kept


def _read_count(note: Path) -> int:
    try:
        return int(json.loads(note.read_text())["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
