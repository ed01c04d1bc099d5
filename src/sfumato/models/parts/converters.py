"""What turns the files of a package into tensors: one row for each kind of file.

A converter takes the members of a part by path, checked against their digests, and returns arrays by name and notes
that go into the header of the converted file. To add one, write a module with such a function and add its row. Start
reading at `CONVERTERS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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


Converter = Callable[[Mapping[str, bytes]], ConvertedPart]
"""Takes the bytes of the members by their path in the package."""

CONVERTERS: dict[str, Converter] = {}


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
