"""The parser's network: a crop of a hand in; maps of parts, digits, tips and cores, and answers about the whole hand out.

A small convolutional body goes down to 1/16 of the crop and up again to half of it. Tensors in, tensors out; knows neither
words nor files. Start reading at `ParserNetwork.forward`.

Source: the shape is that of Ronneberger et al. 2015, "U-Net" (arXiv:1505.04597), with residual blocks and no norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from sfumato.critic.anatomy.labels import CAUSES, DIGITS, MOST_DIGITS, PARTS, STATES

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

ANSWERS = {
    "count": MOST_DIGITS,
    "countable": 1,
    "cause": len(CAUSES),
    "right": 1,
    "cartoon": 1,
    "hand": 1,
    "states": len(DIGITS) * len(STATES),
}
"""Logits of each question about the whole hand."""
# Nearly all cells hold no tip; starting there keeps the first steps from moving everything.
FIRST_TIP_LOGIT = -4.0


@dataclass(frozen=True)
class ParserShape:
    """Say how wide the body is at 1/2, 1/4, 1/8 and 1/16 of the crop, and how wide the answers' layer."""

    widths: tuple[int, int, int, int] = (20, 28, 44, 64)
    answers: int = 64


class Parsed(NamedTuple):
    """Hold the logits of B crops. Maps have half the side of the crops."""

    parts: Float[Tensor, "b parts h w"]
    digits: Float[Tensor, "b digits h w"]
    tips: Float[Tensor, "b 1 h w"]
    cores: Float[Tensor, "b 1 h w"]
    answers: dict[str, Float[Tensor, "b n"]]


class _ParserBlock(nn.Module):
    """Residual pair of 3x3 convolutions that starts as the identity. A leaf."""

    def __init__(self, width: int, *, spread: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=spread, dilation=spread)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


def _halve(before: int, after: int) -> nn.Conv2d:
    layer = nn.Conv2d(before, after, 2, stride=2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


class ParserNetwork(nn.Module):
    """Read a crop of a hand. A leaf."""

    def __init__(self, shape: ParserShape | None = None) -> None:
        """Build the network."""
        super().__init__()
        shape = shape or ParserShape()
        half, quarter, eighth, deep = shape.widths
        self.stem = nn.Sequential(nn.Conv2d(3, half, 4, stride=2, padding=1), _ParserBlock(half))
        self.quarter = nn.Sequential(_halve(half, quarter), _ParserBlock(quarter))
        self.eighth = nn.Sequential(_halve(quarter, eighth), _ParserBlock(eighth), _ParserBlock(eighth))
        self.deep = nn.Sequential(_halve(eighth, deep), _ParserBlock(deep, spread=2), _ParserBlock(deep))
        self.up = nn.ModuleList([nn.Conv2d(a, b, 1) for a, b in ((deep, eighth), (eighth, quarter), (quarter, half))])
        self.join = nn.ModuleList([_ParserBlock(width) for width in (eighth, quarter, half)])
        self.maps = nn.Sequential(nn.ReLU(), nn.Conv2d(half, len(PARTS) + len(DIGITS) + 2, 3, padding=1))
        # What the answers see: means and maxima at three depths, and how much of each map lights up.
        seen = 2 * (deep + eighth + quarter) + len(PARTS) + len(DIGITS) + 2
        self.answers = nn.Sequential(
            nn.Linear(seen, shape.answers), nn.ReLU(), nn.Linear(shape.answers, sum(ANSWERS.values()))
        )
        last = self.maps[1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.constant_(last.bias[-2], FIRST_TIP_LOGIT)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Parsed:
        """Return the logits of crops; pixels in [-1, 1], sides multiples of 16."""
        levels = [self.stem(pixels)]
        for step in (self.quarter, self.eighth, self.deep):
            levels.append(step(levels[-1]))
        x = levels.pop()
        seen = _pool(F.relu(x))
        for number, (up, join) in enumerate(zip(self.up, self.join, strict=True)):
            x = join(levels.pop() + F.interpolate(up(F.relu(x)), scale_factor=2.0, mode="nearest"))
            if number < 2:
                seen += _pool(F.relu(x))
        maps = self.maps(x)
        parts, digits, tips, cores = maps.split((len(PARTS), len(DIGITS), 1, 1), dim=1)
        skin = torch.cat((parts.softmax(1), digits.softmax(1) * parts.softmax(1)[:, 3:].sum(1, keepdim=True)), dim=1)
        lit = torch.cat((skin, tips.sigmoid(), cores.sigmoid()), dim=1).mean((2, 3)) * LIT_SCALE
        found = self.answers(torch.cat((*seen, lit), dim=1))
        answers = dict(zip(ANSWERS, found.split(tuple(ANSWERS.values()), dim=1), strict=True))
        return Parsed(parts, digits, tips, cores, answers)


# Means of maps are small (a digit covers a thirtieth of a crop); this brings them near the size of features.
LIT_SCALE = 20.0


def _pool(x: Tensor) -> list[Tensor]:
    return [x.mean((2, 3)), x.amax((2, 3))]
