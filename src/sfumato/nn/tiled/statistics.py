"""Mean and variance of a feature map, gathered tile by tile, as if it had been seen whole.

The tiles have to be disjoint and cover the map. Knows no layer but `Norm`. Start reading at
`Moments`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sfumato.nn.tiled.layers import Pointwise

if TYPE_CHECKING:
    from sfumato.nn.tiled.layers import Norm
    from sfumato.nn.tiled.regions import Region


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """How many values each channel has seen, their mean, and the sum of squares around it (float64, [C])."""

    count: int
    mean: Tensor
    squares: Tensor

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of values together.

        The last term is what lies between the two means; without it tiles of different brightness
        would count as equal.

        Source: Chan, Golub and LeVeque 1979, Updating formulae and a pairwise algorithm, eq. 2.1.
        """
        count = self.count + other.count
        step = other.mean - self.mean
        mean = self.mean + step * (other.count / count)
        squares = self.squares + other.squares + step.square() * (self.count * other.count / count)
        return Moments(count, mean, squares)

    def freeze(self, norm: Norm) -> Affine:
        """Return the group normalisation with these moments: one scale and one shift per channel.

        Where the squares overflowed it is no number, as that of the whole would be: a scale of zero would look like a picture.
        """
        means = self.mean.view(norm.groups, -1)
        centre = means.mean(1, keepdim=True)
        squares = self.squares.view(norm.groups, -1) + self.count * (means - centre).square()
        variance = squares.sum(1, keepdim=True) / (self.count * means.shape[1])
        inverse = (variance + norm.eps).rsqrt().where(variance.isfinite(), torch.nan).expand_as(means).reshape(-1)
        scale = norm.weight.double().cpu() * inverse
        shift = norm.bias.double().cpu() - scale * centre.expand_as(means).reshape(-1)
        place = norm.weight.device
        return Affine(*(one.to(place, torch.float32).view(1, -1, 1, 1) for one in (scale, shift)))


def measure_moments(tile: Tensor) -> Moments:
    """Measure the moments of a tile [1, C, h, w], in two passes: float32 keeps its digits that way.

    A mean far from zero is rounded to float32 itself; what is left of the values without it says by how much.

    Source: Chan, Golub and LeVeque 1983, Algorithms for computing the sample variance, eq. 1.7.
    """
    values = tile.float()
    count = tile.shape[-2] * tile.shape[-1]
    mean = values.mean((0, 2, 3), keepdim=True)
    values = values - mean
    # Not every device computes in float64, and these are a few hundred numbers.
    rest = values.mean((0, 2, 3)).cpu().double()
    squares = values.square_().sum((0, 2, 3)).cpu().double() - count * rest.square()
    # Of equal values nothing is left but rounding, which may be below zero.
    return Moments(count, mean.flatten().cpu().double() + rest, squares.clamp_min(0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Affine(Pointwise):
    """A normalisation whose statistics are known: x * scale + shift, both [1, C, 1, 1] float32."""

    scale: Tensor
    shift: Tensor

    def run(self, x: Tensor, have: Region, want: Region) -> Tensor:
        """Compute the output of a region."""
        assert have == want, "works pixel by pixel"
        return torch.addcmul(self.shift, x.float(), self.scale).to(x.dtype)
