"""Say what a file or folder of weights is, from its headers alone.

Knows names, shapes and notes; reads no weights. Start reading at `inspect_model`.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.models.control.control_file import open_control
from sfumato.models.describe import describe_checkpoint, find_checkpoint
from sfumato.models.files.gate import check_weights_file
from sfumato.models.files.kinds import find_kind
from sfumato.models.files.library import CONFIG, INDEX
from sfumato.models.upscaler.detect_shape import find_upscaler

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfumato.models.files.header import Header

# What the notes of a file may say that a person wants to read: the standard ones and kohya's.
SHOWN_NOTES = ("modelspec.title", "modelspec.architecture", "ss_base_model_version", "ss_network_dim", "ss_output_name")
LONGEST_NOTE = 200
SAID_BY = {
    "request": "the request",
    "checkpoint": "the checkpoint",
    "yaml": "the .yaml beside it",
    "family": "nobody: the file does not say it, and no .yaml lies beside it",
}


def inspect_model(path: str | Path) -> dict[str, Any]:
    """Describe a checkpoint, LoRA, embedding, autoencoder, upscaler or control network as a JSON object.

    `prediction` is "unknown" where only the network itself can tell (SD 2.x single files).

    Raises:
        UnsafeFileError: the gate refuses it.
        ModelError: nothing is there, or it is no checkpoint that can be opened.
    """
    place = find_checkpoint(path)
    if place.is_dir() and (place / CONFIG).is_file() and not (place / INDEX).is_file():
        return {"path": str(place), "kind": "control network"} | _count(open_control(place).headers)
    if not place.is_dir():
        header = check_weights_file(place)
        kind = find_kind(header)
        if kind != "checkpoint":
            return (
                {"path": str(place), "kind": kind} | _describe_upscaler(header) | _count([header]) | _read_notes(header)
            )
    return _inspect_checkpoint(path)


def _describe_upscaler(header: Header) -> dict[str, Any]:
    shape = find_upscaler(header)
    return {} if shape is None else {"architecture": shape.architecture, "scale": shape.scale}


def _inspect_checkpoint(path: str | Path) -> dict[str, Any]:
    said = describe_checkpoint(path)
    contract = said.contract
    headers = [header for group in said.checked.headers.values() for header in group]
    found: dict[str, Any] = {
        "path": str(said.checked.path),
        "kind": "checkpoint",
        "layout": "diffusers folder" if said.layout is None else "original single file",
        "family": contract.family,
        "prediction": said.prediction or "unknown",
        "prediction_said_by": SAID_BY[said.prediction_source],
        "native": str(contract.native),
        "autoencoder": contract.autoencoder,
        "text_width": contract.text_width,
    }
    return found | _count(headers) | (_read_notes(headers[0]) if said.layout else {})


def _count(headers: Iterable[Header]) -> dict[str, Any]:
    headers = list(headers)
    entries = [entry for header in headers for entry in header.tensors.values()]
    kinds = Counter(entry.dtype for entry in entries)
    return {
        "tensors": len(entries),
        "parameters": sum(math.prod(entry.shape) for entry in entries),
        "bytes": sum(header.tensor_bytes for header in headers),
        "dtypes": dict(sorted(kinds.items())),
    }


def _read_notes(header: Header) -> dict[str, Any]:
    notes = {key: header.metadata[key][:LONGEST_NOTE] for key in SHOWN_NOTES if key in header.metadata}
    return {"notes": notes} if notes else {}
