"""The teacher: a small network that names the part under every pixel, whose features judge reconstructions.

A difference that it feels, an eye gone or two fingers fused, may be a few grey levels of a few pixels.
It gets maps of class numbers and knows no names. Start reading at `TeacherTask` and `compare_features`.

Source: features of a trained network as a distance, Zhang et al. 2018 (arXiv:1801.03924).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from sfumato.train.patches import weigh_parts
from sfumato.train.pictures import draw_sheet, load_pixels
from sfumato.train.store import choose_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

# Channels at full resolution and at each halving: 8 px see 128 channels' worth of context.
WIDTHS = (16, 32, 64, 96, 128)
TRUNK_WIDTH = 64
# Grain hides nothing and keeps the network from reading single grey levels.
NOISE_DEVIATION = 0.02
VALIDATION_PICTURES = 128


class Teacher(nn.Module):
    """Map pictures [B, 3, H, W] in [-1, 1] to features at five scales and logits [B, classes, H, W]. A leaf."""

    def __init__(self, classes: int) -> None:
        """Make the network with random weights."""
        super().__init__()
        self.classes = classes
        self.stem = nn.Conv2d(3, WIDTHS[0], 3, padding=1)
        self.halve = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in itertools.pairwise(WIDTHS))
        self.refine = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for width in WIDTHS[1:])
        self.gather = nn.ModuleList(nn.Conv2d(width, TRUNK_WIDTH, 1) for width in WIDTHS[1:])
        self.smooth = nn.Conv2d(TRUNK_WIDTH, TRUNK_WIDTH, 3, padding=1)
        self.fine = nn.Conv2d(WIDTHS[0], TRUNK_WIDTH, 3, 2, 1)
        self.decide = nn.Conv2d(TRUNK_WIDTH, 4 * classes, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def list_features(self, pixels: Tensor) -> list[Tensor]:
        """Return the features at full, half, quarter, eighth and sixteenth resolution."""
        features = [self.stem(pixels).relu()]
        for halve, refine in zip(self.halve, self.refine, strict=True):
            half = halve(features[-1]).relu()
            features.append((half + refine(half)).relu())
        return features

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits of every pixel's class."""
        features = self.list_features(pixels)
        trunk = self.gather[-1](features[-1])
        for gather, feature in zip(reversed(self.gather[:-1]), reversed(features[1:-1]), strict=True):
            up = F.interpolate(trunk, size=feature.shape[-2:], mode="nearest")
            trunk = (up + gather(feature)).relu()
        trunk = (trunk + self.fine(features[0]) + self.smooth(trunk)).relu()
        return F.pixel_shuffle(self.decide(trunk), 2)


def compare_features(ours: Sequence[Tensor], truth: Sequence[Tensor], heaviness: Tensor | None = None) -> Tensor:
    """Return how far features of pictures are from those of their truth: squared distances of unit vectors, all scales.

    `heaviness` [B, H, W] weighs places of the pictures.
    """
    total = torch.zeros((), device=ours[0].device)
    for feature, aim in zip(ours, truth, strict=True):
        difference = F.normalize(feature.float(), dim=1, eps=1e-3) - F.normalize(aim.float(), dim=1, eps=1e-3)
        distance = difference.square().sum(dim=1)
        if heaviness is not None:
            height, width = distance.shape[-2:]
            distance = distance * F.adaptive_avg_pool2d(heaviness, (height, width))
        total = total + distance.mean()
    return total


def save_teacher(teacher: Teacher, folder: Path) -> None:
    """Write the weights to `teacher.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: t.contiguous() for name, t in teacher.state_dict().items()}, folder / "teacher.safetensors")


def load_teacher(folder: Path) -> Teacher:
    """Open a teacher that training saved; its weights stay as they are."""
    weights = load_file(folder / "teacher.safetensors")
    teacher = Teacher(len(weights["decide.bias"]) // 4)
    teacher.load_state_dict(weights)
    return teacher.requires_grad_(requires_grad=False).eval()


@dataclass(eq=False)
class TeacherTask:
    """Train `networks["teacher"]` on tables of pictures and of their class maps. A leaf."""

    networks: nn.ModuleDict
    tables: Sequence[NDArray[Any]]
    classes: Sequence[NDArray[Any]]
    held_out: NDArray[Any]
    held_out_classes: NDArray[Any]
    name: str = "teacher"

    def load_batch(self, step: int, count: int, noise: torch.Generator) -> Mapping[str, Tensor]:
        """Pick `count` pictures and their class maps."""
        chosen = choose_table([len(t) for t in self.tables], step)
        picks = torch.randint(0, len(self.tables[chosen]), (count,), generator=noise, device=noise.device)
        rows = picks.cpu().numpy()
        return {
            "pixels": load_pixels(self.tables[chosen], rows),
            "classes": torch.from_numpy(self.classes[chosen][rows]),
        }

    def compute_losses(
        self, networks: nn.ModuleDict, batch: Mapping[str, Tensor], noise: torch.Generator
    ) -> dict[str, Tensor]:
        """Name every pixel's part; small parts weigh more."""
        pixels, classes = batch["pixels"], batch["classes"].long()
        grain = torch.randn(pixels.shape, generator=noise, device=pixels.device)
        dtype = next(networks.parameters()).dtype
        noisy = (pixels + NOISE_DEVIATION * grain).to(dtype).contiguous(memory_format=torch.channels_last)
        wrong = F.cross_entropy(networks["teacher"](noisy).float(), classes, reduction="none")
        weights = weigh_parts(classes)
        return {"loss": (wrong * weights).sum() / weights.sum()}

    @torch.no_grad()
    def measure_validation(self, networks: nn.ModuleDict) -> dict[str, float]:
        """Measure the share of right pixels, plain and with every class counted alike."""
        count = min(VALIDATION_PICTURES, len(self.held_out))
        found, truth = [], torch.from_numpy(self.held_out_classes[:count].astype(np.int64))
        device = next(networks.parameters()).device
        for start in range(0, count, 32):
            pixels = load_pixels(self.held_out, range(start, min(start + 32, count))).to(device)
            found.append(networks["teacher"](pixels).argmax(dim=1).cpu())
        right = (torch.cat(found) == truth).double()
        areas = torch.bincount(truth.flatten())
        hits = torch.bincount(truth.flatten(), weights=right.flatten())
        shown = areas > 0
        return {"right": float(right.mean()), "right_by_class": float((hits[shown] / areas[shown]).mean())}

    @torch.no_grad()
    def draw_grid(self, networks: nn.ModuleDict) -> Image.Image:
        """Draw held-out pictures above the classes that the network finds, each class a colour."""
        pixels = load_pixels(self.held_out, range(8)).to(next(networks.parameters()).device)
        # A colour for each number that a class map's byte can hold.
        colours = torch.rand((256, 3), generator=torch.Generator().manual_seed(0)) * 2 - 1
        found = networks["teacher"](pixels).argmax(dim=1).cpu()
        return draw_sheet([pixels, colours[found].permute(0, 3, 1, 2)])
