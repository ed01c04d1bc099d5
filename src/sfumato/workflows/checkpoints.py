"""List, inspect and convert checkpoints: what `sfumato models` does.

Knows folders and reports; the safety of files is `sfumato.models`' business. Start reading at
`list_models`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sfumato.core.errors import ModelError, SfumatoError
from sfumato.models.describe import MINI
from sfumato.models.files.convert import convert_pickle
from sfumato.models.files.gate import PICKLES
from sfumato.models.inspect import inspect_model

WEIGHT_SUFFIXES = frozenset({".safetensors"}) | PICKLES


def list_models(folder: Path | str | None = None) -> list[dict[str, Any]]:
    """Describe `mini` and every checkpoint in a folder (not below it), each as a JSON object.

    What cannot be opened is listed too, with the reason under `refused`: a list that hides files
    would only move the question.

    Raises:
        ModelError: the folder is not there.
    """
    found = [_inspect(MINI)]
    if folder is None:
        return found
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ModelError("there is no such folder", got=str(root), do="Give a folder of checkpoints.")
    return found + [_inspect(path) for path in sorted(root.iterdir()) if _is_candidate(path)]


def convert_checkpoint(source: Path | str, out: Path | str | None = None) -> dict[str, Any]:
    """Convert a pickle checkpoint and say what was made, as a JSON object.

    Raises: as `sfumato.models.files.convert.convert_pickle`.
    """
    made = convert_pickle(source, out)
    return {
        "path": str(made.path),
        "tensors": made.tensors,
        "left_out": list(made.skipped),
        "child_was_held_by": list(made.held),
        "not_held_on_this_machine": list(made.unguarded),
    }


def _is_candidate(path: Path) -> bool:
    return path.suffix.lower() in WEIGHT_SUFFIXES or (path.is_dir() and (path / "model_index.json").is_file())


def _inspect(ref: Path | str) -> dict[str, Any]:
    try:
        return {"name": Path(ref).stem if ref != MINI else MINI} | inspect_model(ref)
    except SfumatoError as error:
        return {"name": str(ref), "refused": error.to_json()}
