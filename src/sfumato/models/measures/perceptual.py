"""How different two pictures look: the distance between layers of HED's VGG16, weighed by the heads of lpips.

It orders pictures as eyes do where PSNR does not, but it is not LPIPS: the heads were learned on another VGG16, whose
channels stand in another order, so numbers compare with each other alone. Start reading at
`PerceptualDistance.measure`.

Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", equation 1; Xie
and Tu 2015, "Holistically-nested edge detection".
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from sfumato.models.parts.catalogue import find_part
from sfumato.models.parts.load import load_part

PARTS = ("perceptual", "perceptual-heads")
# Smaller pictures leave no pixel to the fifth stage.
LEAST_PX = 16
_MEAN_BGR = (104.00699, 116.66877, 122.67892)
# Convolutions of each stage of VGG16.
_STAGES = (2, 2, 3, 3, 3)
_SMALLEST = 1e-10


class PerceptualDistance:
    """Hold the network and the weights of its layers. A leaf."""

    def __init__(self) -> None:
        """Load both parts.

        Raises:
            ModelError: they were not fetched yet.
            UnsafeFileError: a file breaks the rules of the gate.
        """
        tensors, heads = (load_part(name).tensors for name in PARTS)
        self._convolutions = [
            [
                (tensors[f"{name}.weight"].contiguous(memory_format=torch.channels_last), tensors[f"{name}.bias"])
                for name in (f"block{stage}.conv2d{f'_{at}' if at else ''}" for at in range(count))
            ]
            for stage, count in enumerate(_STAGES, 1)
        ]
        self._heads = [heads[f"lin{number}.model.1.weight"] for number in range(len(_STAGES))]

    @torch.inference_mode()
    def measure(self, one: Tensor, other: Tensor) -> list[float]:
        """Return the distance of each pair of pictures, float32 [n, 3, height, width] in 0 to 1, sides >= 16 px."""
        stages = zip(self.describe(one), self.describe(other), self._heads, strict=True)
        parts = [_compare(first, second, head).mean((1, 2, 3)) for first, second, head in stages]
        return [float(value) for value in torch.stack(parts).sum(0)]

    @torch.inference_mode()
    def map_deep(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the distance of the fourth stage at each place, [n, height / 8, width / 8]: shapes, and not grain."""
        (*_, first, _), (*_, second, _) = tuple(self.describe(one)), tuple(self.describe(other))
        return _compare(first, second, self._heads[3])[:, 0]

    def describe(self, pictures: Tensor) -> Iterator[Tensor]:
        """Yield the last layer of each of the five stages, every place of length 1."""
        mean = torch.tensor(_MEAN_BGR).reshape(1, 3, 1, 1)
        x = (pictures.flip(1) * 255.0 - mean).contiguous(memory_format=torch.channels_last)
        for number, stage in enumerate(self._convolutions):
            if number:
                x = F.max_pool2d(x, 2, ceil_mode=True)
            for weight, bias in stage:
                x = F.conv2d(x, weight, bias, padding=1).relu_()
            yield x / (x.square().sum(1, keepdim=True).sqrt() + _SMALLEST)


def find_distance() -> PerceptualDistance | None:
    """Return the perceptual distance, or None where its parts were not fetched."""
    return PerceptualDistance() if all(find_part(name) is not None for name in PARTS) else None


def _compare(one: Tensor, other: Tensor, head: Tensor) -> Tensor:
    return F.conv2d((one - other).square(), head)
