"""Checkpoints of random weights, in both layouts, at true or tiny size, for tests.

Every tensor's values depend on its diffusers name alone, so a folder and a single file of one
family hold the same numbers, and nothing larger than one tensor is ever in memory.
Start reading at `write_folder` and `write_single_file`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sfumato.models.files import detect_layout
from sfumato.models.files.rename_keys import UnetShape, find_name, invert, name_open_clip, name_unet, name_vae
from sfumato.models.text.tokenizers import load_clip_tokenizer

FAMILIES = ("sd15", "sd21-base", "sd21", "sdxl")
DTYPES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
}
Configs = dict[str, dict[str, Any]]
Value = Callable[[], Tensor]

_TINY_TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 1}
_TINY: dict[str, Configs] = {
    "sd15": {
        "unet": {"block_out_channels": [32, 64, 64, 64], "cross_attention_dim": 64, "sample_size": 8},
        "text_encoder": _TINY_TEXT | {"projection_dim": 64},
    },
    "sd21": {
        "unet": {
            "block_out_channels": [64, 64, 128, 128],
            "attention_head_dim": [1, 1, 2, 2],
            "cross_attention_dim": 64,
            "sample_size": 8,
        },
        "text_encoder": _TINY_TEXT,
    },
    "sdxl": {
        "unet": {
            "block_out_channels": [64, 64, 128],
            "attention_head_dim": [1, 1, 2],
            "transformer_layers_per_block": [1, 1, 2],
            "cross_attention_dim": 128,
            "projection_class_embeddings_input_dim": 6 * 256 + 64,
            "sample_size": 8,
        },
        "text_encoder": _TINY_TEXT | {"projection_dim": 64},
        "text_encoder_2": _TINY_TEXT | {"projection_dim": 64},
    },
}
_TINY["sd21-base"] = _TINY["sd21"]
_TINY_VAE = {"block_out_channels": [32, 32, 64, 64], "layers_per_block": 1}


def make_configs(family: str, *, tiny: bool) -> Configs:
    """Return the configurations of a family, at true or tiny size."""
    configs = detect_layout.load_family_configs(family)
    if tiny:
        for part, changes in (_TINY[family] | {"vae": _TINY_VAE}).items():
            configs[part] = configs[part] | changes
    return configs


def make_value(part: str, name: str, shape: tuple[int, ...]) -> Tensor:
    """Make the values of one tensor: norms near 1, small biases, matrices that keep the variance."""
    seed = int.from_bytes(hashlib.sha256(f"{part}/{name}".encode()).digest()[:8], "little") >> 1
    noise = torch.empty(shape).normal_(generator=torch.Generator().manual_seed(seed))
    if name.endswith("bias") or len(shape) == 0:
        return noise * 0.02
    if len(shape) == 1:
        return 1 + noise * 0.05
    return noise * (0.02 if "embedding" in name else 0.7 / math.sqrt(math.prod(shape[1:])))


def list_shapes(part: str, config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a network, without building its weights."""
    return dict(_list_shapes(part, json.dumps(config)))


@functools.cache
def _list_shapes(part: str, config: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in build_empty(part, json.loads(config)).state_dict().items()}


def build_empty(part: str, config: dict[str, Any]) -> Any:
    """Build a network of a configuration with diffusers' or transformers' own constructor."""
    if part == "unet":
        return UNet2DConditionModel.from_config(config)
    if part == "vae":
        kind = AutoencoderTiny if config["_class_name"] == "AutoencoderTiny" else AutoencoderKL
        return kind.from_config(config)
    kind = CLIPTextModelWithProjection if part == "text_encoder_2" else CLIPTextModel
    fields = {key: value for key, value in config.items() if key not in ("architectures", "model_type")}
    return kind(CLIPTextConfig(**fields))


def write_tensors(path: Path, tensors: Iterable[tuple[str, tuple[int, ...], Value]], dtype: torch.dtype) -> None:
    """Write a safetensors file, making one tensor at a time."""
    rows = list(tensors)
    header: dict[str, Any] = {}
    at = 0
    for name, shape, _ in rows:
        end = at + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [at, end]}
        at = end
    raw = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for _, shape, value in rows:
            tensor = value().to(dtype).contiguous()
            assert tuple(tensor.shape) == shape
            file.write(
                memoryview(tensor.view(torch.uint8).numpy())
                if tensor.ndim
                else tensor.reshape(1).view(torch.uint8).numpy().tobytes()
            )


