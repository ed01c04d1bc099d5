"""Tensors in memory, or in a scratch file whose pages the system may take back: what offload means on one machine.

Knows tensors and one folder; no optimiser and no network. Start reading at `ScratchTensors`.

The file has no name, so it is gone with the process whatever happens. Resume is the business of checkpoints.
"""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from sfumato.core.files import make_storage_error, reserve_file

# Files are grown by so much: few descriptors, and little is reserved in vain.
CHUNK_BYTES = 256 << 20


class ScratchTensors:
    """Make tensors by name: in memory without a `folder`, else in a file there."""

    def __init__(self, folder: Path | None, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.folder = folder
        self.file_bytes = 0
        self._chunk_bytes = chunk_bytes
        self._places: dict[str, tuple[mmap.mmap, int, int]] = {}
        self._chunk: mmap.mmap | None = None
        self._used = 0

    def make(self, name: str, like: Tensor, dtype: torch.dtype, shape: tuple[int, ...] | None = None) -> Tensor:
        """Return a tensor of zeros in the shape of another, or in one of its own, with a number type.

        In its shape it has the order of its numbers too. Offloaded tensors are on the CPU.

        Raises:
            StorageError: the disk has no room.
        """
        assert name not in self._places, "a name is used once"
        if self.folder is None:
            if shape is not None:
                return torch.zeros(shape, dtype=dtype, device=like.device)
            return torch.zeros_like(like, dtype=dtype, requires_grad=False)
        count = like.numel() if shape is None else torch.Size(shape).numel()
        chunk, at = self._reserve(name, max(count, 1) * dtype.itemsize)
        flat = torch.frombuffer(chunk, dtype=dtype, count=max(count, 1), offset=at)[:count]
        return flat.view(shape) if shape is not None else flat.as_strided(like.shape, like.stride())

    def release(self, *names: str) -> None:
        """Let the system take the pages of tensors out of this process; their numbers stay in the file."""
        for name in names:
            place = self._places.get(name)
            if place is not None and hasattr(mmap, "MADV_DONTNEED"):
                chunk, at, length = place
                chunk.madvise(mmap.MADV_DONTNEED, at, length)

    def _reserve(self, name: str, wanted: int) -> tuple[mmap.mmap, int]:
        length = -(-wanted // mmap.PAGESIZE) * mmap.PAGESIZE
        if self._chunk is None or self._used + length > len(self._chunk):
            self._chunk, self._used = self._open(max(length, self._chunk_bytes)), 0
        place = self._used
        self._used += length
        self._places[name] = (self._chunk, place, length)
        return self._chunk, place

    def _open(self, size: int) -> mmap.mmap:
        assert self.folder is not None, "tensors in memory need no file"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                reserve_file(file.fileno(), size)
                self.file_bytes += size
                # The mapping keeps the file, and with it the room on the disk, until the last tensor is gone.
                return mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise make_storage_error(self.folder, error) from error
