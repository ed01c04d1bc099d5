"""The value that a converter makes, and the file that it becomes: the same bytes for the same values everywhere.

Start reading at `ConvertedPart`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.models.parts.catalogue import NOTES

_TYPES = {"float32": "F32", "float16": "F16", "int32": "I32", "uint8": "U8"}


@dataclass(frozen=True, slots=True)
class ConvertedPart:
    """Hold what a converter made: arrays by name, and notes as JSON values."""

    tensors: Mapping[str, NDArray[Any]]
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])


def encode_part(converted: ConvertedPart) -> bytes:
    """Write arrays and notes in the safetensors format, the same bytes for the same values on every machine.

    The writers of the library order texts by chance, which would change the digest.
    """
    header: dict[str, Any] = {}
    if converted.notes:
        header["__metadata__"] = {NOTES: json.dumps(converted.notes, sort_keys=True, separators=(",", ":"))}
    blobs: list[bytes] = []
    at = 0
    for name in sorted(converted.tensors):
        array = converted.tensors[name]
        blob = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": _TYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(blob)],
        }
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    # The numbers begin at a multiple of eight bytes.
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *blobs])
