"""Where a picture's small parts are: weights for its pixels, and patches cut around them.

It gets maps that hold a class number for every pixel and knows no names. Start reading at `weigh_parts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

# A part as large as a 28 x 28 square of a 128 x 128 picture counts as any other; one of 4 x 3 pixels eight times as much.
# With half of both, eyes and mouths were a tenth of the loss of patches, and stayed smears.
PLAIN_AREA_FRAC = 800 / 128**2
LARGEST_WEIGHT = 8.0
# Plain ground is picked rarely, but picked.
LEAST_CHANCE = 0.1
# Half a patch and more would leave the small part outside.
JITTER_FRAC = 0.3


def weigh_parts(classes: Tensor) -> Tensor:
    """Return a weight for every pixel of class maps [B, H, W]: 1, and more where its class covers little, float32."""
    count, area = len(classes), classes[0].numel()
    numbers = classes.long().flatten(1)
    most = int(numbers.max()) + 1
    rows = torch.arange(count, device=classes.device)[:, None] * most
    areas = torch.bincount((numbers + rows).flatten(), minlength=count * most).view(count, most)
    weights = (PLAIN_AREA_FRAC * area / areas.clamp(min=1)).sqrt().clamp(1, LARGEST_WEIGHT)
    return weights.gather(1, numbers).view(classes.shape)


def choose_corners(weights: Tensor, side_px: int, noise: torch.Generator) -> list[tuple[int, int]]:
    """Return (top, left) of one square patch for each map of weights [B, H, W], mostly around heavy pixels."""
    count, height, width = weights.shape
    centres = torch.multinomial(weights.flatten(1) - 1 + LEAST_CHANCE, 1, generator=noise)[:, 0]
    shifts = (torch.rand((count, 2), generator=noise, device=noise.device) * 2 - 1) * JITTER_FRAC * side_px
    places = torch.stack([centres // width, centres % width], 1) + shifts - side_px / 2
    rooms = torch.tensor([height - side_px, width - side_px], device=places.device)
    corners = places.round().long().clamp(min=0).minimum(rooms)
    return [(int(top), int(left)) for top, left in corners.tolist()]
