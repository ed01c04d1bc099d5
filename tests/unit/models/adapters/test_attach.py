"""Adapters on opened checkpoints: what a user attaches changes the picture, and detaching brings it back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from checkpoints import build_empty, make_configs, write_single_file
from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.models.adapters.layer_names import LayerNames
from sfumato.models.adapters.unet_names import find_old_names
from sfumato.models.hardware.fast_unet import speed_up
from sfumato.models.load import load_model

PROMPT = "a (grumpy:1.2) cat BREAK in the rain"


def predict(model: Any) -> Tensor:
    """Predict once from fixed noise."""
    torch.manual_seed(0)
    conditioning = model.encode_prompt(parse_prompt(PROMPT).at_step(0, 1), size=PixelSize(64, 64))
    return model.denoise(torch.randn(1, 4, 8, 8), 3.0, conditioning)


def make_lora(model: Any, path: Path) -> Path:
    """Write a file that touches attention in the UNet and every text encoder."""
    torch.manual_seed(1)
    stems = {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}
    modules = {"unet": model.unet, **dict(zip(list(stems)[1:], model.text_encoders, strict=False))}
    tensors: dict[str, Tensor] = {}
    for component, module in modules.items():
        for name, layer in module.named_modules():
            if name.endswith(("attn2.to_k", "self_attn.v_proj")):
                full = name if component == "unet" else f"text_model.{name.removeprefix('text_model.')}"
                stem = stems[component] + full.replace(".", "_")
                tensors[stem + ".lora_down.weight"] = torch.randn(2, layer.in_features)
                tensors[stem + ".lora_up.weight"] = torch.randn(layer.out_features, 2)
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_adapters_come_and_go_on_an_opened_checkpoint(family: str, tmp_path: Path) -> None:
    model = load_model(write_single_file(tmp_path / "model.safetensors", family), device="cpu", dtype="fp32")
    before = predict(model)
    rows = {"clip_l": torch.randn(2, model.text.towers[0].width)}
    if family == "sdxl":
        rows["clip_g"] = torch.randn(2, model.text.towers[1].width)
    save_file(rows, tmp_path / "grumpy.safetensors")
    lora = model.attach_lora(make_lora(model, tmp_path / "style.safetensors"), 0.8)
    styled = predict(model)
    embedding = model.attach_embedding(tmp_path / "grumpy.safetensors")
    both = predict(model)
    assert not torch.equal(before, styled)
    assert not torch.equal(styled, both)
    embedding.detach()
    assert torch.equal(predict(model), styled)
    lora.detach()
    assert torch.equal(predict(model), before)


def test_packed_weights_follow_an_adapter(tmp_path: Path) -> None:
    model = load_model(write_single_file(tmp_path / "model.safetensors", "sd15"), device="cpu", dtype="bf16")
    speed_up(model.unet, replace(model.policy, packed=True))
    before = predict(model)
    with torch.inference_mode():
        lora = model.attach_lora(make_lora(model, tmp_path / "style.safetensors"), 0.8, text_weight=0.0)
    assert not torch.equal(predict(model), before)
    with torch.inference_mode():
        lora.detach()
    assert torch.equal(predict(model), before)


def list_linear(module: nn.Module, mark: str) -> list[str]:
    """List the layers kohya trains by default: all linear ones inside transformer blocks and their projections."""
    return [
        name
        for name, layer in module.named_modules()
        if mark in name and (isinstance(layer, nn.Linear) or getattr(layer, "kernel_size", 0) == (1, 1))
    ]


@pytest.mark.parametrize(
    ("family", "layers", "known"),
    [
        (
            "sd15",
            264,
            [
                "lora_unet_down_blocks_2_attentions_1_transformer_blocks_0_ff_net_2",
                "lora_unet_up_blocks_3_attentions_2_proj_in",
                "lora_te_text_model_encoder_layers_11_mlp_fc2",
            ],
        ),
        (
            "sdxl",
            722 + 264,
            [
                "lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q",
                "lora_unet_input_blocks_8_1_transformer_blocks_9_ff_net_0_proj",
                "lora_unet_middle_block_1_transformer_blocks_9_attn2_to_out_0",
                "lora_unet_output_blocks_5_1_proj_out",
                "lora_te1_text_model_encoder_layers_11_self_attn_q_proj",
                "lora_te2_text_model_encoder_layers_31_mlp_fc2",
            ],
        ),
    ],
)
def test_names_of_published_files_are_known_at_true_size(family: str, layers: int, known: list[str]) -> None:
    configs = make_configs(family, tiny=False)
    parts = [part for part in ("unet", "text_encoder", "text_encoder_2") if part in configs]
    with torch.device("meta"):
        components = {part: build_empty(part, configs[part]) for part in parts}
    names = LayerNames(components)
    places = {names.find(name) for name in known}
    assert None not in places
    assert len(places) == len(known)
    old = {path: name for name, path in find_old_names(components["unet"]).items()}
    found = {
        names.find("lora_unet_" + (old[path] if family == "sdxl" else path).replace(".", "_"))
        for path in list_linear(components["unet"], "attentions")
    }
    for number, part in enumerate(parts[1:], 1):
        for path in list_linear(components[part], "encoder.layers"):
            full = f"text_model.{path.removeprefix('text_model.')}".replace(".", "_")
            found.add(names.find(f"lora_te{number}_{full}"))
    assert None not in found
    assert len(found) == layers
