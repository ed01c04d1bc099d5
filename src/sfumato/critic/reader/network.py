"""The reader's network: a small convolutional body and one attending head per question.

Tensors in, tensors out; knows neither words nor files. Start reading at `ReaderNetwork.forward`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

GROUPS = 8


@dataclass(frozen=True)
class ReaderShape:
    """Say how wide and deep the body is; every stage halves the picture.

    The first stage has no block: at half size a block costs as much as all that follows, and the
    strokes it would see (2 px) are still apart at a quarter.
    """

    widths: tuple[int, ...] = (24, 48, 96, 160)
    blocks: tuple[int, ...] = (0, 1, 2, 1)
    picture_px: int = 128

    @property
    def feature_width(self) -> int:
        """Numbers that describe a whole picture."""
        return self.widths[-1]


class _NormedBlock(nn.Module):
    """Residual pair of 3x3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        # A block that starts as the identity lets a deep body learn from the first step.
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(self.norm(x)))))


class ReaderNetwork(nn.Module):
    """Answer every question about a picture. A leaf.

    Each head looks at the cells it finds telling (softmax attention of one learned query) and at
    the mean of all cells; counts need the mean, small things need the look.
    """

    def __init__(self, sizes: tuple[int, ...], shape: ReaderShape | None = None) -> None:
        """Build the network for heads of so many classes."""
        super().__init__()
        shape = shape or ReaderShape()
        layers: list[nn.Module] = []
        before = 3
        for width, blocks in zip(shape.widths, shape.blocks, strict=True):
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), *(_NormedBlock(width) for _ in range(blocks))]
            before = width
        self.body = nn.Sequential(*layers, nn.GroupNorm(GROUPS, before), nn.ReLU())
        self.look = nn.Conv2d(before, len(sizes), 1)
        self.heads = nn.ModuleList(nn.Linear(2 * before, size) for size in sizes)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Return the logits of every head, [B, classes] each; pixels in [-1, 1]."""
        return self.answer(pixels)[0]

    def answer(self, pixels: Float[Tensor, "b 3 h w"]) -> tuple[list[Tensor], Float[Tensor, "b c"]]:
        """Return the logits of every head and the features of whole pictures.

        The features are the mean over cells, which every head shares and no head owns.
        """
        cells = self.body(pixels)
        where = self.look(cells).flatten(2).softmax(dim=2)
        looked = torch.einsum("bhn,bcn->bhc", where, cells.flatten(2))
        mean = cells.mean(dim=(2, 3))
        return [head(torch.cat((looked[:, i], mean), dim=1)) for i, head in enumerate(self.heads)], mean


def measure_heads(logits: list[Tensor], answers: Tensor, *, smoothing: float = 0.0) -> dict[str, Tensor]:
    """Return the loss ("loss") and the share of right answers ("right") over all questions asked.

    `answers` is [B, heads], -1 where a head does not apply. The loss is the mean over heads of the
    mean over the pictures that were asked: a rare question weighs as much as a common one.
    """
    losses, right, asked = [], [], []
    for i, head in enumerate(logits):
        answer = answers[:, i]
        known = answer >= 0
        count = known.sum()
        each = F.cross_entropy(head.float(), answer.clamp_min(0), reduction="none", label_smoothing=smoothing)
        losses.append((each * known).sum() / count.clamp_min(1))
        right.append(((head.argmax(dim=1) == answer) & known).sum())
        asked.append(count)
    return {
        "loss": torch.stack(losses).mean(),
        "right": torch.stack(right).sum() / torch.stack(asked).sum().clamp_min(1),
    }
