"""The names of tensors: from the original (LDM) single-file layout to diffusers', and back.

Knows names only, no tensor and no file. Both directions are generated from one description of the
network, so what is written can be read again. Start reading at `name_unet`.

Source: the module trees of the CompVis and Stability-AI code (input_blocks, output_blocks) and of
diffusers (down_blocks, up_blocks), described here from their state dicts.
"""

from __future__ import annotations

from dataclasses import dataclass

_RESNET = (
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
)
_VAE_ATTENTION = (("norm", "group_norm"), ("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0"))
_OPEN_CLIP_LAYER = (
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("attn.out_proj", "self_attn.out_proj"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
)

Pairs = dict[str, str]


@dataclass(frozen=True)
class UnetShape:
    """Describe a UNet as its names need it: transformer layers per level (0 = no attention)."""

    resnets: int
    depths: tuple[int, ...]
    class_label: bool = False


def name_unet(shape: UnetShape) -> Pairs:
    """Map module names of an LDM UNet (below `model.diffusion_model.`) to diffusers'.

    The names are prefixes: what follows (`.weight`, the inside of a transformer) is the same in both.
    """
    pairs = {
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        "input_blocks.0.0": "conv_in",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
    }
    if shape.class_label:
        pairs |= {"label_emb.0.0": "add_embedding.linear_1", "label_emb.0.2": "add_embedding.linear_2"}
    pairs |= _resnet("middle_block.0", "mid_block.resnets.0") | _resnet("middle_block.2", "mid_block.resnets.1")
    pairs["middle_block.1"] = "mid_block.attentions.0"
    return pairs | _name_down(shape) | _name_up(shape)


def name_control(shape: UnetShape, hints: int) -> Pairs:
    """Map module names of an original control network (below `control_model.`) to diffusers'.

    It is the first half of a UNet, with layers that read a picture (`hints` counts their widths) and layers of one
    pixel behind every block.
    """
    read, pairs = "controlnet_cond_embedding", name_unet(shape)
    blocks = 2 * (hints - 1)
    pairs |= {"input_hint_block.0": f"{read}.conv_in", f"input_hint_block.{2 * blocks + 2}": f"{read}.conv_out"}
    pairs |= {f"input_hint_block.{2 * block + 2}": f"{read}.blocks.{block}" for block in range(blocks)}
    count = len(shape.depths) * (shape.resnets + 1)
    pairs |= {f"zero_convs.{block}.0": f"controlnet_down_blocks.{block}" for block in range(count)}
    return pairs | {"middle_block_out.0": "controlnet_mid_block"}


def _name_down(shape: UnetShape) -> Pairs:
    pairs: Pairs = {}
    block = 1
    for level, depth in enumerate(shape.depths):
        for index in range(shape.resnets):
            pairs |= _resnet(f"input_blocks.{block}.0", f"down_blocks.{level}.resnets.{index}")
            if depth:
                pairs[f"input_blocks.{block}.1"] = f"down_blocks.{level}.attentions.{index}"
            block += 1
        if level < len(shape.depths) - 1:
            pairs[f"input_blocks.{block}.0.op"] = f"down_blocks.{level}.downsamplers.0.conv"
            block += 1
    return pairs


def _name_up(shape: UnetShape) -> Pairs:
    pairs: Pairs = {}
    block = 0
    for level, depth in enumerate(reversed(shape.depths)):
        for index in range(shape.resnets + 1):
            pairs |= _resnet(f"output_blocks.{block}.0", f"up_blocks.{level}.resnets.{index}")
            if depth:
                pairs[f"output_blocks.{block}.1"] = f"up_blocks.{level}.attentions.{index}"
            if index == shape.resnets and level < len(shape.depths) - 1:
                pairs[f"output_blocks.{block}.{2 if depth else 1}.conv"] = f"up_blocks.{level}.upsamplers.0.conv"
            block += 1
    return pairs


def _resnet(old: str, new: str) -> Pairs:
    return {f"{old}.{a}": f"{new}.{b}" for a, b in _RESNET}


def name_vae(levels: int, resnets: int) -> Pairs:
    """Map module names of an LDM autoencoder (below `first_stage_model.`) to diffusers'."""
    pairs = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    for side in ("encoder", "decoder"):
        pairs |= {f"{side}.conv_in": f"{side}.conv_in", f"{side}.conv_out": f"{side}.conv_out"}
        pairs[f"{side}.norm_out"] = f"{side}.conv_norm_out"
        for number in (1, 2):
            pairs |= _vae_resnet(f"{side}.mid.block_{number}", f"{side}.mid_block.resnets.{number - 1}")
        old, new = f"{side}.mid.attn_1", f"{side}.mid_block.attentions.0"
        pairs |= {f"{old}.{a}": f"{new}.{b}" for a, b in _VAE_ATTENTION}
    for level in range(levels):
        # The original counts the decoder's levels from the finest, diffusers in order of use.
        up = levels - 1 - level
        for index in range(resnets):
            pairs |= _vae_resnet(f"encoder.down.{level}.block.{index}", f"encoder.down_blocks.{level}.resnets.{index}")
        for index in range(resnets + 1):
            pairs |= _vae_resnet(f"decoder.up.{up}.block.{index}", f"decoder.up_blocks.{level}.resnets.{index}")
        if level < levels - 1:
            pairs[f"encoder.down.{level}.downsample.conv"] = f"encoder.down_blocks.{level}.downsamplers.0.conv"
            pairs[f"decoder.up.{up}.upsample.conv"] = f"decoder.up_blocks.{level}.upsamplers.0.conv"
    return pairs


def _vae_resnet(old: str, new: str) -> Pairs:
    same = {f"{old}.{name}": f"{new}.{name}" for name in ("norm1", "conv1", "norm2", "conv2")}
    return same | {f"{old}.nin_shortcut": f"{new}.conv_shortcut"}


def name_open_clip(layers: int) -> Pairs:
    """Map module names of an OpenCLIP text tower to transformers', without the joined q, k, v.

    `attn.in_proj_weight` holds all three and `text_projection` is transposed: the tensors
    themselves are cut and turned in `sfumato.models.files.detect_layout`.
    """
    pairs = {
        "token_embedding": "embeddings.token_embedding",
        "positional_embedding": "embeddings.position_embedding.weight",
        "ln_final": "final_layer_norm",
    }
    for layer in range(layers):
        old, new = f"transformer.resblocks.{layer}", f"encoder.layers.{layer}"
        pairs |= {f"{old}.{a}": f"{new}.{b}" for a, b in _OPEN_CLIP_LAYER}
    return pairs


def find_name(name: str, pairs: Pairs) -> str | None:
    """Translate a tensor name by its longest known prefix, or return None."""
    head = name
    while head:
        if head in pairs:
            return pairs[head] + name[len(head) :]
        head = head.rpartition(".")[0]
    return None


def invert(pairs: Pairs) -> Pairs:
    """Swap the two sides."""
    swapped = {new: old for old, new in pairs.items()}
    assert len(swapped) == len(pairs), "two names meet in one"
    return swapped
