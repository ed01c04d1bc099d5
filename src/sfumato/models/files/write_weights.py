"""Write a network or an adapter of our own as one safetensors file, whole or not at all.

Knows tensors and a path. Reading goes through the gate, like any other file of weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

from sfumato.core.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

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
