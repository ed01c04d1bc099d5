"""Training states on disk: written whole or not at all, the last two kept.

A checkpoint is one safetensors file of flat tensors plus one JSON text in its header. It knows no
network. Start reading at `save_checkpoint`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sfumato.core.errors import StorageError

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """Hold one saved state: tensors by name and plain values."""

    tensors: Mapping[str, Tensor]
    values: Mapping[str, float | int | str]


def save_checkpoint(folder: Path, step: int, state: Checkpoint) -> Path:
    """Write a state so that a crash at any moment leaves the one before it readable.

    Raises:
        StorageError: the folder cannot be written.

    """
    target = folder / f"step_{step:09d}.safetensors"
    part = target.with_suffix(".part")
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.tensors.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part, metadata={"values": json.dumps(dict(state.values))})
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(target)
        _sync_folder(folder)
    except (OSError, SafetensorError) as cause:
        raise StorageError(
            "A checkpoint could not be written", got=str(target), do="Check free space and rights."
        ) from cause
    for old in list_checkpoints(folder)[:-KEPT]:
        old.unlink(missing_ok=True)
    return target


class _OpenedTensors(Mapping[str, "Tensor"]):
    """The tensors of a file, each read when it is asked for."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self._path, self._names = path, dict.fromkeys(names)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        with safe_open(self._path, framework="pt") as opened:
            return opened.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load_checkpoint(folder: Path, *, at_once: bool = True) -> Checkpoint | None:
    """Return the newest readable state, or None where there is none; not `at_once`, tensors are read one by one."""
    for path in reversed(list_checkpoints(folder)):
        try:
            with safe_open(path, framework="pt") as opened:
                values = json.loads(opened.metadata()["values"])
                names = tuple(opened.keys())
                if not at_once:
                    return Checkpoint(_OpenedTensors(path, names), values)
                return Checkpoint({name: opened.get_tensor(name) for name in names}, values)
        except (SafetensorError, OSError, KeyError, ValueError):
            # A torn disk can leave a named but unreadable file: the one before it is why two are kept.
            continue
    return None


def read_values(path: Path) -> dict[str, float | int | str]:
    """Return the plain values of a saved state without reading its tensors.

    Raises:
        StorageError: the file cannot be read.

    """
    try:
        with safe_open(path, framework="pt") as opened:
            return json.loads(opened.metadata()["values"])
    except (SafetensorError, OSError, KeyError, ValueError) as cause:
        raise StorageError(
            "A checkpoint could not be read", got=str(path), do="Remove it; the one before it is kept."
        ) from cause


def clear_checkpoints(folder: Path) -> None:
    """Remove the saved states and put the log aside, so that a fresh run cannot pick up an old one."""
    for path in list_checkpoints(folder):
        path.unlink()
    log = folder / "log.jsonl"
    if log.is_file():
        log.replace(folder / f"log_{int(log.stat().st_mtime)}.jsonl")


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the saved states, oldest first."""
    return sorted(folder.glob("step_*.safetensors"))


def _sync_folder(folder: Path) -> None:
    # The rename itself lives in the folder's own blocks.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
