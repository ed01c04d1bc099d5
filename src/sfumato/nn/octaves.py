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
