"""How pornographic a picture is, 0 to 1: Yahoo's open_nsfw, a thin residual network of 50 layers.

Yahoo calls scores below 0.2 safe and above 0.8 unsafe; what follows from a score is decided elsewhere. Start reading
at `NsfwScore.measure`.

Source: github.com/yahoo/open_nsfw (2016): its preparation of pictures, JPEG round trip included, and its network.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sfumato.models.parts.load import load_part

PART = "nsfw"
_WHOLE_PX, _CROP_PX = 256, 224
_MEAN_BGR = (104.0, 117.0, 123.0)
# Blocks of each stage, and how far its first one steps.
_STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))
# Pillow's own, at which the scores were compared with the original.
_JPEG_QUALITY = 75


class NsfwScore:
    """Hold the network. A leaf."""

    def __init__(self) -> None:
        """Load the part.

        Raises:
            ModelError: it was not fetched yet.
            UnsafeFileError: its file breaks the rules of the gate.
        """
        self._tensors = load_part(PART).tensors

    def measure(self, pictures: Sequence[Image.Image]) -> list[float]:
        """Return the score of each picture, RGB of any size, 0 to 1."""
        if not pictures:
            return []
        return [float(score) for score in self.run(torch.stack([_prepare(picture) for picture in pictures]))]

    @torch.inference_mode()
    def run(self, crops: Tensor) -> Tensor:
        """Return the scores [n] of prepared crops, float32 [n, 3, 224, 224], BGR less the mean."""
        x = self._convolve(F.pad(crops, (3, 3, 3, 3)), 0, stride=2).relu()
        # As TensorFlow pads: the odd pixel at the right and the bottom.
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="replicate"), 3, 2)
        number = 1
        for blocks, step in _STAGES:
            for block in range(blocks):
                stride = step if block == 0 else 1
                inside = self._convolve(x, number, stride=stride).relu()
                inside = self._convolve(inside, number + 1).relu()
                if block == 0:
                    # The projection of the input stands before the last convolution in the file.
                    x = self._convolve(x, number + 2, stride=stride)
                    number += 1
                x = (self._convolve(inside, number + 2) + x).relu()
                number += 3
        logits = F.linear(x.mean((2, 3)), self._tensors["fc.weight"], self._tensors["fc.bias"])
        return logits.softmax(1)[:, 1]

    def _convolve(self, x: Tensor, number: int, *, stride: int = 1) -> Tensor:
        weight, bias = self._tensors[f"conv{number}.weight"], self._tensors[f"conv{number}.bias"]
        return F.conv2d(x, weight, bias, stride, 1 if weight.shape[2] == 3 else 0)


def _prepare(picture: Image.Image) -> Tensor:
    small = picture.convert("RGB").resize((_WHOLE_PX, _WHOLE_PX), Image.Resampling.BILINEAR)
    # The network learned from JPEG files, and its scores move by some per cent without their blocks.
    packed = io.BytesIO()
    small.save(packed, "JPEG", quality=_JPEG_QUALITY)
    with Image.open(packed) as opened:
        pixels = np.asarray(opened.convert("RGB"), np.float32)
    first = (_WHOLE_PX - _CROP_PX) // 2
    crop = pixels[first : first + _CROP_PX, first : first + _CROP_PX, ::-1] - np.array(_MEAN_BGR, np.float32)
    return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))
