"""A diffusers folder in the true shape of a family, with random weights: all that memory, time and resuming depend on.

Nothing is downloaded; the pictures mean nothing. Every tensor is made, written and let go before the next one.
Start reading at `write_random_folder`.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from typing import TYPE_CHECKING, Any, cast

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sfumato.core.files import write_atomic
from sfumato.models.files.detect_layout import load_family_configs
from sfumato.models.text.tokenizers import load_clip_tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

    from torch import Tensor

    Configs = dict[str, dict[str, Any]]

SHAPES = ("sd15", "sdxl")
# Half precision on disk whatever is computed in: every reader converts.
_DTYPE, _DTYPE_NAME = torch.bfloat16, "BF16"
_PLACES = {"index": "model_index.json", "scheduler": "scheduler/scheduler_config.json"}
# A little under 1: hundreds of layers that add to one stream must not overflow half precision.
_GAIN = 0.7
_BIAS, _NORM_SPREAD, _EMBEDDING = 0.02, 0.05, 0.02


def write_random_folder(root: Path, family: str, changes: Mapping[str, dict[str, Any]] | None = None) -> Path:
    """Write the folder of a family with random bf16 weights, always the same; a finished one is left alone.

    `changes` replaces entries of the configurations by part, for smaller ones.

    Raises:
        StorageError: the disk refuses.
    """
    index = root / _PLACES["index"]
    if index.is_file():
        return root
    configs = load_family_configs(family)
    for part, config in configs.items():
        configs[part] = config | (changes or {}).get(part, {})
        if part not in _PLACES:
            stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
            _write_weights(root / part / f"{stem}.safetensors", part, configs[part])
            _write_json(root / part / "config.json", configs[part])
    for part in ("tokenizer", "tokenizer_2"):
        if part in configs["index"]:
            load_clip_tokenizer(open_clip=part == "tokenizer_2").save_pretrained(root / part)
    _write_json(root / _PLACES["scheduler"], configs["scheduler"])
    # Last: it says that the folder is whole.
    _write_json(index, configs["index"])
    return root


def count_random_bytes(family: str) -> int:
    """Return the bytes that the weights of a family take in its folder."""
    configs = load_family_configs(family)
    shapes = (_list_shapes(part, config) for part, config in configs.items() if part not in _PLACES)
    return sum(math.prod(shape) * _DTYPE.itemsize for part in shapes for shape in part.values())


def make_random_tensor(part: str, name: str, shape: tuple[int, ...]) -> Tensor:
    """Make the values of one tensor from its name alone, float32.

    Norms are near 1, biases small, and matrices and filters keep most of the variance of what they are given, so
    that predictions are finite and of moderate size.
    """
    seed = int.from_bytes(hashlib.sha256(f"{part}/{name}".encode()).digest()[:8], "little") >> 1
    noise = torch.empty(shape).normal_(generator=torch.Generator().manual_seed(seed))
    if name.endswith("bias"):
        return noise * _BIAS
    if len(shape) == 1:
        return 1.0 + noise * _NORM_SPREAD
    return noise * (_EMBEDDING if "embedding" in name else _GAIN / math.sqrt(math.prod(shape[1:])))


def _list_shapes(part: str, config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a network without building its weights."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in _build(part, config).state_dict().items()}


def _build(part: str, config: dict[str, Any]) -> torch.nn.Module:
    if part in ("unet", "vae"):
        kind = UNet2DConditionModel if part == "unet" else AutoencoderKL
        return cast("torch.nn.Module", kind.from_config(config))
    fields = {key: value for key, value in config.items() if key not in ("architectures", "model_type")}
    kind = CLIPTextModelWithProjection if part == "text_encoder_2" else CLIPTextModel
    return kind(CLIPTextConfig(**fields))


def _write_weights(path: Path, part: str, config: dict[str, Any]) -> None:
    """Write a safetensors file: eight bytes of length, a header of JSON, the tensors one behind the other."""
    shapes, header, at = _list_shapes(part, config), dict[str, Any](), 0
    for name, shape in shapes.items():
        end = at + math.prod(shape) * _DTYPE.itemsize
        header[name] = {"dtype": _DTYPE_NAME, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    raw = json.dumps(header).encode()

    def write(stream: BinaryIO) -> None:
        stream.write(struct.pack("<Q", len(raw)) + raw)
        for name, shape in shapes.items():
            values = make_random_tensor(part, name, shape).to(_DTYPE)
            stream.write(values.view(torch.uint8).numpy().tobytes())

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, write)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda stream: stream.write(json.dumps(value, indent=1).encode()))
