"""Write small tflite files: a flatbuffer is laid out front to back, tables first, what they refer to behind them.

Start reading at `write_tflite`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

TYPES = {"float32": 0, "float16": 1, "int32": 2}


def write_tflite(tensors: Sequence[Any], operators: Sequence[tuple[int, list[int], list[int], dict[int, Any]]],
                 inputs: Sequence[int], outputs: Sequence[int]) -> bytes:  # fmt: skip
    """Write a file of tensors (shapes, or arrays for constants) and operators (code, inputs, outputs, options)."""
    codes = sorted({code for code, *_ in operators})
    buffers: list[dict[int, Any]] = [{}]
    rows: list[dict[int, Any]] = []
    for tensor in tensors:
        if isinstance(tensor, np.ndarray):
            buffers.append({0: tensor.tobytes()})
            rows.append({0: list(tensor.shape), 1: ("b", TYPES[tensor.dtype.name]), 2: ("I", len(buffers) - 1)})
        else:
            rows.append({0: list(tensor), 1: ("b", 0), 2: ("I", 0)})
    steps = [{0: ("I", codes.index(code)), 1: given, 2: made, 4: options} for code, given, made, options in operators]
    body = {0: rows, 1: list(inputs), 2: list(outputs), 3: steps}
    root = {0: ("I", 3), 1: [{0: ("b", code), 3: ("i", code)} for code in codes], 2: [body], 4: buffers}
    raw = bytearray(struct.pack("<I4s", 0, b"TFL3"))
    struct.pack_into("<I", raw, 0, _write(raw, root))
    return bytes(raw)


def _write(raw: bytearray, value: Any) -> int:
    """Append a table, a vector of tables or numbers, or bytes; return where it starts."""
    _align(raw)
    if isinstance(value, bytes):
        start = len(raw)
        raw += struct.pack("<I", len(value)) + value
        return start
    if isinstance(value, list):
        start = len(raw)
        raw += struct.pack("<I", len(value)) + bytes(4 * len(value))
        for number, item in enumerate(value):
            place = start + 4 + 4 * number
            if isinstance(item, int):
                struct.pack_into("<i", raw, place, item)
            else:
                struct.pack_into("<I", raw, place, _write(raw, item) - place)
        return start
    count = max(value, default=-1) + 1
    vtable = len(raw)
    raw += struct.pack("<HH", 4 + 2 * count, 4 + 4 * len(value)) + bytes(2 * count)
    _align(raw)
    start = len(raw)
    raw += struct.pack("<i", start - vtable) + bytes(4 * len(value))
    for number, (field, item) in enumerate(sorted(value.items())):
        place = start + 4 + 4 * number
        struct.pack_into("<H", raw, vtable + 4 + 2 * field, place - start)
        if isinstance(item, tuple):
            struct.pack_into(f"<{item[0]}", raw, place, item[1])
        else:
            struct.pack_into("<I", raw, place, _write(raw, item) - place)
    return start


def _align(raw: bytearray) -> None:
    raw += bytes(-len(raw) % 4)
