"""Open an adapter file that has passed the gate.

Knows the gate and the safetensors reader; nothing of what the tensors mean. Start reading at
`open_tensors`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from sfumato.core.errors import ModelError
from sfumato.models.adapters.alpha import LoraAlphas, parse_alphas
from sfumato.models.files.gate import check_weights_file
from sfumato.models.files.gate_json import read_json

# Where diffusers (0.34 and later) keeps peft's settings in the header of a LoRA file.
DIFFUSERS_SETTINGS = "lora_adapter_metadata"
PEFT_SETTINGS_FILE = "adapter_config.json"
LARGEST_SETTINGS_BYTES = 2**20


@dataclass(frozen=True, eq=False)
class TensorFile:
    """The tensors of a checked file, on the host in the file's number format, and its header text."""

    path: Path
    tensors: Mapping[str, Tensor]
    notes: Mapping[str, str]


def open_tensors(path: Path) -> TensorFile:
    """Check a file and read all of its tensors.

    Raises: UnsafeFileError when the gate refuses it; ModelError when it is not there or unreadable.
    """
    header = check_weights_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            # Copied: the reader's tensors are a view of the file, which may change while the adapter is attached.
            tensors = {name: file.get_tensor(name).clone() for name in header.tensors}
    except (OSError, SafetensorError) as error:
        raise ModelError("the adapter file cannot be read", got=error, do="Get it again") from error
    header.check_unchanged()
    return TensorFile(path, tensors, header.metadata)


def read_alphas(file: TensorFile) -> LoraAlphas | None:
    """Read the alpha that diffusers and peft keep outside the tensors; None where there is none.

    Raises: ModelError when peft's own layout comes without its settings: the scale would be a guess.
    """
    text = file.notes.get(DIFFUSERS_SETTINGS)
    if text is not None:
        return parse_alphas(_as_settings(_parse_json(text)))
    if not any(key.startswith("base_model.model.") for key in file.tensors):
        return None
    beside = file.path.with_name(PEFT_SETTINGS_FILE)
    if not beside.is_file():
        raise ModelError(
            "a LoRA in peft's layout needs its settings to know its scale",
            got=file.path.name,
            do=f"Put {PEFT_SETTINGS_FILE} beside it",
        )
    return parse_alphas(_as_settings(read_json(beside, LARGEST_SETTINGS_BYTES)))


def _parse_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError("the adapter's settings are not JSON", got=error, do="Save the adapter again") from error


def _as_settings(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ModelError("the adapter's settings are not a table", got=type(value), do="Save the adapter again")
    return {str(key): each for key, each in value.items()}