def write_folder(root: Path, family: str, *, tiny: bool = True, dtype: torch.dtype = torch.float32) -> Path:
    """Write a diffusers folder of random weights."""
    configs = make_configs(family, tiny=tiny)
    for part, config in configs.items():
        names = {"index": "model_index.json", "scheduler": "scheduler/scheduler_config.json"}
        target = root / names.get(part, f"{part}/config.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(config))
        if part not in names:
            stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
            write_tensors(root / part / f"{stem}.safetensors", _list_new(part, config), dtype)
    for part in ("tokenizer", "tokenizer_2"):
        if part in configs["index"]:
            open_clip = part == "tokenizer_2" or family.startswith("sd21")
            tokenizer = load_clip_tokenizer(open_clip=open_clip)
            tokenizer.save_pretrained(root / part)
            # Published folders have these as well; they are read in half the time of tokenizer.json.
            tokenizer.backend_tokenizer.model.save(str(root / part))
    return root


def write_single_file(path: Path, family: str, *, tiny: bool = True, dtype: torch.dtype = torch.float32) -> Path:
    """Write the same weights as `write_folder` into one file of the original layout."""
    write_tensors(path, list_original(make_configs(family, tiny=tiny), family), dtype)
    return path


def list_original(configs: Configs, family: str) -> list[tuple[str, tuple[int, ...], Value]]:
    """List every tensor of a single file: original name, shape and how to make it."""
    depths = tuple(int("Cross" in kind) for kind in configs["unet"]["down_block_types"])
    shape = UnetShape(configs["unet"]["layers_per_block"], depths, family == "sdxl")
    vae = configs["vae"]
    rows = [
        *_rename("unet", configs["unet"], detect_layout.UNET, invert(name_unet(shape))),
        *_rename(
            "vae", vae, detect_layout.VAE, invert(name_vae(len(vae["block_out_channels"]), vae["layers_per_block"]))
        ),
    ]
    if family == "sd15":
        return rows + _list_clip(configs["text_encoder"], detect_layout.SD1_TEXT)
    if family == "sdxl":
        first = _list_clip(configs["text_encoder"], detect_layout.SDXL_TEXT)
        return rows + first + _list_open_clip("text_encoder_2", configs["text_encoder_2"], detect_layout.SDXL_TEXT_2)
    return rows + _list_open_clip("text_encoder", configs["text_encoder"], detect_layout.SD2_TEXT, unread_layers=1)


def _list_new(part: str, config: dict[str, Any]) -> list[tuple[str, tuple[int, ...], Value]]:
    return [(name, shape, _maker(part, name, shape)) for name, shape in list_shapes(part, config).items()]


def _maker(part: str, name: str, shape: tuple[int, ...]) -> Value:
    # The text towers of transformers before and after 5 differ in a prefix; values must not.
    return lambda: make_value(part, name.removeprefix("text_model."), shape)


def _rename(part: str, config: dict[str, Any], prefix: str, pairs: dict[str, str]) -> list[Any]:
    rows = []
    for name, shape, value in _list_new(part, config):
        old = find_name(name, pairs)
        assert old is not None, name
        if part == "vae" and ".attn_1." in old and len(shape) == 2:
            rows.append((prefix + old, (*shape, 1, 1), lambda value=value: value()[:, :, None, None]))
        else:
            rows.append((prefix + old, shape, value))
    return rows


def _list_clip(config: dict[str, Any], prefix: str) -> list[Any]:
    rows = _list_new("text_encoder", config)
    return [(f"{prefix}text_model.{name.removeprefix('text_model.')}", shape, value) for name, shape, value in rows]


def _list_open_clip(part: str, config: dict[str, Any], prefix: str, *, unread_layers: int = 0) -> list[Any]:
    layers, width = config["num_hidden_layers"], config["hidden_size"]
    config = config | {"num_hidden_layers": layers + unread_layers}
    pairs = invert(name_open_clip(layers + unread_layers))
    rows = []
    for full, shape, value in _list_new(part, config):
        name = full.removeprefix("text_model.")
        if name == "text_projection.weight":
            rows.append((f"{prefix}text_projection", shape[::-1], lambda value=value: value().T))
        elif "_proj." in name and "out_proj" not in name:
            if "q_proj" in name:
                rows.append(_join_qkv(part, name, shape, prefix))
        else:
            old = find_name(name, pairs)
            assert old is not None, name
            rows.append((prefix + old, shape, value))
    if part == "text_encoder":
        rows.append((f"{prefix}text_projection", (width, width), lambda: torch.eye(width)))
    return [*rows, (f"{prefix}logit_scale", (), lambda: torch.tensor(4.6))]


def _join_qkv(part: str, name: str, shape: tuple[int, ...], prefix: str) -> Any:
    layer, leaf = name.split(".")[2], name.rpartition(".")[2]
    names = [name.replace("q_proj", f"{letter}_proj") for letter in "qkv"]
    old = f"{prefix}transformer.resblocks.{layer}.attn.in_proj_{leaf}"
    return (old, (3 * shape[0], *shape[1:]), lambda: torch.cat([make_value(part, n, shape) for n in names]))
