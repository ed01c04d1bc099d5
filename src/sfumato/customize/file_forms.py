"""The names and notes under which other programs look for what a concept learned: kohya's, ComfyUI's and diffusers'.

Knows names of keys and texts of headers; opens and writes no file. Start reading at `FORMS`.

Sources: the readers of A1111's web UI, of ComfyUI, of kohya's sd-scripts and of diffusers; ModelSpec 1.0.1.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sfumato.core.errors import RequestError, StorageError
from sfumato.core.version import __version__

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sfumato.models.contract import ModelContract

Form = Literal["a1111", "comfyui", "diffusers"]
_UNET = "lora_unet_"
# What stands in front of a layer's name in our own names and in kohya's files: one text encoder has no number.
_TEXT, _TEXT_2 = "text_encoder.", "text_encoder_2."
_KOHYA_TEXTS = {"lora_te_": _TEXT, "lora_te1_": _TEXT, "lora_te2_": _TEXT_2}
# OFT's key, and an alpha so large that no reader bounds the rotation: A1111 takes it times the width, ComfyUI as it is.
OFT_ROLE, OFT_ALPHA = "oft_blocks", 1000.0
# The keys of an embedding for two text encoders: A1111's, ComfyUI's, kohya's.
TWO_VECTORS = ("clip_l", "clip_g")
# What A1111 and kohya call the families, so that a LoRA is filed under the right one.
_KOHYA_FAMILIES = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0", "mini": "sd_v1"}
_SPEC_FAMILIES = {
    "sd1": "stable-diffusion-v1",
    "sd2": "stable-diffusion-v2-512",
    "sdxl": "stable-diffusion-xl-v1-base",
    "mini": "sfumato-mini",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileForm:
    """Say what a program calls the two files of a concept; {} stands for the trigger.

    `vectors_key` is the key of the vectors. A1111 and ComfyUI call an embedding by its file, diffusers by its key.
    `model` is where a whole model belongs.
    """

    embedding: str
    lora: str
    vectors_key: str
    model: str
    diffusers_keys: bool = False


FORMS: dict[Form, FileForm] = {
    # kohya's own key; A1111 takes the only tensor of a file, whatever its key.
    "a1111": FileForm(
        embedding="embeddings/{}.safetensors",
        lora="models/Lora/{}_lora.safetensors",
        vectors_key="emb_params",
        model="models/Stable-diffusion/{}.safetensors",
    ),
    # The name of SD 1.x's text encoder in ComfyUI, which otherwise takes the first tensor.
    "comfyui": FileForm(
        embedding="models/embeddings/{}.safetensors",
        lora="models/loras/{}_lora.safetensors",
        vectors_key="clip_l",
        model="models/checkpoints/{}.safetensors",
    ),
    "diffusers": FileForm(
        embedding="learned_embeds.safetensors",
        lora="pytorch_lora_weights.safetensors",
        # diffusers refuses a token that the vocabulary has, and CLIP's has "bo": the brackets are its own habit.
        vectors_key="<{}>",
        model="{}",
        diffusers_keys=True,
    ),
}


def find_form(name: str) -> FileForm:
    """Return a form by name.

    Raises:
        RequestError: there is no such form.
    """
    if name not in FORMS:
        raise RequestError("unknown `form` of files", got=name, do=f"Use {', '.join(FORMS)}.")
    return FORMS[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedBuild:
    """Hold what the header of a file tells about a build.

    `alpha` over `rank` is the factor by which readers multiply the LoRA.
    """

    name: str
    trigger: str
    noun: str
    description: str
    pictures: int
    base: str
    base_sha256: str
    rung: str
    rank: int
    alpha: float
    steps: int
    seed: int


def name_vectors_keys(vectors: Sequence[Tensor], key: str) -> dict[str, Tensor]:
    """Return the vectors of each text encoder under the keys of a file; one encoder's under `key`."""
    keys = (key,) if len(vectors) == 1 else TWO_VECTORS
    return dict(zip(keys, vectors, strict=True))


