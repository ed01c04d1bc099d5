"""Training states on disk: written whole or not at all, the last two kept.

A checkpoint is one safetensors file of flat tensors plus one JSON text in its header. It knows no
network. Start reading at `save_checkpoint`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sfumato.core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest readable state, or None where there is none."""
    for path in reversed(list_checkpoints(folder)):
        try:
            with safe_open(path, framework="pt") as opened:
                values = json.loads(opened.metadata()["values"])
                return Checkpoint({name: opened.get_tensor(name) for name in opened.keys()}, values)  # noqa: SIM118
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
