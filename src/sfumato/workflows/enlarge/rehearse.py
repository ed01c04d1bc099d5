"""How a network does on a picture whose truth is there: parts of it halved, doubled again, and compared with the parts.

What the picture shows beyond its own size nobody knows. What it shows at its own size is known, so the same network is
tried one step below, beside Lanczos. Knows networks that run by rows; no file. Start reading at `rehearse`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.models.upscaler.grown_rows import GrowthPlan, grow
from sfumato.workflows.enlarge.back_projection import measure_back_projection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sfumato.core.resampling import Pixels
    from sfumato.models.measures.perceptual import PerceptualDistance
    from sfumato.models.upscaler.grown_rows import RowNetwork

# Side of a part, and the least of a picture that is tried. Three parts take a network as long as 83 x 83 px do.
PATCH_PX, LEAST_PX = 96, 32
# Which parts are taken, by how much detail they have: of the liveliest, of the middle, of the calmer ones.
_RANKS = (0.05, 0.35, 0.7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Hold the mean perceptual distances to the truth of `patches` parts: of a network, and of Lanczos."""

    network: float
    lanczos: float
    patches: int

    @property
    def passed(self) -> bool:
        """Tell whether the network comes at least as near to the truth as Lanczos."""
        return self.network <= self.lanczos

    def to_json(self) -> dict[str, object]:
        """Return the facts as JSON values."""
        return {"network": round(self.network, 5), "lanczos": round(self.lanczos, 5), "patches": self.patches}


def rehearse(network: RowNetwork, source: Pixels, distance: PerceptualDistance) -> Rehearsal | None:
    """Try a network on parts of a picture, uint8 [height, width, 3]; None where the picture is too small.

    Costs a network of 16.7 million parameters about three seconds of a core.
    """
    truths = [source[box.slices_hw] for box in pick_patches(source)]
    if not truths:
        return None
    halves = [halve(truth) for truth in truths]
    pairs = [(double(network, half), enlarge_plainly(half)) for half in halves]
    wanted = stack_pictures(truths)
    by_network, plain = (distance.measure(stack_pictures(found), wanted) for found in zip(*pairs, strict=True))
    return Rehearsal(network=float(np.mean(by_network)), lanczos=float(np.mean(plain)), patches=len(truths))


def pick_patches(source: Pixels) -> list[PixelBox]:
    """Return boxes of even sides: lively, middling and calm parts of a picture; its middle where it is small."""
    height, width = source.shape[:2]
    high, wide = (min(PATCH_PX, side // 2 * 2) for side in (height, width))
    if min(high, wide) < LEAST_PX:
        return []
    grey = source.astype(np.float32).mean(axis=2)
    detail = np.abs(np.diff(grey, axis=1))
    tops, lefts = (range(0, side - part + 1, PATCH_PX // 2) for side, part in ((height, high), (width, wide)))
    places = [(float(detail[top : top + high, left : left + wide].mean()), top, left) for top in tops for left in lefts]
    places.sort(key=lambda place: -place[0])
    numbers = dict.fromkeys(int(rank * len(places)) for rank in _RANKS)
    return [PixelBox(left, top, left + wide, top + high) for _, top, left in (places[number] for number in numbers)]


def halve(pixels: Pixels) -> Pixels:
    """Return a picture of even sides at half its size: means of squares."""
    size = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def enlarge_plainly(pixels: Pixels) -> Pixels:
    """Return a picture at twice its size by Lanczos."""
    return _resize(pixels, 2 * pixels.shape[1], 2 * pixels.shape[0])


def double(network: RowNetwork, pixels: Pixels) -> Pixels:
    """Return a picture at twice its size by a network and its wide colours, as `enlarge` does."""
    own = PixelSize(pixels.shape[1], pixels.shape[0])
    shape = network.shape
    plan = GrowthPlan(source=own, scale=shape.scale, radius_px=shape.radius_px, panel_px=own.width, rows=own.height)
    grown = np.concatenate([piece.pixels for piece in grow(network, lambda box: pixels[box.slices_hw], plan)])
    projection = measure_back_projection(pixels, lambda box: grown[box.slices_hw], shape.scale)
    whole = projection.correct(lambda box: grown[box.slices_hw], PixelSize(grown.shape[1], grown.shape[0]).box)
    return _resize(whole, 2 * own.width, 2 * own.height)


def stack_pictures(pictures: Sequence[Pixels]) -> Tensor:
    """Return pictures of one size as float32 [n, 3, height, width] in 0 to 1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255.0


def _resize(pixels: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
