"""Tell from tensor names what a file of weights is for.

Knows names and shapes, no path. Start reading at `find_kind`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.models.upscaler.detect_shape import find_upscaler

if TYPE_CHECKING:
    from sfumato.models.files.header import Header


# The layer that reads the picture, under its original names and that of diffusers.
_CONTROL = (
    "control_model.input_hint_block.0.weight",
    "input_hint_block.0.weight",
    "controlnet_cond_embedding.conv_in.weight",
)


def find_kind(header: Header) -> str:
    """Tell a LoRA, embedding, autoencoder, control network or upscaler from a checkpoint by its tensor names."""
    names = header.tensors
    if any(name in names for name in _CONTROL):
        return "control network"
    if any(".lora_" in name or name.startswith(("lora_", "lycoris_")) or ".hada_" in name for name in names):
        return "lora"
    if len(names) <= 4 and any(name in ("emb_params", "clip_g", "clip_l", "string_to_param") for name in names):
        return "embedding"
    if len(names) == 1 and len(next(iter(names.values())).shape) <= 2:
        return "embedding"
    if any(name.startswith("encoder.") for name in names) and any(name.startswith("decoder.") for name in names):
        return "autoencoder"
    return "checkpoint" if find_upscaler(header) is None else "upscaler"
