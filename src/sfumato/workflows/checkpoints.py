"""List, fetch, inspect and convert checkpoints: what `sfumato models` does.

Knows folders and reports; the safety of files is `sfumato.models`' business. Start reading at
`list_models`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sfumato.core.errors import ModelError, RequestError, SfumatoError
from sfumato.core.files import expand_path
from sfumato.models.describe import MINI
from sfumato.models.files.convert import convert_pickle
from sfumato.models.files.download import download_checkpoint
from sfumato.models.files.gate import PICKLES, WEIGHTS
from sfumato.models.files.library import NAMES, list_entries, models_folder
from sfumato.models.inspect import inspect_model

WEIGHT_SUFFIXES = WEIGHTS | PICKLES


def list_models(folder: Path | str | None = None) -> list[dict[str, Any]]:
    """Describe `mini`, what the folder of models holds, and every checkpoint in `folder` (not below it).

    Each is a JSON object; its `name` is what options such as --model take. What cannot be opened is listed too,
    with the reason under `refused`: a list that hides files would only move the question.

    Raises:
        ModelError: the folder is not there.
        RequestError: SFUMATO_MODELS is set and names no folder.
    """
    found = [_inspect(MINI, MINI)]
    root = models_folder()
    for entry in list_entries(root) if root else ():
        name = entry.name if entry.path.is_dir() else entry.name.removesuffix(Path(entry.name).suffix)
        # The folder says what a file is for, whatever its header looks like.
        found.append(
            _inspect(entry.path, name) | {"kind": NAMES[entry.kind] if entry.kind != "checkpoint" else "checkpoint"}
        )
    if folder is None:
        return found
    root = expand_path(folder, what="the folder")
    if not root.is_dir():
        raise ModelError("there is no such folder", got=str(root), do="Give a folder of checkpoints.")
    return found + [_inspect(path, path.stem) for path in sorted(root.iterdir()) if _is_candidate(path)]


def get_model(name: str, *, folder: Path | str | None = None, file: str = "", revision: str = "") -> dict[str, Any]:
    """Fetch a checkpoint OWNER/NAME from the hub into the folder of models, and describe it.

    Raises:
        RequestError: no folder is set, or as `sfumato.models.files.download.download_checkpoint`.
        ModelError, UnsafeFileError, StorageError: as there.
    """
    root = expand_path(folder, what="the folder") if folder else models_folder()
    if root is None:
        do = "Set SFUMATO_MODELS to your folder of models, or give --folder DIR."
        raise RequestError("there is no folder to put the model in", got=name, do=do)
    made = download_checkpoint(name, root, file=file, revision=revision)
    return {"name": made.path.stem, "commit": made.commit, "files": len(made.files)} | inspect_model(made.path)


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


def _inspect(ref: Path | str, name: str) -> dict[str, Any]:
    try:
        return {"name": name} | inspect_model(ref)
    except SfumatoError as error:
        return {"name": name, "path": str(ref), "refused": error.to_json()}
