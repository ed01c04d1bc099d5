"""1280 numbers that say what a picture shows, near each other for alike pictures: EfficientNet-lite0.

Knows small crops as tensors. Start reading at `PictureFeatures.describe`.

Source: Tan and Le 2019, "EfficientNet", table 1; the lite variants drop squeeze and excitation and use ReLU6.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sfumato.models.parts.load import load_part

PART = "features"
SIDE_PX = 224
# Stages: blocks, kernel side, step of the first block.
_STAGES = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1))
_EPSILON = 1e-3
_MIDDLE, _RANGE = 127.0, 128.0


class PictureFeatures:
    """Hold the network. A leaf."""

    def __init__(self) -> None:
        """Load the part.

        Raises:
            ModelError: it was not fetched yet.
            UnsafeFileError: its file breaks the rules of the gate.
        """
        self._tensors = load_part(PART).tensors

    @torch.inference_mode()
    def describe(self, pictures: Tensor) -> Tensor:
        """Return the features, float32 [n, 1280], of pictures uint8 [n, 224, 224, 3]."""
        x = (pictures.permute(0, 3, 1, 2).float() - _MIDDLE) / _RANGE
        x = self._convolve(x, "_conv_stem", "_bn0", stride=2).clamp(0.0, 6.0)
        number = 0
        for blocks, _, step in _STAGES:
            for block in range(blocks):
                x = self._expand(x, f"_blocks.{number}", step if block == 0 else 1)
                number += 1
        return self._convolve(x, "_conv_head", "_bn1").clamp(0.0, 6.0).mean((2, 3))

    @torch.inference_mode()
    def classify(self, features: Tensor) -> Tensor:
        """Return the shares of the 1000 classes of ImageNet, [n, 1000], for features [n, 1280]."""
        return F.linear(features, self._tensors["_fc.weight"], self._tensors["_fc.bias"]).softmax(1)

    def _expand(self, x: Tensor, name: str, stride: int) -> Tensor:
        inside = x
        if f"{name}._expand_conv.weight" in self._tensors:
            inside = self._convolve(inside, f"{name}._expand_conv", f"{name}._bn0").clamp(0.0, 6.0)
        inside = self._convolve(inside, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride).clamp(0.0, 6.0)
        inside = self._convolve(inside, f"{name}._project_conv", f"{name}._bn2")
        return inside + x if inside.shape == x.shape and stride == 1 else inside

    def _convolve(self, x: Tensor, name: str, norm: str, *, stride: int = 1) -> Tensor:
        weight = self._tensors[f"{name}.weight"]
        # As TensorFlow pads: the odd pixel at the right and the bottom.
        pads = [max((-(-side // stride) - 1) * stride + weight.shape[2] - side, 0) for side in x.shape[2:]]
        x = F.pad(x, (pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2))
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        found = F.conv2d(x, weight, None, stride, 0, 1, groups)
        mean, variance = self._tensors[f"{norm}.running_mean"], self._tensors[f"{norm}.running_var"]
        scale, shift = self._tensors[f"{norm}.weight"], self._tensors[f"{norm}.bias"]
        return F.batch_norm(found, mean, variance, scale, shift, eps=_EPSILON)
