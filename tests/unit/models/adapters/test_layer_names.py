"""Layer names of every spelling lead to the right module."""

from __future__ import annotations

from typing import Any

import pytest
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

from sfumato.models.adapters.layer_names import LayerNames
from sfumato.models.adapters.unet_names import find_old_names
from sfumato.models.adapters.weight_backup import Place


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_old_names_are_those_of_the_diffusers_converter(tiny_parts: Any, family: str) -> None:
    unet = tiny_parts(family).unet
    old = find_old_names(unet)
    by_path = {path: name for name, path in old.items()}
    keys: dict[str, str] = {}
    for key, _ in unet.named_parameters():
        path, _, parameter = key.rpartition(".")
        keys[f"model.diffusion_model.{by_path[path]}.{parameter}"] = key
    converted = convert_ldm_unet_checkpoint({name: name for name in keys}, dict(unet.config))
    assert {name: key for key, name in converted.items()} == keys


@pytest.mark.parametrize(
    ("family", "name", "place"),
    [
        ("sd1", "lora_unet_mid_block_attentions_0_proj_in", ("unet", "mid_block.attentions.0.proj_in")),
        ("sdxl", "lora_unet_middle_block_1_proj_in", ("unet", "mid_block.attentions.0.proj_in")),
        ("sdxl", "lora_unet_input_blocks_0_0", ("unet", "conv_in")),
        ("sd1", "unet.mid_block.attentions.0.proj_in", ("unet", "mid_block.attentions.0.proj_in")),
        ("sd1", "mid_block.attentions.0.proj_in", ("unet", "mid_block.attentions.0.proj_in")),
        ("sd1", "base_model.model.conv_in", ("unet", "conv_in")),
        (
            "sd1",
            "unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out",
            ("unet", "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"),
        ),
        ("sd1", "lora_unet_time_embedding_linear_1", ("unet", "time_embedding.linear_1")),
        ("sd1", "lora_unet_nothing", None),
        ("sd1", "unet.nothing", None),
        ("sd1", "lora_te2_text_model_encoder_layers_0_mlp_fc1", None),
    ],
)
def test_find(tiny_parts: Any, family: str, name: str, place: tuple[str, str] | None) -> None:
    found = LayerNames(tiny_parts(family).components).find(name)
    assert found == (None if place is None else Place(*place))


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("lora_te_text_model_encoder_layers_0_self_attn_q_proj", "text_encoder"),
        ("lora_te1_text_model_encoder_layers_0_self_attn_q_proj", "text_encoder"),
        ("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", "text_encoder_2"),
        ("text_encoder.text_model.encoder.layers.0.self_attn.q_proj", "text_encoder"),
        ("text_encoder.text_model.encoder.layers.0.self_attn.to_q", "text_encoder"),
        ("text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj", "text_encoder_2"),
        ("text_encoder.encoder.layers.0.self_attn.q_proj", "text_encoder"),
        ("text_encoder_2.encoder.layers.0.self_attn.q_proj", "text_encoder_2"),
    ],
)
def test_text_layers_are_found_whatever_the_level_of_text_model(tiny_parts: Any, name: str, component: str) -> None:
    parts = tiny_parts("sdxl")
    place = LayerNames(parts.components).find(name)
    assert place is not None
    assert place.component == component
    assert place.module.endswith("encoder.layers.0.self_attn.q_proj")
    assert parts.components[component].get_submodule(place.module) is not None


def test_the_projection_of_the_second_encoder_has_a_name(tiny_parts: Any) -> None:
    names = LayerNames(tiny_parts("sdxl").components)
    assert names.find("lora_te2_text_projection") == Place("text_encoder_2", "text_projection")
