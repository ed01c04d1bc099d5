"""A picture split into octaves, from the finest that a smaller copy of it can hold downwards.

Nothing is decimated, so an octave of some rows needs only those rows and a margin. Works on any tensor
[B, C, h, w]; knows no pixels and no level. Start reading at `take_lows`.

Source: the undecimated ("a trous") stack of filters, Shensa 1992.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sfumato.nn.bands import HALF_BAND, REACH_CELLS

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


# Parts of one that are told apart. Numbers to 2^17 (an energy of bytes) over lines of 2^20 cells stay below 2^63.
_PARTS = 2.0**24


def average_boxes(x: Float[Tensor, "b c h w"], reach: int) -> Float[Tensor, "b c h w"]:
    """Return for every cell the mean of the square that reaches so many cells from it; beyond the edge the outermost repeat.

    To within 2^-23 of the true mean, where numbers are below 2^17.
    """
    return _average_lines(_average_lines(x.double(), reach, 3), reach, 2).to(x.dtype)


def _average_lines(x: Tensor, reach: int, dim: int) -> Tensor:
    length, whole = x.shape[dim], (x * _PARTS).round().long()
    sums = torch.cat([torch.zeros_like(whole.narrow(dim, 0, 1)), whole.cumsum(dim)], dim)
    places = torch.arange(length, device=x.device)
    first, last = places - reach, places + reach + 1
    total = sums.index_select(dim, last.clamp(max=length)) - sums.index_select(dim, first.clamp(min=0))
    across = (1, 1, 1, -1) if dim == 3 else (1, 1, -1, 1)
    total += whole.narrow(dim, 0, 1) * (-first).clamp(min=0).view(across)
    total += whole.narrow(dim, length - 1, 1) * (last - length).clamp(min=0).view(across)
    return total.double() / ((2 * reach + 1) * _PARTS)


LOBES = 3


def take_lows(x: Float[Tensor, "b c h w"], scale: float, octaves: int) -> list[Float[Tensor, "b c h w"]]:
    """Return what a copy of x shrunk by `scale` can hold, then `octaves` times what is left without its finest octave.

    Beyond the edge the outermost cells repeat.
    """
    lows = [_filter(x, _windowed_sinc(scale), 1)]
    for octave in range(octaves):
        lows.append(_filter(lows[-1], list(HALF_BAND), _pace(scale, octave)))
    return lows


def measure_reach(scale: float, octaves: int) -> int:
    """Return how many cells to either side `take_lows` looks."""
    return len(_windowed_sinc(scale)) // 2 + sum(REACH_CELLS * _pace(scale, octave) for octave in range(octaves))


def _pace(scale: float, octave: int) -> int:
    """Return how far apart the taps are: the half-band filter then passes half of what the one before did."""
    return max(1, round(scale)) * 2**octave


def _windowed_sinc(scale: float) -> list[float]:
    """Return the taps of a low pass at the Nyquist rate of a copy shrunk by `scale`.

    Source: Duchon 1979, Lanczos filtering in one and two dimensions.
    """
    reach = math.ceil(LOBES * scale) - 1
    places = torch.arange(-reach, reach + 1, dtype=torch.float64) / scale
    taps = torch.sinc(places) * torch.sinc(places / LOBES)
    return (taps / taps.sum()).tolist()


def _filter(x: Tensor, taps: list[float], pace: int) -> Tensor:
    """Filter rows and columns with taps `pace` cells apart."""
    reach = len(taps) // 2 * pace
    across = F.pad(x, (reach, reach, 0, 0), mode="replicate")
    mixed = _mix(across, taps, pace, dim=3)
    return _mix(F.pad(mixed, (0, 0, reach, reach), mode="replicate"), taps, pace, dim=2)


def _mix(x: Tensor, taps: list[float], pace: int, dim: int) -> Tensor:
    length = x.shape[dim] - (len(taps) - 1) * pace
    mixed = torch.zeros_like(x.narrow(dim, 0, length))
    for place, tap in enumerate(taps):
        if tap != 0.0:
            mixed.add_(x.narrow(dim, place * pace, length), alpha=tap)
    return mixed
