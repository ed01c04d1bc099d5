"""Turn a tflite file of plain float operators into arrays and a list of steps that `graph` runs in torch.

Covers the operators that the files of the catalogue use; another operator is an error. Activations keep the numbers
of their tensors in the file. Start reading at `convert_tflite`.

Source: the schema of TensorFlow Lite (schema.fbs, version 3): the numbers of fields and operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import ModelError, UnsafeFileError
from sfumato.models.parts.encode import ConvertedPart
from sfumato.models.parts.flatbuffer import FlatTable, open_root

IDENTIFIER = b"TFL3"
FORMAT = "tflite-steps-1"
_DTYPES = {0: "float32", 1: "float16", 2: "int32"}
_ACTIVATIONS = {0: "none", 1: "relu", 3: "relu6"}
Array = NDArray[Any]
Step = dict[str, Any]


def convert_tflite(members: Mapping[str, bytes]) -> ConvertedPart:
    """Convert the one tflite file of a part; weights stay in the number type of the file.

    Raises:
        ModelError: it has an operator or a number type that is not covered.
        UnsafeFileError: it is damaged.
    """
    (raw,) = members.values()
    try:
        return _TfliteFile(open_root(raw, IDENTIFIER)).convert()
    except (IndexError, KeyError, ValueError, ZeroDivisionError, MemoryError) as error:
        raise UnsafeFileError("the tflite file is damaged", got=repr(error)) from error


@dataclass
class _TfliteFile:
    """Hold a file while it is converted."""

    root: FlatTable
    steps: list[Step] = field(default_factory=list[Step])
    weights: dict[str, Array] = field(default_factory=dict[str, Array])

    def __post_init__(self) -> None:
        # Two fields hold the number of an operator; the older one stops at 127.
        codes = self.root.list_tables(1)
        self.codes = [max(code.read_number(0, "int8"), code.read_number(3, "int32")) for code in codes]
        self.buffers = self.root.list_tables(4)
        (self.body,) = self.root.list_tables(2)[:1]
        self.tensors = self.body.list_tables(0)
        self.constants: dict[int, Array] = {}
        for number, tensor in enumerate(self.tensors):
            buffer = self.buffers[tensor.read_number(2, "uint32")]
            stored = buffer.read_array(0, "uint8")
            if stored.size:
                self.constants[number] = self._decode(stored, tensor)

    def convert(self) -> ConvertedPart:
        for operator in self.body.list_tables(3):
            code = self.codes[operator.read_number(0, "uint32")]
            if code not in _OPERATORS:
                raise ModelError("this tflite operator is not covered", got=code, do="Report it with the part's name.")
            inputs, (output,) = operator.list_ints(1), operator.list_ints(2)
            if code == _DEQUANTIZE:
                # Weights in fp16 that the original runtime widens first; torch widens them when they are loaded.
                self.constants[output] = self.constants[inputs[0]]
                continue
            options = operator.read_table(4) or FlatTable(b"\0" * 16, 8)
            step = _OPERATORS[code](self, inputs, output, options)
            live = [number for number in inputs if number >= 0 and number not in self.constants]
            self.steps.append({"in": live, "out": output, **step})
        inputs, outputs = self.body.list_ints(1), self.body.list_ints(2)
        notes = {
            "format": FORMAT,
            "inputs": inputs,
            "outputs": outputs,
            "input_shape": self.shape(inputs[0]),
            "steps": self.steps,
        }
        return ConvertedPart(self.weights, notes)

    def shape(self, number: int) -> list[int]:
        return self.tensors[number].list_ints(0)

    def keep(self, number: int, array: Array) -> str:
        name = f"t{number}"
        self.weights[name] = np.ascontiguousarray(array)
        return name

    def _decode(self, stored: Array, tensor: FlatTable) -> Array:
        kind = tensor.read_number(1, "int8")
        if kind not in _DTYPES or tensor.read_table(6) is not None:
            raise ModelError("a tensor of a tflite file has a form that is not read", got=kind)
        array = np.frombuffer(stored.tobytes(), np.dtype(_DTYPES[kind]).newbyteorder("<"))
        return array.astype(_DTYPES[kind]).reshape(tensor.list_ints(0))


def _pad_same(size: int, kernel: int, stride: int, dilation: int) -> list[int]:
    # TensorFlow's "SAME": the odd pixel goes to the right or the bottom.
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return [total // 2, total - total // 2]


def _pads(file: _TfliteFile, number: int, same: bool, kernel: list[int], stride: list[int], dilation: list[int]) -> Any:
    """Return the pixels that a window adds at left, right, top and bottom."""
    if not same:
        return [0, 0, 0, 0]
    _, height, width, _ = file.shape(number)
    return [
        *_pad_same(width, kernel[1], stride[1], dilation[1]),
        *_pad_same(height, kernel[0], stride[0], dilation[0]),
    ]


def _convolve(file: _TfliteFile, inputs: list[int], _: int, options: FlatTable, *, depthwise: bool = False) -> Step:
    weight = file.constants[inputs[1]]
    # torch: [out, in / groups, height, width]; the file: [out, height, width, in], depthwise [1, height, width, out].
    array = weight.transpose(3, 0, 1, 2) if depthwise else weight.transpose(0, 3, 1, 2)
    first = 4 if depthwise else 3
    stride = [options.read_number(2, "int32"), options.read_number(1, "int32")]
    dilation = [options.read_number(first + 2, "int32", 1), options.read_number(first + 1, "int32", 1)]
    step: Step = {
        "op": "conv",
        "weight": file.keep(inputs[1], array),
        "stride": stride,
        "dilation": dilation,
        "pads": _pads(file, inputs[0], options.read_number(0, "int8") == 0, list(array.shape[2:]), stride, dilation),
        "groups": file.shape(inputs[0])[3] if depthwise else 1,
        "act": _activation(options, first),
    }
    if len(inputs) > 2 and inputs[2] >= 0:
        step["bias"] = file.keep(inputs[2], file.constants[inputs[2]])
    return step


def _convolve_each(file: _TfliteFile, inputs: list[int], output: int, options: FlatTable) -> Step:
    return _convolve(file, inputs, output, options, depthwise=True)


def _connect(file: _TfliteFile, inputs: list[int], output: int, options: FlatTable) -> Step:
    step: Step = {
        "op": "linear",
        "weight": file.keep(inputs[1], file.constants[inputs[1]]),
        "shape": file.shape(output),
        "act": _activation(options, 0),
    }
    if len(inputs) > 2 and inputs[2] >= 0:
        step["bias"] = file.keep(inputs[2], file.constants[inputs[2]])
    return step


def _add(file: _TfliteFile, inputs: list[int], output: int, options: FlatTable) -> Step:
    step: Step = {"op": "add", "act": _activation(options, 0)}
    constant = [number for number in inputs if number in file.constants]
    if constant:
        array = file.constants[constant[0]]
        if len(file.shape(output)) == 4:
            # Channels first, as activations lie in torch.
            array = array.reshape((1,) * (4 - array.ndim) + array.shape).transpose(0, 3, 1, 2)
        # A name of its own: the same constant may be the bias of another step.
        name = step["weight"] = f"t{constant[0]}.add"
        file.weights[name] = np.ascontiguousarray(array)
    return step


def _join(file: _TfliteFile, _: list[int], output: int, options: FlatTable) -> Step:
    axis, rank = options.read_number(0, "int32"), len(file.shape(output))
    return {"op": "join", "axis": axis % rank, "act": _activation(options, 1)}


def _pad(file: _TfliteFile, inputs: list[int], _: int, __: FlatTable) -> Step:
    (_, _), height, width, channels = file.constants[inputs[1]].tolist()
    return {"op": "pad", "pads": [*width, *height, *channels]}


def _pool_most(file: _TfliteFile, inputs: list[int], _: int, options: FlatTable) -> Step:
    stride = [options.read_number(2, "int32"), options.read_number(1, "int32")]
    kernel = [options.read_number(4, "int32"), options.read_number(3, "int32")]
    pads = _pads(file, inputs[0], options.read_number(0, "int8") == 0, kernel, stride, [1, 1])
    return {"op": "max", "kernel": kernel, "stride": stride, "pads": pads, "act": _activation(options, 5)}


def _mean(file: _TfliteFile, inputs: list[int], _: int, options: FlatTable) -> Step:
    axes = sorted(int(axis) % 4 for axis in file.constants[inputs[1]].ravel())
    if axes != [1, 2]:
        raise ModelError("a mean over other axes than height and width is not covered", got=axes)
    return {"op": "mean", "keep": bool(options.read_number(0, "bool"))}


def _reshape(file: _TfliteFile, _: list[int], output: int, __: FlatTable) -> Step:
    return {"op": "reshape", "shape": file.shape(output)}


def _resize(file: _TfliteFile, _: list[int], output: int, options: FlatTable) -> Step:
    if options.read_number(2, "bool"):
        raise ModelError("a resize with aligned corners is not covered")
    return {
        "op": "resize",
        "size": file.shape(output)[1:3],
        # Without it the source of a pixel is its number times the ratio: the whole picture moves by half a pixel.
        "half_pixel": bool(options.read_number(3, "bool")),
    }


def _rectify(_: _TfliteFile, __: list[int], ___: int, ____: FlatTable) -> Step:
    return {"op": "relu"}


def _sigmoid(_: _TfliteFile, __: list[int], ___: int, ____: FlatTable) -> Step:
    return {"op": "sigmoid"}


def _rectify_partly(file: _TfliteFile, inputs: list[int], _: int, __: FlatTable) -> Step:
    slope = file.constants[inputs[1]]
    if slope.size != slope.shape[-1]:
        raise ModelError("a PReLU with a slope for each pixel is not covered", got=slope.shape)
    return {"op": "prelu", "weight": file.keep(inputs[1], slope.reshape(-1))}


def _activation(options: FlatTable, number: int) -> str:
    kind = options.read_number(number, "int8")
    if kind not in _ACTIVATIONS:
        raise ModelError("this activation of a tflite file is not covered", got=kind)
    return _ACTIVATIONS[kind]


_DEQUANTIZE = 6
_OPERATORS: dict[int, Callable[[_TfliteFile, list[int], int, FlatTable], Step]] = {
    0: _add,
    2: _join,
    3: _convolve,
    4: _convolve_each,
    _DEQUANTIZE: _reshape,
    9: _connect,
    14: _sigmoid,
    17: _pool_most,
    19: _rectify,
    22: _reshape,
    23: _resize,
    34: _pad,
    40: _mean,
    54: _rectify_partly,
}
