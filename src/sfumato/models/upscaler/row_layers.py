"""What networks that run down a picture share: convolutions without rows of padding, and rows held for the next call.

Knows tensors [1, channels, rows, width]; not which network they belong to. Start reading at `RowLayer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sfumato.models.hardware.prepacked import can_pack

if TYPE_CHECKING:
    from torch import Tensor

# The slope below zero of ESRGAN's activation.
LEAKY_SLOPE = 0.2


class RowConvolution:
    """A convolution of 3 x 3 that pads columns and not rows, packed for the CPU where torch can."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, *, bends: bool) -> None:
        self.dtype, self._bends = dtype, bends
        self._weight = weight.float().to(dtype).contiguous(memory_format=torch.channels_last)
        self._bias = bias.float().to(dtype)
        self._packed: Tensor | None = None
        self._packs = can_pack()

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it to [1, in, h, w] -> [1, out, h - 2, w]."""
        if not self._packs:
            found = F.conv2d(x, self._weight, self._bias, padding=(0, 1))
            return F.leaky_relu_(found, LEAKY_SLOPE) if self._bends else found
        place: tuple[list[int], list[int], list[int], int] = ([0, 1], [1, 1], [1, 1], 1)
        if self._packed is None:
            order = torch.ops.mkldnn._reorder_convolution_weight  # noqa: SLF001
            self._packed = order(self._weight.contiguous(), *place, list(x.shape))
        bend = ("leaky_relu", [LEAKY_SLOPE], "") if self._bends else ("none", [], "")
        return torch.ops.mkldnn._convolution_pointwise(x, self._packed, self._bias, *place, *bend)  # noqa: SLF001


class HeldRows:
    """A map of which the last two rows are held: what a convolution of the next rows reads. A leaf."""

    def __init__(self) -> None:
        self._held: Tensor | None = None

    def push(self, *maps: Tensor, ends: bool) -> Tensor | None:
        """Return the rows held and the new ones, maps side by side as channels; None where they are fewer than three.

        Zeros stand above the first row, and below the last where it `ends`.
        """
        new = maps[0]
        channels = sum(one.shape[1] for one in maps)
        before = 1 if self._held is None else self._held.shape[2]
        height = before + new.shape[2] + ends
        whole = torch.empty((1, channels, height, new.shape[3]), dtype=new.dtype, memory_format=torch.channels_last)
        if self._held is None:
            whole[:, :, :1] = 0.0
        else:
            whole[:, :, :before] = self._held
        at = 0
        for one in maps:
            whole[:, at : at + one.shape[1], before : before + new.shape[2]] = one
            at += one.shape[1]
        if ends:
            whole[:, :, -1:] = 0.0
        self._held = whole[:, :, -2:].clone(memory_format=torch.channels_last)
        return whole if height >= 3 else None


class RowDelay:
    """Hand rows on later, when the layers beside it give theirs. A leaf."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []

    def push(self, rows: Tensor) -> None:
        """Take the rows that follow."""
        self._parts.append(rows)

    def take(self, count: int) -> Tensor:
        """Return the next rows."""
        whole = self._parts[0] if len(self._parts) == 1 else torch.cat(self._parts, dim=2)
        assert count <= whole.shape[2], "the layers beside give no more rows than went in"
        self._parts = [whole[:, :, count:]]
        return whole[:, :, :count]


class RowLayer:
    """A convolution and the rows that it holds. A leaf."""

    def __init__(self, convolution: RowConvolution) -> None:
        self._convolution, self._rows = convolution, HeldRows()

    def push(self, x: Tensor, *, ends: bool) -> Tensor | None:
        """Take the next rows, and return those that can be computed."""
        whole = self._rows.push(x.to(self._convolution.dtype), ends=ends)
        return None if whole is None else self._convolution(whole)
