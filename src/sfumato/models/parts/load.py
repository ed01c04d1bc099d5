"""Load the converted file of a part: its tensors and its notes, checked by the gate.

Knows the cache and the file; not what the tensors mean. Start reading at `load_part`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sfumato.core.errors import ModelError
from sfumato.models.files.gate import check_weights_file
from sfumato.models.files.read_weights import read_tensors
from sfumato.models.parts.catalogue import NOTES, advise_fetch, check_part

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class LoadedPart:
    """Hold the tensors of a part by name, and the notes of its converter."""

    tensors: dict[str, Tensor]
    notes: dict[str, Any]


def load_part(name: str, dtype: torch.dtype = torch.float32) -> LoadedPart:
    """Load a part that was fetched.

    Raises:
        RequestError: no part has this name.
        ModelError: it was not fetched yet, or was converted by another version.
        UnsafeFileError: the file breaks the rules of the gate.
    """
    header = check_weights_file(check_part(name))
    try:
        notes = json.loads(header.metadata.get(NOTES, "{}"))
    except ValueError as error:
        raise ModelError("the notes of a part cannot be read", got=name, do=advise_fetch([name])) from error
    return LoadedPart(dict(read_tensors(header, dtype)), notes)
