"""Tell a checkpoint's contract without reading its weights, so that planning costs nothing.

Knows headers and configurations; what only the network itself can tell (which of epsilon and v an
SD 2.x file predicts) stays a guess here and does not change a plan. Start reading at `load_contract`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.models.gate import check_checkpoint
from sfumato.models.gate_configs import check_component
from sfumato.models.layouts import find_layout, load_configs, load_family_configs, packaged_name
from sfumato.models.load import TEXT_PARTS, _find_family, _write_contract, find_checkpoint
from sfumato.models.tokenizers import load_folder_tokenizer
from sfumato.models.vae_file import VaeSource, open_vae

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract
    from sfumato.models.gate import CheckedCheckpoint


def load_contract(ref: str | Path, *, vae: str | Path | None = None) -> ModelContract:
    """Return the contract of `mini`, a diffusers folder or a single file, from its headers alone.

    Raises:
        UnsafeFileError: the gate refuses a file.
        ModelError: it is no checkpoint that can be opened.
    """
    checked = check_checkpoint(find_checkpoint(ref))
    swap = None if vae is None else open_vae(vae)
    return _describe_folder(checked, swap) if checked.layout == "folder" else _describe_file(checked, swap)


def _describe_folder(checked: CheckedCheckpoint, swap: VaeSource | None) -> ModelContract:
    configs = checked.configs
    texts = [part for part in TEXT_PARTS if part in configs]
    tokenizers = tuple(
        load_folder_tokenizer(checked.path / part.replace("text_encoder", "tokenizer")) for part in texts
    )
    own = VaeSource({"_class_name": configs["index"]["vae"][1]} | configs["vae"], checked.headers["vae"], prefix=None)
    return _write_contract(checked, configs, family=_find_family(configs, tokenizers), vae=swap or own)


def _describe_file(checked: CheckedCheckpoint, swap: VaeSource | None) -> ModelContract:
    (header,) = checked.headers["file"]
    layout = find_layout(header)
    configs = load_configs(layout, {name: entry.shape for name, entry in header.tensors.items()})
    for part, config in configs.items():
        check_component(checked.path, part, config)
    index = load_family_configs(packaged_name(layout.family, None))["index"]
    own = VaeSource(configs.get("vae", {}), (header,), prefix=layout.parts.get("vae"))
    return _write_contract(checked, configs | {"index": index}, family=layout.family, vae=swap or own)
