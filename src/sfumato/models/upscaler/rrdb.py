"""An ESRGAN network (residual-in-residual dense blocks) run down a picture, rows by rows, each computed once.

Rows go in from top to bottom and enlarged rows come out; every layer keeps the two rows that its next call reads, so
a picture of any height takes the memory of a few rows of its width, and every pixel equals that of the whole run at
once. Knows tensors; no file and no number type is chosen here. Start reading at `RrdbNetwork`.

Source: Wang et al. 2018, "ESRGAN", section 3.1; rows as in Alwani et al. 2016, "Fused-Layer CNN Accelerators".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sfumato.models.upscaler.row_layers import HeldRows, RowConvolution, RowDelay, RowLayer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from torch import Tensor

# What ESRGAN multiplies a residual by.
_RESIDUAL = 0.2
_PARTS, _CONVOLUTIONS = 3, 5
# What a pixel reads through the layers around the blocks: a convolution before, one after, and those behind the
# enlargements, which count for less than one px each.
_AROUND_PX = 4
_BLOCK = re.compile(r"model\.1\.sub\.(\d+)\.RDB1\.conv1\.0\.weight")
# Later releases: `RRDB_trunk.0.RDB1.conv1` of ESRGAN, `body.0.rdb1.conv1` of Real-ESRGAN.
_LATER_BLOCK = re.compile(r"(?:RRDB_trunk|body)\.(\d+)\.(?:RDB|rdb)1\.")
_LATER_LAYER = re.compile(r"(?:RRDB_trunk|body)\.(\d+)\.(?:RDB|rdb)(\d)\.conv(\d)")
_UP = re.compile(r"(?:upconv|conv_up)\d+\.weight")
_MEAN, _WRAPPER = "params_ema.", re.compile(r"^(?:params\.|module\.)")
_LAYER = re.compile(r"model\.(\d+)\.weight")


@dataclass(frozen=True, slots=True)
class RrdbShape:
    """State what an ESRGAN network is: its blocks, enlargements by two, and widths in channels."""

    blocks: int
    doublings: int
    channels: int
    growth: int

    @property
    def scale(self) -> int:
        """Return the enlargement."""
        return 1 << self.doublings

    @property
    def radius_px(self) -> int:
        """Return how many px of its input the network reads to each side of a pixel, or a few more."""
        return self.blocks * _PARTS * _CONVOLUTIONS + _AROUND_PX


def rename_rrdb(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict under the names of the first ESRGAN, whichever of the three namings it has.

    Trainers wrap names; where a file holds weights and their running mean, the mean is taken.
    """
    means = {name.removeprefix(_MEAN): tensor for name, tensor in state.items() if name.startswith(_MEAN)}
    plain = means or {_WRAPPER.sub("", name): tensor for name, tensor in state.items()}
    ups = len([name for name in plain if _UP.fullmatch(name)])
    blocks = len({match[1] for match in map(_LATER_BLOCK.match, plain) if match})
    if not blocks:
        return plain
    fixed = {
        "conv_first": "model.0",
        "conv_body": f"model.1.sub.{blocks}",
        "trunk_conv": f"model.1.sub.{blocks}",
        "conv_hr": f"model.{3 * ups + 2}",
        "HRconv": f"model.{3 * ups + 2}",
        "conv_last": f"model.{3 * ups + 4}",
    }
    fixed |= {f"{word}{at}": f"model.{3 * at}" for word in ("conv_up", "upconv") for at in range(1, ups + 1)}
    found: dict[str, Tensor] = {}
    for name, tensor in plain.items():
        layer, _, kind = name.rpartition(".")
        inside = _LATER_LAYER.fullmatch(layer)
        first = f"model.1.sub.{inside[1]}.RDB{inside[2]}.conv{inside[3]}.0" if inside else fixed.get(layer, layer)
        found[f"{first}.{kind}"] = tensor
    return found


def find_rrdb_shape(state: Mapping[str, Tensor]) -> RrdbShape | None:
    """Describe a state dict under the first names; None where it is no plain ESRGAN of colours and a power of two."""
    blocks = len([name for name in state if _BLOCK.fullmatch(name)])
    layers = sorted(int(match[1]) for match in map(_LAYER.fullmatch, state) if match)
    if not blocks or len(layers) < 3 or any("conv1x1" in name or ".norm" in name for name in state):
        return None
    first, last = state["model.0.weight"], state[f"model.{layers[-1]}.weight"]
    grow = state["model.1.sub.0.RDB1.conv1.0.weight"]
    # An enlargement by three has one layer, whose number differs.
    doublings = len(layers) - 3
    usual = layers == [0, *(3 * at for at in range(1, doublings + 1)), 3 * doublings + 2, 3 * doublings + 4]
    if first.shape[1] != 3 or last.shape[0] != 3 or not usual or not 1 <= doublings <= 3:
        return None
    return RrdbShape(blocks=blocks, doublings=doublings, channels=first.shape[0], growth=grow.shape[0])


