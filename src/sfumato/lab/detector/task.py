"""The task of the detector, in the form that the training loop wants.

Joins tables of views and marks with the critic's network. Start reading at `DetectorTask.load_batch`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from sfumato.critic.detector.loss import MARK_FIELDS, measure_detection
from sfumato.critic.reader.augment import blemish_pictures
from sfumato.train.pictures import load_pixels
from sfumato.train.store import choose_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Generator, Tensor, nn

# Of more objects than this in one view, the last ones are not asked for.
MOST_MARKS = 32
# A large view holds four times the cells of a small one, so a batch has fewer of them but meets them more often.
LARGE_BATCH_FRAC, LARGE_REPEATS = 0.25, 2.0
VALIDATION_BATCH = 64


class Views(NamedTuple):
    """Hold a table: pictures uint8 [N, side, side, 3] and marks float32 [N, MOST_MARKS, 6]."""

    pictures: NDArray[np.uint8]
    marks: NDArray[np.float32]


def pack_marks(notes: Sequence[Sequence[Sequence[float]]]) -> NDArray[np.float32]:
    """Return the notes of a table as one array, filled up with kind -1."""
    packed = np.full((len(notes), MOST_MARKS, MARK_FIELDS), -1.0, np.float32)
    for row, marks in enumerate(notes):
        for place, mark in enumerate(marks[:MOST_MARKS]):
            packed[row, place] = mark
    return packed


@dataclass(eq=False, kw_only=True)
class DetectorTask:
    """Train `networks["detector"]` on tables of views, small ones first, then maybe large ones. A leaf."""

    networks: nn.ModuleDict
    tables: Sequence[Views]
    held_out: Views
    name: str = "detector"

    def load_batch(self, step: int, count: int, noise: Generator) -> Mapping[str, Tensor]:
        """Pick `count` small views or fewer large ones at random, mirror half and damage most of them a little."""
        chances = [round(len(t.pictures) * (LARGE_REPEATS if place else 1.0)) for place, t in enumerate(self.tables)]
        place = choose_table(chances, step)
        table = self.tables[place]
        count = max(1, round(count * LARGE_BATCH_FRAC)) if place else count
        picks = torch.randint(0, len(table.pictures), (count,), generator=noise, device=noise.device).cpu().numpy()
        pixels = load_pixels(table.pictures, picks).contiguous().to(noise.device)
        marks = torch.from_numpy(table.marks[picks]).to(noise.device)
        mirrored = torch.rand(count, generator=noise, device=noise.device) < 0.5
        pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
        marks = torch.where(mirrored[:, None, None], mirror_marks(marks, pixels.shape[3]), marks)
        return {"pixels": blemish_pictures(pixels, noise), "marks": marks}

    def compute_losses(
        self, networks: nn.ModuleDict, batch: Mapping[str, Tensor], noise: Generator
    ) -> dict[str, Tensor]:
        """Look at the batch and compare with its marks."""
        del noise
        dtype = next(networks.parameters()).dtype
        pixels = batch["pixels"].to(dtype).contiguous(memory_format=torch.channels_last)
        return _compare(networks, pixels, batch["marks"])

    @torch.no_grad()
    def measure_validation(self, networks: nn.ModuleDict) -> dict[str, float]:
        """Measure the losses on the held-out views."""
        device = next(networks.parameters()).device
        found: dict[str, list[float]] = {}
        for start in range(0, len(self.held_out.pictures), VALIDATION_BATCH):
            rows = self.held_out.pictures[start : start + VALIDATION_BATCH]
            pixels = load_pixels(rows, range(len(rows))).to(device)
            marks = torch.from_numpy(self.held_out.marks[start : start + VALIDATION_BATCH]).to(device)
            for name, value in _compare(networks, pixels, marks).items():
                found.setdefault(name, []).append(float(value))
        return {name: float(np.mean(values)) for name, values in found.items()}

    def draw_grid(self, networks: nn.ModuleDict) -> None:
        """Draw nothing: the card of `sfumato evaluate detector` says more."""
        del networks


def _compare(networks: nn.ModuleDict, pixels: Tensor, marks: Tensor) -> dict[str, Tensor]:
    centres, sides = networks["detector"](pixels)
    return measure_detection(centres, sides, marks)


def mirror_marks(marks: Tensor, side_px: int) -> Tensor:
    """Return the marks of pictures seen in a mirror."""
    mirrored = marks.clone()
    mirrored[..., 1], mirrored[..., 3] = side_px - marks[..., 3], side_px - marks[..., 1]
    return mirrored
