"""128 numbers of a face, near each other for one person: dlib's residual network, as face-api ships it.

Takes crops that stand upright, with the eyes at fixed places; `critic.finders.identity` cuts them. Knows no picture.
Start reading at `FaceIdentity.describe`.

Source: King, "High quality face recognition with deep metric learning" (dlib, 2017): 29 layers, 150 px.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sfumato.models.parts.load import load_part

PART = "face-identity"
SIDE_PX = 150
_MEAN_RGB = (122.782, 117.001, 104.298)
_WIDTHS = ("32", "64", "128", "256")
# Blocks that keep their size, behind the one that halves it.
_BLOCKS = {"32": 3, "64": 3, "128": 2, "256": 2}


class FaceIdentity:
    """Hold the network. A leaf."""

    def __init__(self) -> None:
        """Load the part.

        Raises:
            ModelError: it was not fetched yet.
            UnsafeFileError: its file breaks the rules of the gate.
        """
        self._tensors = load_part(PART).tensors

    @torch.inference_mode()
    def describe(self, crops: Tensor) -> Tensor:
        """Return the numbers of faces, float32 [n, 128], for crops uint8 [n, 150, 150, 3]."""
        x = (crops.permute(0, 3, 1, 2).float() - torch.tensor(_MEAN_RGB).reshape(1, 3, 1, 1)) / 255.0
        x = F.max_pool2d(self._convolve(x, "conv32_down", stride=2).relu(), 3, 2)
        for width in _WIDTHS:
            if width != "32":
                x = self._halve(x, f"conv{width}_down")
            for number in range(1, _BLOCKS[width] + 1):
                x = self._keep(x, f"conv{width}_{number}")
        x = self._halve(x, "conv256_down_out")
        return F.linear(x.mean((2, 3)), self._tensors["fc"])

    def _convolve(self, x: Tensor, name: str, *, stride: int = 1) -> Tensor:
        found = F.conv2d(
            x,
            self._tensors[f"{name}.conv.filters"],
            self._tensors[f"{name}.conv.bias"],
            stride,
            # Those that halve read no pixel outside.
            0 if stride == 2 else 1,
        )
        scale, shift = self._tensors[f"{name}.scale.weights"], self._tensors[f"{name}.scale.biases"]
        return found * scale[:, None, None] + shift[:, None, None]

    def _keep(self, x: Tensor, name: str) -> Tensor:
        inside = self._convolve(x, f"{name}.conv1").relu()
        return (self._convolve(inside, f"{name}.conv2") + x).relu()

    def _halve(self, x: Tensor, name: str) -> Tensor:
        inside = self._convolve(x, f"{name}.conv1", stride=2).relu()
        inside = self._convolve(inside, f"{name}.conv2")
        around = F.avg_pool2d(x, 2)
        rows, columns = around.shape[2] - inside.shape[2], around.shape[3] - inside.shape[3]
        more = inside.shape[1] - around.shape[1]
        return (F.pad(inside, (0, columns, 0, rows)) + F.pad(around, (0, 0, 0, 0, 0, more))).relu()
