"""The compact network of Real-ESRGAN (convolutions in a row, enlarged in the last), run down a picture by rows.

Small pictures are repeated into large pixels, and the network adds what they lack. Knows tensors; no file. Start
reading at `CompactNetwork`.

Source: the realesr-animevideov3 release of Real-ESRGAN (2022): `SRVGGNetCompact`, read by its names and shapes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sfumato.models.upscaler.row_layers import RowConvolution, RowDelay, RowLayer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from torch import Tensor

_NAME = re.compile(r"body\.(\d+)\.(weight|bias)")


@dataclass(frozen=True, slots=True)
class CompactShape:
    """State what a compact network is: its convolutions, its enlargement, and its width in channels."""

    convolutions: int
    scale: int
    channels: int

    @property
    def radius_px(self) -> int:
        """Return how many px of its input the network reads to each side of a pixel."""
        return self.convolutions


def find_compact_shape(state: Mapping[str, Tensor]) -> CompactShape | None:
    """Describe a state dict; None where it is no compact network with slopes between its convolutions."""
    numbers = sorted({int(match[1]) for match in map(_NAME.fullmatch, state) if match})
    if len(numbers) < 3 or len(numbers) % 2 == 0 or numbers != list(range(len(numbers))):
        return None
    if any(not _NAME.fullmatch(name) for name in state):
        return None
    weights = [state[f"body.{number}.weight"] for number in numbers]
    convolutions, slopes = weights[::2], weights[1::2]
    if any(one.ndim != 4 or one.shape[2:] != (3, 3) for one in convolutions) or any(one.ndim != 1 for one in slopes):
        return None
    scale = math.isqrt(convolutions[-1].shape[0] // 3)
    widths = [one.shape[:2] for one in convolutions]
    if widths[0][1] != 3 or widths[-1][0] != 3 * scale**2 or scale < 2 or len(slopes[0]) != widths[0][0]:
        return None
    if any(before[0] != after[1] for before, after in pairwise(widths)):
        return None
    return CompactShape(convolutions=len(convolutions), scale=scale, channels=widths[0][0])


class CompactNetwork:
    """Hold a compact network, and run it down pictures. A leaf."""

    def __init__(self, state: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        """Take a state dict of which `find_compact_shape` knows the shape."""
        shape = find_compact_shape(state)
        assert shape is not None, "the caller asked for the shape"
        self.shape, self.dtype = shape, dtype
        # The first and the last stay in fp32: they cost little and bring the largest part of the error.
        exact = (0, 2 * shape.convolutions - 2)
        self.convolutions = [
            RowConvolution(
                state[f"body.{number}.weight"],
                state[f"body.{number}.bias"],
                torch.float32 if number in exact else dtype,
                bends=False,
            )
            for number in range(0, 2 * shape.convolutions, 2)
        ]
        self.slopes = [state[f"body.{number}.weight"].float() for number in range(1, 2 * shape.convolutions - 1, 2)]

    @torch.inference_mode()
    def run(self, rows: Iterable[Tensor]) -> Iterator[Tensor]:
        """Take a picture as float32 [1, 3, n, width] in 0 to 1, top to bottom; yield its enlargement in the same way."""
        layers, waiting = [RowLayer(one) for one in self.convolutions], RowDelay()
        last: Tensor | None = None
        for last in rows:
            yield from self._push(last, layers, waiting, ends=False)
        if last is not None:
            yield from self._push(last[:, :, :0], layers, waiting, ends=True)

    def count_bytes(self, width: int, rows: int) -> int:
        """Return the memory of a run over a picture of this width that gets so many rows at once."""
        held = self.shape.convolutions * 2 * self.shape.channels * self.dtype.itemsize + self.shape.radius_px * 12
        moving = 3 * rows * max(self.shape.channels, 6 * self.shape.scale**2) * 4
        return width * (held + moving)

    def _push(self, x: Tensor, layers: list[RowLayer], waiting: RowDelay, *, ends: bool) -> Iterator[Tensor]:
        waiting.push(x)
        for layer, slope in zip(layers, [*self.slopes, None], strict=True):
            found = layer.push(x, ends=ends)
            if found is None:
                return
            x = found if slope is None else F.prelu(found, slope.to(found.dtype))
        x = F.pixel_shuffle(x.float(), self.shape.scale)
        own = waiting.take(x.shape[2] // self.shape.scale)
        yield x + F.interpolate(own, scale_factor=float(self.shape.scale), mode="nearest")
