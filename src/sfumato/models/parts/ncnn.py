"""Read the networks of ncnn (`.param` and `.bin`) into tensors under the names that the ESRGAN family uses.

Knows two chains: the residual dense blocks of Real-ESRGAN x4plus, and the compact one of its video models. It reads
convolutions and PReLUs in the order of the graph, and runs nothing. Start reading at `convert_ncnn`.

Source: the ncnn format (github.com/Tencent/ncnn, wiki "param and model file structure"), fp16 weights tagged 0x01306B47.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import UnsafeFileError
from sfumato.models.parts.encode import ConvertedPart

Array = NDArray[Any]

_MAGIC, _HALF = 7767517, 0x01306B47
# Keys of a convolution in ncnn: outputs, kernel side, whether a bias follows, count of weights.
_OUTPUTS, _KERNEL, _BIAS, _WEIGHTS = "0", "1", "5", "6"
_BLOCKS, _CONVOLUTIONS = 3, 5
_TAIL = ("conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")


@dataclass(frozen=True, slots=True)
class _NcnnLayer:
    kind: str
    weight: Array
    bias: Array | None = None


class _NcnnBlobs:
    """Read numbers from the `.bin` one after the other. A leaf."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    def take_tagged(self, count: int) -> Array:
        """Return numbers behind a tag that says their type."""
        tag = int(self._take(1, np.dtype("<u4"))[0])
        if tag == _HALF:
            found = self._take(count, np.dtype("<f2"))
            # Padded to four bytes.
            self._at += count * 2 % 4
            return found
        if tag != 0:
            raise UnsafeFileError("an ncnn network has numbers of an unknown type", got=hex(tag))
        return self.take(count)

    def take(self, count: int) -> Array:
        """Return numbers without a tag: fp32."""
        return self._take(count, np.dtype("<f4"))

    @property
    def is_empty(self) -> bool:
        """Tell whether every byte was read."""
        return self._at == len(self._raw)

    def _take(self, count: int, kind: np.dtype[Any]) -> Array:
        end = self._at + count * kind.itemsize
        if count < 0 or end > len(self._raw):
            raise UnsafeFileError("an ncnn network is cut off", got=f"{len(self._raw)} bytes")
        found = np.frombuffer(self._raw, kind, count, self._at)
        self._at = end
        return found


def convert_ncnn(members: Mapping[str, bytes]) -> ConvertedPart:
    """Convert the `.param` and the `.bin` of a network of the ESRGAN family; halves stay halves.

    Raises:
        UnsafeFileError: it is no such network, or it is damaged.
    """
    param = next((raw for path, raw in members.items() if path.endswith(".param")), None)
    weights = next((raw for path, raw in members.items() if path.endswith(".bin")), None)
    if param is None or weights is None:
        raise UnsafeFileError("an ncnn network is a .param and a .bin", got=", ".join(members))
    try:
        layers = list(_read_layers(param.decode("ascii"), weights))
    except (ValueError, KeyError, IndexError) as error:
        raise UnsafeFileError("an ncnn network cannot be read", got=str(error)) from error
    names = _name_layers(layers)
    tensors: dict[str, Array] = {}
    for name, layer in zip(names, layers, strict=True):
        tensors[f"{name}.weight"] = layer.weight
        if layer.bias is not None:
            tensors[f"{name}.bias"] = layer.bias
    return ConvertedPart(tensors)


def _read_layers(param: str, weights: bytes) -> Iterator[_NcnnLayer]:
    lines = param.splitlines()
    if int(lines[0]) != _MAGIC:
        raise UnsafeFileError("it is no ncnn network", got=lines[0][:20])
    blobs = _NcnnBlobs(weights)
    for line in lines[2:]:
        words = line.split()
        if not words:
            continue
        # Kind, name, count of inputs, count of outputs, their names, then key=value.
        keys = dict(word.split("=", 1) for word in words[4 + int(words[2]) + int(words[3]) :])
        if words[0] == "Convolution":
            outputs, kernel, count = int(keys[_OUTPUTS]), int(keys[_KERNEL]), int(keys[_WEIGHTS])
            shape = (outputs, count // (outputs * kernel * kernel), kernel, kernel)
            weight = blobs.take_tagged(count).reshape(shape)
            yield _NcnnLayer(words[0], weight, blobs.take(outputs) if keys.get(_BIAS) == "1" else None)
        elif words[0] == "PReLU":
            yield _NcnnLayer(words[0], blobs.take(int(keys[_OUTPUTS])))
    if not blobs.is_empty:
        raise UnsafeFileError("an ncnn network has more numbers than layers")


def _name_layers(layers: list[_NcnnLayer]) -> list[str]:
    if any(layer.kind == "PReLU" for layer in layers):
        return [f"body.{at}" for at in range(len(layers))]
    dense = _BLOCKS * _CONVOLUTIONS
    blocks, rest = divmod(len(layers) - 1 - len(_TAIL), dense)
    if blocks < 1 or rest:
        raise UnsafeFileError("an ncnn network is none of the ESRGAN family", got=f"{len(layers)} convolutions")
    inside = [
        f"body.{block}.rdb{part}.conv{at}"
        for block in range(blocks)
        for part in range(1, _BLOCKS + 1)
        for at in range(1, _CONVOLUTIONS + 1)
    ]
    return ["conv_first", *inside, *_TAIL]
