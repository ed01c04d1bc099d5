"""The detector's network: a small convolutional body with one map of centres and one of boxes per kind.

Nothing in it looks at a whole picture (no norm, no pooling over all cells), so a tile with a halo gives what the whole
picture gives. Tensors in, tensors out; knows neither words nor files. Start reading at `DetectorNetwork.forward`.

Source: the idea of a centre per object is Zhou et al. 2019, "Objects as Points" (arXiv:1904.07850); the way down and up again is
Lin et al. 2017, "Feature Pyramid Networks" (arXiv:1612.03144).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Kind = Literal["person", "face", "hand", "house"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Cells of the maps are this far apart; the sides of a picture that goes in are multiples of the deepest cell.
CELL_PX, DEEPEST_CELL_PX = 4, 16
# Distances leave the network as logarithms around this length, so that small and large boxes err alike.
MIDDLE_PX = 16.0
# exp(3.5) * 16 px is far beyond the largest object; the bound only keeps a bad weight from giving infinity.
MOST_LOGARITHM = 3.5
# Nearly all cells are no centre; starting there keeps the first steps from moving everything.
FIRST_LOGIT = -4.0


@dataclass(frozen=True)
class DetectorShape:
    """Say how wide the body is at 1/2, 1/4, 1/8 and 1/16 of the picture, and how wide the head."""

    widths: tuple[int, int, int, int] = (24, 40, 64, 88)
    head: int = 64


class _DilatedBlock(nn.Module):
    """Residual pair of 3x3 convolutions without a norm. A leaf."""

    def __init__(self, width: int, *, spread: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=spread, dilation=spread)
        self.second = nn.Conv2d(width, width, 3, padding=spread, dilation=spread)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        # A block that starts as the identity keeps the scale without a norm.
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


def _halve(before: int, after: int) -> nn.Conv2d:
    # An even kernel lies evenly on the pixels it joins: no shift between a picture and its half.
    layer = nn.Conv2d(before, after, 4, stride=2, padding=1)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


class DetectorNetwork(nn.Module):
    """Find centres and boxes in a picture. A leaf."""

    def __init__(self, shape: DetectorShape | None = None) -> None:
        """Build the network."""
        super().__init__()
        shape = shape or DetectorShape()
        half, quarter, eighth, deep = shape.widths
        self.quarter = nn.Sequential(_halve(3, half), nn.ReLU(), _halve(half, quarter), _DilatedBlock(quarter))
        self.eighth = nn.Sequential(nn.ReLU(), _halve(quarter, eighth), _DilatedBlock(eighth), _DilatedBlock(eighth))
        self.deep = nn.Sequential(
            nn.ReLU(), _halve(eighth, deep), _DilatedBlock(deep), _DilatedBlock(deep, spread=2), nn.ReLU()
        )
        self.deep_to_eighth = nn.Conv2d(deep, eighth, 1)
        self.join_eighth = nn.Sequential(_DilatedBlock(eighth), nn.ReLU())
        self.eighth_to_quarter = nn.Conv2d(eighth, quarter, 1)
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(quarter, shape.head, 3, padding=1), nn.ReLU())
        self.centres = nn.Conv2d(shape.head, len(KINDS), 1)
        self.sides = nn.Conv2d(shape.head, 4 * len(KINDS), 1)
        nn.init.constant_(self.centres.bias, FIRST_LOGIT)  # pyright: ignore[reportArgumentType]

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor]:
        """Return logits of centres [B, kinds, h/4, w/4] and boxes [B, kinds, 4, h/4, w/4]; pixels in [-1, 1].

        A box is four distances in px from the middle of its cell: left, top, right, bottom. Sides of the picture are
        multiples of `DEEPEST_CELL_PX`.
        """
        quarter = self.quarter(pixels)
        eighth = self.eighth(quarter)
        deep = self.deep(eighth)
        eighth = self.join_eighth(eighth + _enlarge(self.deep_to_eighth(deep)))
        found = self.head(quarter + _enlarge(self.eighth_to_quarter(eighth)))
        sides = self.sides(found).unflatten(1, (len(KINDS), 4))
        return self.centres(found), sides.clamp(-MOST_LOGARITHM, MOST_LOGARITHM).exp() * MIDDLE_PX


def _enlarge(cells: Tensor) -> Tensor:
    return F.interpolate(cells, scale_factor=2.0, mode="nearest")


def list_middles(count: int, device: torch.device | None = None) -> Float[Tensor, " n"]:
    """Return where the middles of `count` cells in a row lie, in px."""
    return (torch.arange(count, dtype=torch.float32, device=device) + 0.5) * CELL_PX