class RrdbNetwork:
    """Hold an ESRGAN network whose dense blocks compute in `dtype`, and run it down pictures.

    In bf16 the first and the last convolution, the one behind the blocks, and every sum of residuals stay in fp32:
    they cost 2 % of the work and bring two thirds of the error.
    """

    def __init__(self, state: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        """Take a state dict under the names of `rename_rrdb`, of which `find_rrdb_shape` knows the shape."""
        shape = find_rrdb_shape(state)
        assert shape is not None, "the caller asked for the shape"
        self.shape, self.dtype = shape, dtype

        def take(name: str, kind: torch.dtype, *, bends: bool = False, factor: float = 1.0) -> RowConvolution:
            return RowConvolution(state[f"{name}.weight"] * factor, state[f"{name}.bias"] * factor, kind, bends=bends)

        exact = torch.float32
        names = _name_dense(shape.blocks)
        self.layers = _RrdbLayers(
            first=take("model.0", exact),
            blocks=[
                [
                    [
                        *(take(name, dtype, bends=True) for name in part[:-1]),
                        take(part[-1], dtype, factor=_RESIDUAL),
                    ]
                    for part in block
                ]
                for block in names
            ],
            body=take(f"model.1.sub.{shape.blocks}", exact),
            ups=[take(f"model.{3 * at}", dtype, bends=True) for at in range(1, shape.doublings + 1)],
            detail=take(f"model.{3 * shape.doublings + 2}", dtype, bends=True),
            last=take(f"model.{3 * shape.doublings + 4}", exact),
        )

    @torch.inference_mode()
    def run(self, rows: Iterable[Tensor]) -> Iterator[Tensor]:
        """Take a picture as float32 [1, 3, n, width] in 0 to 1, top to bottom; yield its enlargement in the same way.

        The first rows come out after `shape.radius_px` rows went in.
        """
        run = _RrdbRun(self)
        last: Tensor | None = None
        for last in rows:
            yield from run.push(last)
        if last is not None:
            yield from run.finish(last)

    def count_bytes(self, width: int, rows: int) -> int:
        """Return the memory of a run over a picture of this width that gets so many rows at once."""
        channels, growth, size = self.shape.channels, self.shape.growth, self.dtype.itemsize
        dense = sum(channels + growth * at for at in range(_CONVOLUTIONS))
        held = self.shape.blocks * (
            _PARTS * (2 * dense * size + _CONVOLUTIONS * channels * 4) + _PARTS * _CONVOLUTIONS * channels * 4
        )
        held += self.shape.radius_px * channels * 4
        # At the full scale two maps and their enlargement live at once.
        moving = rows * self.shape.scale**2 * channels * 4 * 3
        return width * (held + moving)


def _name_dense(blocks: int) -> list[list[list[str]]]:
    """Return the names of the convolutions of each dense block of each residual block."""
    return [
        [
            [f"model.1.sub.{block}.RDB{part}.conv{at}.0" for at in range(1, _CONVOLUTIONS + 1)]
            for part in range(1, _PARTS + 1)
        ]
        for block in range(blocks)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _RrdbLayers:
    first: RowConvolution
    blocks: list[list[list[RowConvolution]]]
    body: RowConvolution
    ups: list[RowConvolution]
    detail: RowConvolution
    last: RowConvolution


class _Dense:
    """A dense block: each convolution reads the input and all that came before it; the input is added in fp32."""

    def __init__(self, convolutions: list[RowConvolution]) -> None:
        self._convolutions, self._delay = convolutions, RowDelay()
        self._rows = [HeldRows() for _ in convolutions]

    def push(self, x: Tensor, *, ends: bool) -> Tensor | None:
        """Take the next rows, and return those that can be computed."""
        self._delay.push(x)
        whole = self._rows[0].push(x.to(self._convolutions[0].dtype), ends=ends)
        for convolution, rows in zip(self._convolutions, self._rows[1:], strict=False):
            if whole is None:
                return None
            whole = rows.push(whole[:, :, 1:-1], convolution(whole), ends=ends)
        if whole is None:
            return None
        change = self._convolutions[-1](whole)
        return self._delay.take(change.shape[2]) + change


class _RrdbRun:
    """The state of a network on its way down one picture. A leaf."""

    def __init__(self, network: RrdbNetwork) -> None:
        self._first, self._body = RowLayer(network.layers.first), RowLayer(network.layers.body)
        self._blocks = [([_Dense(part) for part in block], RowDelay()) for block in network.layers.blocks]
        self._trunk = RowDelay()
        self._ups = [RowLayer(up) for up in network.layers.ups]
        self._tail = [RowLayer(network.layers.detail), RowLayer(network.layers.last)]

    def push(self, rows: Tensor, *, ends: bool = False) -> Iterator[Tensor]:
        """Take the next rows, and yield those of the result that can be computed."""
        x = self._first.push(rows, ends=ends)
        if x is None:
            return
        self._trunk.push(x)
        for parts, delay in self._blocks:
            delay.push(x)
            for part in parts:
                x = part.push(x, ends=ends)
                if x is None:
                    return
            x = torch.add(delay.take(x.shape[2]), x, alpha=_RESIDUAL)
        x = self._body.push(x, ends=ends)
        if x is None:
            return
        x = self._trunk.take(x.shape[2]) + x
        for up in self._ups:
            x = up.push(F.interpolate(x, scale_factor=2.0, mode="nearest"), ends=ends)
            if x is None:
                return
        for layer in self._tail:
            x = layer.push(x, ends=ends)
            if x is None:
                return
        yield x.float()

    def finish(self, like: Tensor) -> Iterator[Tensor]:
        """Yield the rows that waited for what lies below the picture, which is nothing."""
        yield from self.push(like[:, :, :0], ends=True)
