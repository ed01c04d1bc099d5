"""Where a level no longer shows what its base shows: an iris, a lip, a window bar that the autoencoder or the denoiser ate.

Octave by octave: a place has lost something where the base is plain to see and what is left of its pattern, within a
pixel, is too little. An edge that became sharper has lost nothing. Knows two small pictures; no level and no
latents. Start reading at `find_lost_detail`.

Source: what is left is the projection on the band of the base, Mallat and Zhang 1993, "Matching pursuits".
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sfumato.nn.octaves import average_boxes, take_lows

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

# Octaves of the base in which something can be lost; what is coarser is held as colour.
OCTAVES = 3
# The share of a pattern that has to be left: below the first all is given back, above the second nothing.
GONE, KEPT = 0.5, 0.9
# Contrast of a band (levels of 255, root mean square of the channels) that nobody sees, and that everybody sees. Lower,
# the faint lattice that a decoder leaves on skies would count as detail.
FAINT, PLAIN = 6.0, 12.0
# What moved by a pixel of the base is still there.
REACH_PX = 1


def find_lost_detail(wanted: Float[Tensor, "3 h w"], shown: Float[Tensor, "3 h w"]) -> Float[Tensor, "1 h w"]:
    """Return for each pixel of a base from 0 (still shown) to 1 (gone); both are in levels of 255."""
    lost = torch.zeros_like(wanted[:1])
    bands = (pairwise(take_lows(picture[None], 1.0, OCTAVES)) for picture in (wanted, shown))
    for octave, (known, left) in enumerate(zip(*bands, strict=True)):
        share = _measure_lost(known[0] - known[1], left[0] - left[1])
        # All of the pattern is given back, not its middle alone.
        around = 2**octave
        share = F.max_pool2d(share, 2 * around + 1, stride=1, padding=around)
        lost = torch.maximum(lost, average_boxes(share, around)[0])
    return lost


def _measure_lost(known: Tensor, left: Tensor) -> Tensor:
    """Return how much of a band [1, 3, h, w] is gone, [1, 1, h, w]; the best of the places within reach counts."""
    energy = known.square().sum(dim=1, keepdim=True)
    height, width = known.shape[2:]
    padded = F.pad(left, (REACH_PX,) * 4, mode="replicate")
    places = [(down, across) for down in range(2 * REACH_PX + 1) for across in range(2 * REACH_PX + 1)]
    products = [
        (padded[:, :, down : down + height, across : across + width] * known).sum(dim=1, keepdim=True)
        for down, across in places
    ]
    kept = torch.stack(products).amax(dim=0) / energy.clamp_min(FAINT)
    seen = _rise((energy / known.shape[1]).sqrt(), FAINT, PLAIN)
    return seen * (1.0 - _rise(kept, GONE, KEPT))


def _rise(values: Tensor, low: float, high: float) -> Tensor:
    """Return 0 below `low`, 1 above `high`, and a smooth way between."""
    share = ((values - low) / (high - low)).clamp(0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)
