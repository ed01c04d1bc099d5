"""Write a network or an adapter of our own as one safetensors file, whole or not at all.

Knows tensors and a path. Reading goes through the gate, like any other file of weights.
Start reading at `write_weights`; `stream_weights` is for whole models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

from sfumato.core.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    from torch import Tensor

# A safetensors file starts with the length of its header.
_LENGTH_BYTES = 8


def write_weights(
    path: Path,
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype = torch.float16,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors by name in one number type, with texts in the header.

    Raises:
        StorageError: the folder cannot be written.
    """
    packed = pack_weights(tensors, dtype, metadata)
    write_atomic(path, lambda stream: stream.write(packed))


@dataclass(frozen=True, eq=False)
class StreamedTensor:
    """Name a tensor of a file that is made when it is written."""

    name: str
    shape: tuple[int, ...]
    make: Callable[[], Tensor]


def stream_weights(
    path: Path,
    tensors: Iterable[StreamedTensor],
    dtype: torch.dtype = torch.float16,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors in one number type, one after the other: one of them is in memory at a time.

    Raises:
        StorageError: the folder cannot be written.
    """
    rows = list(tensors)
    # A number type's own name in the format.
    kind = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}[dtype]
    header: dict[str, object] = {"__metadata__": dict(sorted((metadata or {}).items()))} if metadata else {}
    at = 0
    for row in rows:
        end = at + math.prod(row.shape) * dtype.itemsize
        header[row.name] = {"dtype": kind, "shape": list(row.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)

    def write(stream: BinaryIO) -> None:
        stream.write(len(text).to_bytes(_LENGTH_BYTES, "little") + text)
        for row in rows:
            tensor = row.make().detach().cpu().to(dtype).contiguous()
            assert tuple(tensor.shape) == row.shape, row.name
            stream.write(tensor.reshape(-1).view(torch.uint8).numpy().data)

    write_atomic(path, write)


def pack_weights(
    tensors: Mapping[str, Tensor], dtype: torch.dtype = torch.float16, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Return the bytes of a safetensors file with tensors by name in one number type, and texts in the header."""
    kept = {name: tensor.detach().cpu().to(dtype).contiguous() for name, tensor in tensors.items()}
    return _sort_notes(save(kept, dict(metadata))) if metadata else save(kept)


def _sort_notes(packed: bytes) -> bytes:
    """Return a packed file with the texts of its header in order: the library writes them in any, so bytes differ."""
    length = int.from_bytes(packed[:_LENGTH_BYTES], "little")
    header = json.loads(packed[_LENGTH_BYTES : _LENGTH_BYTES + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    # Tensors start at a multiple of 8, as the format asks.
    text += b" " * (-len(text) % _LENGTH_BYTES)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + packed[_LENGTH_BYTES + length :]
