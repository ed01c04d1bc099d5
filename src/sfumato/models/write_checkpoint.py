"""Write a whole checkpoint with networks that were changed: as a diffusers folder, or as one file of the original layout.

Reads the base through the gate and changes none of its files. Start reading at `write_folder` and `write_single_file`.
Weights are written in fp16, one tensor at a time.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sfumato.core.errors import ModelError
from sfumato.core.files import make_storage_error, write_atomic
from sfumato.models.describe import describe_checkpoint
from sfumato.models.files import detect_layout
from sfumato.models.files.rename_keys import UnetShape, find_name, invert, name_open_clip, name_unet, name_vae
from sfumato.models.files.write_weights import StreamedTensor, stream_weights
from sfumato.models.load import read_weights

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.models.describe import CheckpointDescription

    State = Mapping[str, Tensor]

_TOKENIZERS = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}
# The prediction type is in the notes of a file, for its names do not tell it.
_PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v"}
_SPEC = {
    "sd1": "stable-diffusion-v1",
    "sd2": "stable-diffusion-v2",
    "sdxl": "stable-diffusion-xl-v1-base",
}


def write_folder(ref: str | Path, target: Path, changed: Mapping[str, State]) -> list[Path]:
    """Write the base `ref` as a diffusers folder with changed networks, and return its files.

    `changed` maps unet, text_encoder or text_encoder_2 to weights under diffusers' names. What is in `target` is
    replaced.

    Raises:
        UnsafeFileError, ModelError: the base is no checkpoint that can be opened, or has other weights.
        StorageError: the disk refuses.
    """
    said = describe_checkpoint(ref)
    try:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        if said.layout is None:
            _copy_folder(said, target, changed)
        else:
            _unfold(said, target, changed)
    except OSError as error:
        raise make_storage_error(target, error) from error
    return sorted(path for path in target.rglob("*") if path.is_file())


def write_single_file(
    ref: str | Path, target: Path, changed: Mapping[str, State], notes: Mapping[str, str] | None = None
) -> None:
    """Write the base `ref` as one file of the original layout with changed networks, as A1111 and ComfyUI read it.

    Raises: as `write_folder`; also ModelError for `mini`, whose autoencoder and vocabulary that layout has no names for.
    """
    said = describe_checkpoint(ref)
    family = said.contract.family
    if family == "mini" or said.vae.kind == "tiny":
        do = "Export it as a diffusers folder."
        raise ModelError("this base has no single-file form", got=said.contract.name, do=do)
    states = {part: _read_state(said, part, changed) for part in ("unet", "vae", *said.texts)}
    rows = [
        *_rename(states["unet"], detect_layout.UNET, invert(name_unet(_unet_shape(said)))),
        *_rename_vae(states["vae"], said.vae.config),
    ]
    for part in said.texts:
        config = said.configs[part]
        if family == "sd2":
            rows += _rename_open_clip(states[part], config, detect_layout.SD2_TEXT, unread_layer=True)
        elif part == "text_encoder_2":
            rows += _rename_open_clip(states[part], config, detect_layout.SDXL_TEXT_2)
        else:
            prefix = detect_layout.SD1_TEXT if family == "sd1" else detect_layout.SDXL_TEXT
            rows += [_row(f"{prefix}text_model.{name}", tensor) for name, tensor in states[part].items()]
    usual = {
        "modelspec.architecture": _SPEC[family],
        "modelspec.prediction_type": _PREDICTIONS.get(said.contract.prediction, said.contract.prediction),
    }
    stream_weights(target, rows, metadata=usual | dict(notes or {}))


def _copy_folder(said: CheckpointDescription, target: Path, changed: Mapping[str, State]) -> None:
    root = said.checked.path
    shutil.copy2(root / "model_index.json", target)
    parts = (*said.checked.components, "tokenizer", "tokenizer_2")
    for part in dict.fromkeys(name for name in parts if (root / name).is_dir()):
        (target / part).mkdir()
        for file in sorted((root / part).iterdir()):
            is_weights = file.suffix in (".safetensors", ".bin", ".msgpack") or ".index." in file.name
            if file.is_file() and not (part in changed and is_weights):
                shutil.copy2(file, target / part)
        if part in changed:
            # The names of the base's own file: text encoders have two spellings.
            names = [name for header in said.checked.headers[part] for name in header.tensors]
            _write_part(target / part, part, _read_state(said, part, changed), names)


def _unfold(said: CheckpointDescription, target: Path, changed: Mapping[str, State]) -> None:
    """Write a single file as a folder, with the configurations and tokenizers of its family."""
    from sfumato.models.text.tokenizers import load_clip_tokenizer

    layout = said.layout
    assert layout is not None, "folders are copied"
    packaged = detect_layout.load_family_configs(detect_layout.packaged_name(layout.family, said.contract.prediction))
    _write_json(target / "model_index.json", packaged["index"])
    scheduler = said.configs["scheduler"] | {"prediction_type": said.contract.prediction}
    _write_json(target / "scheduler" / "scheduler_config.json", scheduler)
    for part in ("unet", "vae", *said.texts):
        config = said.vae.config if part == "vae" else said.configs[part]
        _write_json(target / part / "config.json", config)
        state = _read_state(said, part, changed)
        names = [f"text_model.{name}" if _is_text(part, name) else name for name in state]
        _write_part(target / part, part, state, names)
    for part in said.texts:
        words = load_clip_tokenizer(open_clip=part == "text_encoder_2" or layout.family == "sd2")
        words.save_pretrained(target / _TOKENIZERS[part])
        words.backend_tokenizer.model.save(str(target / _TOKENIZERS[part]))


def _is_text(part: str, name: str) -> bool:
    return part.startswith("text_encoder") and not name.startswith("text_projection")


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(values, indent=2) + "\n"
    write_atomic(path, lambda stream: stream.write(text.encode()))


def _write_part(folder: Path, part: str, state: State, names: Iterable[str]) -> None:
    stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
    rows = [_row(name, state[short]) for name in names if (short := name.removeprefix("text_model.")) in state]
    if len(rows) != len(state):
        raise ModelError(
            "the changed weights are not those of the base", got=f"{part}: {len(state)}, {len(rows)} known"
        )
    # transformers and diffusers ask for this note.
    stream_weights(folder / f"{stem}.safetensors", rows, metadata={"format": "pt"})


def _read_state(said: CheckpointDescription, part: str, changed: Mapping[str, State]) -> dict[str, Tensor]:
    """Return the weights of a part under diffusers' names, changed or the base's own; text without its prefix."""
    if part in changed:
        return {name.removeprefix("text_model."): tensor for name, tensor in changed[part].items()}
    if part == "vae":
        return said.vae.read(torch.float16)
    return read_weights(said, part, torch.float16)


def _row(name: str, tensor: Tensor) -> StreamedTensor:
    return StreamedTensor(name, tuple(tensor.shape), lambda: tensor)


def _unet_shape(said: CheckpointDescription) -> UnetShape:
    config = said.configs["unet"]
    depths = tuple(int("Cross" in kind) for kind in config["down_block_types"])
    return UnetShape(config["layers_per_block"], depths, said.contract.family == "sdxl")


def _rename(state: State, prefix: str, pairs: dict[str, str]) -> list[StreamedTensor]:
    return [_row(prefix + _find_old(name, pairs), tensor) for name, tensor in state.items()]


def _find_old(name: str, pairs: dict[str, str]) -> str:
    old = find_name(name, pairs)
    if old is None:
        raise ModelError("a weight has no name in the single-file layout", got=name, do="Export a diffusers folder.")
    return old


def _rename_vae(state: State, config: dict[str, Any]) -> list[StreamedTensor]:
    pairs = invert(name_vae(len(config["block_out_channels"]), config["layers_per_block"]))
    rows: list[StreamedTensor] = []
    for name, tensor in state.items():
        old = _find_old(name, pairs)
        # The original stores the projections of its attention as 1x1 convolutions.
        flat = ".attn_1." in old and tensor.ndim == 2
        rows.append(_row(detect_layout.VAE + old, tensor[:, :, None, None] if flat else tensor))
    return rows


def _rename_open_clip(
    state: State, config: dict[str, Any], prefix: str, *, unread_layer: bool = False
) -> list[StreamedTensor]:
    """Name an OpenCLIP tower: joined q, k and v, and the projection turned round.

    Files of SD 2.x hold one layer more than is read, and a projection: a copy of the last layer and ones stand there.
    """
    layers = config["num_hidden_layers"]
    state = dict(state)
    if unread_layer:
        last = f"encoder.layers.{layers - 1}."
        state |= {
            name.replace(last, f"encoder.layers.{layers}."): t for name, t in state.items() if name.startswith(last)
        }
        state.setdefault("text_projection.weight", torch.eye(config["hidden_size"]))
    pairs = invert(name_open_clip(layers + unread_layer))
    rows: list[StreamedTensor] = []
    for name, tensor in state.items():
        part = re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)", name)
        if name == "text_projection.weight":
            rows.append(_row(f"{prefix}text_projection", tensor.T))
        elif part is None:
            rows.append(_row(prefix + _find_old(name, pairs), tensor))
        elif part[2] == "q":
            stem = f"encoder.layers.{part[1]}.self_attn"
            joined = torch.cat([state[f"{stem}.{letter}_proj.{part[3]}"] for letter in "qkv"])
            rows.append(_row(f"{prefix}transformer.resblocks.{part[1]}.attn.in_proj_{part[3]}", joined))
    return rows
