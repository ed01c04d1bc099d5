"""Read the weights of TensorFlow.js: a manifest and the numbers that it describes, bytes widened to fp32.

Knows names, shapes and scales; not what the network is. Start reading at `convert_tfjs`.

Source: TensorFlow.js, "weights_manifest.json": a byte q of a tensor stands for q * scale + min.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import UnsafeFileError
from sfumato.models.parts.encode import ConvertedPart


def convert_tfjs(members: Mapping[str, bytes]) -> ConvertedPart:
    """Convert a `weights_manifest.json` and its one file of numbers.

    Kernels [height, width, in, out] become [out, in, height, width], matrices [in, out] become [out, in].

    Raises:
        UnsafeFileError: they do not belong together, or are damaged.
    """
    manifest = next((raw for path, raw in members.items() if path.endswith(".json")), None)
    numbers = next((raw for path, raw in members.items() if not path.endswith(".json")), None)
    if manifest is None or numbers is None:
        raise UnsafeFileError("weights of TensorFlow.js are a manifest and a file", got=", ".join(members))
    tensors: dict[str, NDArray[Any]] = {}
    at = 0
    try:
        (group,) = json.loads(manifest)
        for row in group["weights"]:
            shape = tuple(int(side) for side in row["shape"])
            scale = row.get("quantization")
            array = _read_scaled(numbers, at, shape, scale) if scale else _read_plain(numbers, at, shape, row["dtype"])
            at += math.prod(shape) * (1 if scale else 4)
            # Names keep their slashes as dots, like those of torch.
            tensors[row["name"].replace("/", ".")] = _to_torch(array)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnsafeFileError("the weights of TensorFlow.js are damaged", got=repr(error)) from error
    if at != len(numbers):
        raise UnsafeFileError("the weights of TensorFlow.js have another length", got=f"{len(numbers)}, not {at}")
    return ConvertedPart(tensors)


def _read_scaled(raw: bytes, at: int, shape: tuple[int, ...], scale: Mapping[str, Any]) -> NDArray[np.float32]:
    if scale["dtype"] != "uint8":
        raise ValueError(f"numbers of the type {scale['dtype']}")
    stored = np.frombuffer(raw, np.uint8, math.prod(shape), at).reshape(shape)
    return (stored.astype(np.float64) * float(scale["scale"]) + float(scale["min"])).astype(np.float32)


def _read_plain(raw: bytes, at: int, shape: tuple[int, ...], dtype: str) -> NDArray[np.float32]:
    if dtype != "float32":
        raise ValueError(f"numbers of the type {dtype}")
    return np.frombuffer(raw, "<f4", math.prod(shape), at).reshape(shape)


def _to_torch(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
