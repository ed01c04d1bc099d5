"""A patch discriminator on the teacher's features: it tells decoded pictures from drawn ones, place by place.

The features are already good, so a few thousand weights learn within minutes. It knows no
autoencoder. Start reading at `Discriminator`.

Source: heads on fixed features, Sauer et al. 2021 (arXiv:2111.01007); hinge loss, Lim and Ye 2017 (arXiv:1705.02894).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from sfumato.train.teacher import WIDTHS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# At 1/16 of the side a feature sees most of a head: that is a matter of content, not of texture.
SCALES = 4
HIDDEN_WIDTH = 48


class Discriminator(nn.Module):
    """Map the teacher's features at four scales to logits, above 0 for drawn pictures. A leaf."""

    def __init__(self) -> None:
        """Make heads that say 0 at first, so that their first opinions move nothing."""
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, HIDDEN_WIDTH, 3, padding=1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(HIDDEN_WIDTH, 1, 3, padding=1),
            )
            for width in WIDTHS[:SCALES]
        )
        for head in self.heads:
            for parameter in head[-1].parameters():  # pyright: ignore[reportIndexIssue]
                nn.init.zeros_(parameter)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return one map of logits for each scale."""
        return [head(feature) for head, feature in zip(self.heads, features, strict=False)]


def measure_suspicion(judge: Discriminator, ours: Sequence[Tensor]) -> Tensor:
    """Return what the decoder lowers: how far the judge, held fixed, is from taking its features `ours` for drawn."""
    fixed = {name: parameter.detach() for name, parameter in judge.named_parameters()}
    logits: list[Tensor] = torch.func.functional_call(judge, fixed, (list(ours),))
    return -torch.stack([one.float().mean() for one in logits]).mean()


def measure_mistakes(judge: Discriminator, ours: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """Return what the judge lowers: the hinge loss on features of decoded (`ours`) and drawn pictures, both held fixed."""
    fake, real = judge([one.detach() for one in ours]), judge([one.detach() for one in truth])
    each = [F.relu(1 + a.float()).mean() + F.relu(1 - b.float()).mean() for a, b in zip(fake, real, strict=True)]
    return 0.5 * torch.stack(each).mean()
