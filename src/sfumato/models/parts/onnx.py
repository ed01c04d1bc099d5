"""Read the convolutions of a residual network out of an ONNX file, with the scales behind each folded in.

Covers one kind of file: convolutions, each followed by constants that are added, subtracted or multiplied for each
channel, and one matrix at the end. Knows the wire format of protocol buffers and six fields of ONNX. Start reading at
`convert_onnx`.

Source: onnx.proto of ONNX 1.x (numbers of fields), and "Encoding" in the documentation of protocol buffers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import UnsafeFileError
from sfumato.models.parts.encode import ConvertedPart

Array = NDArray[np.float32]
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
# Fields: of a model its graph, of a graph its nodes and constants.
_GRAPH, _NODES, _CONSTANTS = 7, 1, 5
_FLOAT = 1
# What changes no number of a constant or of a channel.
_PASSES = frozenset({"Cast", "Identity", "Transpose", "Pad"})


def convert_onnx(members: Mapping[str, bytes]) -> ConvertedPart:
    """Convert the one ONNX file of a part: convolutions `conv0`, `conv1`, … in the order of the graph, and `fc`.

    Raises:
        UnsafeFileError: it is damaged, or holds another kind of network.
    """
    (raw,) = members.values()
    try:
        graph = _Message(_Message(raw).take_bytes(_GRAPH))
        nodes = [_OnnxNode.read(_Message(part)) for part in graph.list_bytes(_NODES)]
        constants = dict(_read_constant(_Message(part)) for part in graph.list_bytes(_CONSTANTS))
        return ConvertedPart(dict(_OnnxChain(nodes, constants).fold()))
    except (ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise UnsafeFileError("the ONNX file cannot be read", got=repr(error)) from error


class _Message:
    """A message of a protocol buffer: its fields by number. A leaf."""

    def __init__(self, raw: bytes) -> None:
        self._fields: dict[int, list[int | bytes]] = {}
        at = 0
        while at < len(raw):
            tag, at = _read_varint(raw, at)
            kind = tag & 7
            if kind == _VARINT:
                value, at = _read_varint(raw, at)
                self._fields.setdefault(tag >> 3, []).append(value)
                continue
            if kind == _BYTES:
                size, at = _read_varint(raw, at)
            elif kind in (_FIXED_32, _FIXED_64):
                size = 4 if kind == _FIXED_32 else 8
            else:
                raise ValueError(f"a field of the kind {kind}")
            if at + size > len(raw):
                raise ValueError("a field reaches outside of its message")
            self._fields.setdefault(tag >> 3, []).append(raw[at : at + size])
            at += size

    def list_bytes(self, number: int) -> list[bytes]:
        return [one for one in self._fields.get(number, ()) if isinstance(one, bytes)]

    def take_bytes(self, number: int) -> bytes:
        return self.list_bytes(number)[0]

    def list_ints(self, number: int) -> list[int]:
        found = list[int]()
        for one in self._fields.get(number, ()):
            # Written one by one, or packed.
            found += [one] if isinstance(one, int) else _read_varints(one)
        return found


@dataclass(frozen=True, slots=True)
class _OnnxNode:
    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, list[int]]

    @classmethod
    def read(cls, message: _Message) -> _OnnxNode:
        rows = [_Message(part) for part in message.list_bytes(5)]
        return cls(
            kind=message.take_bytes(4).decode("ascii"),
            inputs=[name.decode("utf-8") for name in message.list_bytes(1)],
            outputs=[name.decode("utf-8") for name in message.list_bytes(2)],
            attributes={row.take_bytes(1).decode("ascii"): row.list_ints(8) for row in rows},
        )


@dataclass
class _FoldedConvolution:
    """A convolution and what was done to its channels since: times `scale`, plus `shift`."""

    weight: Array
    scale: Array
    shift: Array


@dataclass
class _OnnxChain:
    nodes: list[_OnnxNode]
    constants: dict[str, Array]
    convolutions: list[_FoldedConvolution] = field(default_factory=list[_FoldedConvolution])

    def fold(self) -> Iterator[tuple[str, Array]]:
        """Yield every folded tensor by its name."""
        # Which convolution a value is, as long as nothing but constants was added to it.
        origins: dict[str, _FoldedConvolution] = {}
        tail: list[Array] = []
        for node in self.nodes:
            constant = next((self.constants[name] for name in node.inputs if name in self.constants), None)
            source = next((origins[name] for name in node.inputs if name in origins), None)
            if node.kind == "Conv":
                weight = self.constants[node.inputs[1]]
                folded = _FoldedConvolution(weight, np.ones(len(weight), np.float32), np.zeros(len(weight), np.float32))
                self.convolutions.append(folded)
                origins[node.outputs[0]] = folded
            elif node.kind in _PASSES and node.inputs:
                if node.inputs[0] in origins:
                    origins[node.outputs[0]] = origins[node.inputs[0]]
                if node.inputs[0] in self.constants:
                    self.constants[node.outputs[0]] = self.constants[node.inputs[0]]
            elif node.kind == "MatMul" and constant is not None:
                tail = [constant]
            elif node.kind == "Add" and constant is not None and tail:
                tail.append(constant.reshape(-1))
            elif node.kind in ("Add", "Sub", "Mul") and constant is not None and source is not None:
                _apply(source, node.kind, constant.reshape(-1))
                origins[node.outputs[0]] = source
        if not self.convolutions or len(tail) != 2:
            raise ValueError(f"{len(self.convolutions)} convolutions and {len(tail)} tensors behind them")
        for number, one in enumerate(self.convolutions):
            yield f"conv{number}.weight", one.weight * one.scale[:, None, None, None]
            yield f"conv{number}.bias", one.shift
        yield from (("fc.weight", tail[0].T), ("fc.bias", tail[1]))


def _apply(source: _FoldedConvolution, kind: str, constant: Array) -> None:
    if kind == "Mul":
        source.scale, source.shift = source.scale * constant, source.shift * constant
    else:
        source.shift = source.shift + constant if kind == "Add" else source.shift - constant


def _read_constant(message: _Message) -> tuple[str, Array]:
    shape, kind = message.list_ints(1), message.list_ints(2)
    raw = message.list_bytes(9)
    if kind != [_FLOAT] or not raw:
        raise ValueError("a constant that is no fp32")
    count = math.prod(shape)
    if len(raw[0]) != 4 * count:
        raise ValueError("a constant of another length than its shape")
    return message.take_bytes(8).decode("utf-8"), np.frombuffer(raw[0], "<f4", count).reshape(shape)


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte: Any = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _read_varints(raw: bytes) -> list[int]:
    found, at = list[int](), 0
    while at < len(raw):
        value, at = _read_varint(raw, at)
        found.append(value)
    return found
