"""Write a network or an adapter of our own as one safetensors file, whole or not at all.

Knows tensors and a path. Reading goes through the gate, like any other file of weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

from sfumato.core.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


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
    kept = {name: tensor.detach().cpu().to(dtype).contiguous() for name, tensor in tensors.items()}
    write_atomic(path, lambda stream: stream.write(save(kept, dict(metadata) if metadata else None)))