def list_vectors(tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """Return the vectors of a build's own file, in the order of the text encoders."""
    return tuple(tensors[key] for key in TWO_VECTORS) if len(tensors) > 1 else tuple(tensors.values())


def name_kohya(factors: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Return factors "LAYER.down" and "LAYER.up" under the keys of kohya's files, with an alpha for each layer.

    Layers of text encoders begin with "text_encoder." or "text_encoder_2.", as they do in `read_kohya`.
    """
    import torch

    first = "lora_te1_" if any(name.startswith(_TEXT_2) for name in factors) else "lora_te_"
    named: dict[str, Tensor] = {}
    for name, factor in factors.items():
        layer, _, role = name.rpartition(".")
        if layer.startswith((_TEXT, _TEXT_2)):
            key = (first if layer.startswith(_TEXT) else "lora_te2_") + _name_text_layer(layer).replace(".", "_")
        else:
            key = _UNET + layer.replace(".", "_")
        named[f"{key}.lora_{role}.weight"] = factor
        named[f"{key}.alpha"] = torch.tensor(float(alpha))
    return named


def read_kohya(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], float]:
    """Return the factors "LAYER.down" and "LAYER.up" of a file in kohya's form, dots in the layers, and its alpha.

    Raises:
        StorageError: a key is of another kind.
    """
    factors: dict[str, Tensor] = {}
    alpha = 0.0
    for key, value in tensors.items():
        stem, _, rest = key.partition(".")
        role = {"lora_down.weight": "down", "lora_up.weight": "up", "alpha": "alpha"}.get(rest)
        layer = _read_layer(stem)
        if role is None or not layer:
            raise StorageError("the concept's LoRA holds a key of another kind", got=key, do="Train it again.")
        if role == "alpha":
            alpha = float(value)
        else:
            factors[f"{layer}.{role}"] = value
    return factors, alpha


def name_oft(blocks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return blocks "LAYER.oft_blocks" under the keys that A1111 and ComfyUI read, with an alpha that bounds nothing."""
    import torch

    named: dict[str, Tensor] = {}
    for name, value in blocks.items():
        key = _UNET + name.removesuffix(f".{OFT_ROLE}").replace(".", "_")
        named[f"{key}.{OFT_ROLE}"] = value
        named[f"{key}.alpha"] = torch.tensor(OFT_ALPHA)
    return named


def read_oft(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the blocks "LAYER.oft_blocks" of a file that `name_oft` named, dots in the layers."""
    ends = f".{OFT_ROLE}"
    return {f"{_read_layer(key.removesuffix(ends))}{ends}": t for key, t in tensors.items() if key.endswith(ends)}


def _read_layer(stem: str) -> str:
    """Return the layer of a key in kohya's form; empty where it is of another kind."""
    if stem.startswith(_UNET):
        return _write_dots(stem.removeprefix(_UNET))
    for start, ours in _KOHYA_TEXTS.items():
        if stem.startswith(start):
            number, _, rest = stem.removeprefix(start).removeprefix("text_model_encoder_layers_").partition("_")
            return f"{ours}text_model.encoder.layers.{number}.{rest.replace('self_attn_', 'self_attn.')}"
    return ""


def _name_text_layer(layer: str) -> str:
    """Return the name of a text encoder's layer as files say it, with "text_model" before it."""
    bare = layer.removeprefix(_TEXT_2).removeprefix(_TEXT)
    return bare if bare.startswith("text_model.") else f"text_model.{bare}"


def _write_dots(flat: str) -> str:
    """Return the dotted name of an attention layer: numbers, blocks and attentions are levels of their own."""
    dotted = re.sub(r"(\.\d+)_", r"\1.", re.sub(r"_(\d+)(?=_|$)", r".\1", flat))
    return dotted.replace("mid_block_", "mid_block.").replace("attn1_", "attn1.").replace("attn2_", "attn2.")


def name_diffusers(factors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return factors "LAYER.down" and "LAYER.up" under peft's keys, as diffusers writes them."""
    roles = {"down": "lora_A", "up": "lora_B"}
    named: dict[str, Tensor] = {}
    for name, factor in factors.items():
        layer, _, role = name.rpartition(".")
        owner, bare = _split_owner(layer)
        named[f"{owner}.{bare}.{roles[role]}.weight"] = factor
    return named


def _split_owner(layer: str) -> tuple[str, str]:
    """Return the network of a layer and its name in there."""
    for owner in (_TEXT, _TEXT_2):
        if layer.startswith(owner):
            return owner.removesuffix("."), _name_text_layer(layer)
    return "unet", layer


def write_embedding_notes(noted: NotedBuild, contract: ModelContract) -> dict[str, str]:
    """Return the header texts of an embedding."""
    return _write_spec(noted, contract, "textual-inversion")


def write_lora_notes(noted: NotedBuild, contract: ModelContract) -> dict[str, str]:
    """Return the header texts of a LoRA in kohya's form."""
    family = contract.family
    return _write_spec(noted, contract, "lora") | {
        # Readers of A1111's kind file a LoRA without this as SD 1, whatever else it says.
        "ss_base_model_version": _KOHYA_FAMILIES.get(family, family),
        "ss_v2": str(family == "sd2"),
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(noted.rank),
        "ss_network_alpha": f"{noted.alpha:g}",
        "ss_network_args": "{}",
        "ss_output_name": f"{noted.trigger}_lora",
        "ss_sd_model_name": Path(noted.base).name,
        "ss_new_sd_model_hash": noted.base_sha256,
        "ss_resolution": f"({contract.native.width}, {contract.native.height})",
        "ss_num_train_images": str(noted.pictures),
        # The trigger alone: captions may hold what nobody meant to publish.
        "ss_tag_frequency": json.dumps({noted.name: {noted.trigger: noted.pictures}}),
        "ss_clip_skip": "None",
        "ss_steps": str(noted.steps),
        "ss_seed": str(noted.seed),
    }


def write_oft_notes(noted: NotedBuild, contract: ModelContract) -> dict[str, str]:
    """Return the header texts of an OFT in kohya's form."""
    changed = {
        "ss_network_module": "networks.oft",
        "ss_network_alpha": f"{OFT_ALPHA:g}",
        "ss_output_name": f"{noted.trigger}_oft",
    }
    return write_lora_notes(noted, contract) | changed


def write_checkpoint_notes(noted: NotedBuild, contract: ModelContract) -> dict[str, str]:
    """Return the header texts of a whole model."""
    notes = _write_spec(noted, contract, "")
    return notes | {"modelspec.architecture": notes["modelspec.architecture"].removesuffix("/")}


def write_diffusers_notes(noted: NotedBuild, contract: ModelContract, layers: Iterable[str]) -> dict[str, str]:
    """Return the header texts of a LoRA in diffusers' form: peft's settings, without which alpha would be the rank."""
    targets: dict[str, list[str]] = {}
    for layer in sorted(layers):
        owner, bare = _split_owner(layer)
        targets.setdefault(owner, []).append(bare)
    usual = {
        "peft_type": "LORA",
        "r": noted.rank,
        "lora_alpha": noted.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
    }
    settings = {
        f"{owner}.{name}": value
        for owner, names in targets.items()
        for name, value in {**usual, "target_modules": names}.items()
    }
    return _write_spec(noted, contract, "lora") | {
        "format": "pt",
        "lora_adapter_metadata": json.dumps(settings, sort_keys=True),
    }


def write_digests(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, str]:
    """Return the digest of the bytes of tensors as they will stand in a file, under both names in use."""
    import torch

    # safetensors puts wide number types first and then sorts by name; here all tensors have one type.
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].detach().cpu().to(dtype).contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return {"sshs_model_hash": digest.hexdigest(), "modelspec.hash_sha256": f"0x{digest.hexdigest()}"}


def _write_spec(noted: NotedBuild, contract: ModelContract, kind: str) -> dict[str, str]:
    """Return what ModelSpec asks for; no date, so that the same training gives the same bytes."""
    family = contract.family
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"{_SPEC_FAMILIES.get(family, family)}/{kind}",
        "modelspec.implementation": f"sfumato {__version__}",
        "modelspec.title": noted.name,
        "modelspec.resolution": f"{contract.native.width}x{contract.native.height}",
        "modelspec.prediction_type": "v" if contract.prediction == "v_prediction" else contract.prediction,
        "modelspec.trigger_phrase": noted.trigger,
        "modelspec.description": noted.description or f"{noted.trigger}, a {noted.noun}",
        "concept.base_sha256": noted.base_sha256,
        "concept.rung": noted.rung,
    }
