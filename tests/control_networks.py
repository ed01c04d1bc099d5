"""Control networks of random weights for the tiny checkpoints of `checkpoints`, in every form that files have.

Start reading at `write_control_folder`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file

from checkpoints import make_configs, make_value
from sfumato.models.files.rename_keys import UnetShape, find_name, invert, name_control


def make_control(family: str = "sd15", *, seed: int = 0) -> ControlNetModel:
    """Make a control network for the tiny UNet of a family; no layer is zero, so that it says something."""
    network = ControlNetModel.from_unet(UNet2DConditionModel.from_config(make_configs(family, tiny=True)["unet"]))
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.copy_(make_value(f"control{seed}", name, tuple(weight.shape)))
    return network.eval()


def write_control_folder(folder: Path, family: str = "sd15", *, seed: int = 0) -> Path:
    """Write a control network as a diffusers folder."""
    make_control(family, seed=seed).save_pretrained(folder)
    return folder


def list_original_names(network: Any, prefix: str = "control_model.") -> dict[str, torch.Tensor]:
    """Return the weights of a network by the names of the original code."""
    config = network.config
    depths = tuple(int("Cross" in kind) for kind in config["down_block_types"])
    shape = UnetShape(config["layers_per_block"], depths, config["addition_embed_type"] == "text_time")
    pairs = invert(name_control(shape, len(config["conditioning_embedding_out_channels"])))
    found = {find_name(name, pairs): tensor for name, tensor in network.state_dict().items()}
    assert None not in found
    return {f"{prefix}{name}": tensor for name, tensor in found.items()}


def write_control_file(path: Path, family: str = "sd15", *, form: str = "original", seed: int = 0) -> Path:
    """Write a control network as one file: original names, the same without their prefix (bare), or those of diffusers."""
    network = make_control(family, seed=seed)
    if form == "diffusers":
        tensors = dict(network.state_dict())
    else:
        tensors = list_original_names(network, "control_model." if form == "original" else "")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path
