"""The old-layout name of every module of a diffusers UNet.

Adapter files for SDXL usually name the layers as the original code did (`input_blocks.4.1...`).
This module derives those names from the UNet at hand, block by block, so it holds for any depth.
It knows no files. Start reading at `find_old_names`.

Source: the module order of the original latent-diffusion UNet (Rombach et al. 2022, released code).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

_OUTER = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def find_old_names(unet: nn.Module) -> dict[str, str]:
    """Find the old name of each module path of a diffusers UNet: {old: path}."""
    return dict(_outer(unet)) | dict(_down(unet)) | dict(_middle(unet)) | dict(_up(unet))


def _outer(unet: Any) -> Iterator[tuple[str, str]]:
    paths = {path for path, _ in unet.named_modules()}
    yield from ((old, path) for path, old in _OUTER.items() if path in paths)


def _down(unet: Any) -> Iterator[tuple[str, str]]:
    number = 1
    for index, block in enumerate(unet.down_blocks):
        at = f"down_blocks.{index}"
        for layer in range(len(block.resnets)):
            yield from _layer(block, at, layer, f"input_blocks.{number}")
            number += 1
        if getattr(block, "downsamplers", None):
            yield f"input_blocks.{number}.0.op", f"{at}.downsamplers.0.conv"
            number += 1


def _middle(unet: Any) -> Iterator[tuple[str, str]]:
    block = unet.mid_block
    if block is None:
        return
    yield from _resnet(block.resnets[0], "mid_block.resnets.0", "middle_block.0")
    yield from _inside(block.attentions[0], "mid_block.attentions.0", "middle_block.1")
    yield from _resnet(block.resnets[1], "mid_block.resnets.1", "middle_block.2")


def _up(unet: Any) -> Iterator[tuple[str, str]]:
    number = 0
    for index, block in enumerate(unet.up_blocks):
        at = f"up_blocks.{index}"
        last = len(block.resnets) - 1
        for layer in range(len(block.resnets)):
            yield from _layer(block, at, layer, f"output_blocks.{number}")
            if layer == last and getattr(block, "upsamplers", None):
                slot = 2 if getattr(block, "attentions", None) else 1
                yield f"output_blocks.{number}.{slot}.conv", f"{at}.upsamplers.0.conv"
            number += 1


def _layer(block: Any, at: str, layer: int, old: str) -> Iterator[tuple[str, str]]:
    yield from _resnet(block.resnets[layer], f"{at}.resnets.{layer}", f"{old}.0")
    if getattr(block, "attentions", None):
        yield from _inside(block.attentions[layer], f"{at}.attentions.{layer}", f"{old}.1")


def _resnet(resnet: Any, at: str, old: str) -> Iterator[tuple[str, str]]:
    for new, name in _RESNET.items():
        if getattr(resnet, new, None) is not None:
            yield f"{old}.{name}", f"{at}.{new}"


def _inside(module: nn.Module, at: str, old: str) -> Iterator[tuple[str, str]]:
    """Modules of an attention block carry the same names in both layouts."""
    yield from ((f"{old}.{path}", f"{at}.{path}") for path, _ in module.named_modules() if path)
