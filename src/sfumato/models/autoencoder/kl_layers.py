"""A KL autoencoder of diffusers as a sequence of layers that can run tile by tile.

The only place that knows both diffusers' blocks and `nn.streamed`; holds the weights by reference,
computes nothing. Start reading at `list_decoder_layers`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sfumato.core.errors import ModelError
from sfumato.nn.tiled import Attend, Conv, Fork, Join, Layer, Linear, Norm, Silu, Upsample


def list_decoder_layers(vae: Any) -> list[Layer]:
    """Return the layers from unscaled latents to pixels.

    Raises:
        ModelError: a block is of a kind that these layers cannot say.
    """
    part = vae.decoder
    layers = [] if vae.post_quant_conv is None else [_conv(vae.post_quant_conv)]
    layers += [_conv(part.conv_in), *_list_middle(part.mid_block)]
    for block in part.up_blocks:
        layers += _list_residuals(block)
        for up in block.upsamplers or ():
            _check(up.use_conv and up.norm is None and up.interpolate, up)
            layers += [Upsample(), _conv(up.conv)]
    return layers + _list_end(part)


def list_encoder_layers(vae: Any) -> list[Layer]:
    """Return the layers from pixels to mean and log variance, one after the other in the channels.

    Raises: as `list_decoder_layers`.
    """
    part = vae.encoder
    layers: list[Layer] = [_conv(part.conv_in)]
    for block in part.down_blocks:
        layers += _list_residuals(block)
        for down in block.downsamplers or ():
            _check(down.use_conv and down.norm is None and down.padding == 0, down)
            # Diffusers pads one row and column by hand, on the far sides only.
            layers.append(_conv(down.conv, after=1))
    layers += _list_middle(part.mid_block) + _list_end(part)
    return layers if vae.quant_conv is None else [*layers, _conv(vae.quant_conv)]


def _list_middle(block: Any) -> list[Layer]:
    first, *rest = block.resnets
    layers = _list_residual(first)
    for attention, residual in zip(block.attentions, rest, strict=True):
        if attention is not None:
            layers += _list_attention(attention)
        layers += _list_residual(residual)
    return layers


def _list_residuals(block: Any) -> list[Layer]:
    _check(not getattr(block, "attentions", None), block)
    return [layer for residual in block.resnets for layer in _list_residual(residual)]


def _list_residual(block: Any) -> list[Layer]:
    plain = block.upsample is None and block.downsample is None and block.time_emb_proj is None
    _check(plain and block.output_scale_factor == 1 and isinstance(block.nonlinearity, nn.SiLU), block)
    shortcut = None if block.conv_shortcut is None else _conv(block.conv_shortcut)
    return [
        Fork(shortcut),
        _norm(block.norm1),
        Silu(),
        _conv(block.conv1),
        _norm(block.norm2),
        Silu(),
        _conv(block.conv2),
        Join(),
    ]


def _list_attention(block: Any) -> list[Layer]:
    plain = block.spatial_norm is None and block.norm_q is None and block.norm_k is None
    _check(plain and block.heads == 1 and block.residual_connection and block.rescale_output_factor == 1, block)
    attend = Attend(_linear(block.to_q), _linear(block.to_k), _linear(block.to_v), _linear(block.to_out[0]))
    return [Fork(), _norm(block.group_norm), attend, Join()]


def _list_end(part: Any) -> list[Layer]:
    _check(isinstance(part.conv_act, nn.SiLU), part.conv_act)
    return [_norm(part.conv_norm_out), Silu(), _conv(part.conv_out)]


def _conv(layer: Any, *, after: int = 0) -> Conv:
    plain = isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.padding_mode == "zeros"
    square = plain and all(len({*pair}) == 1 for pair in (layer.kernel_size, layer.stride, layer.padding))
    _check(square and layer.dilation == (1, 1), layer)
    padding = int(layer.padding[0])
    return Conv(layer.weight, layer.bias, int(layer.stride[0]), padding, padding + after)


def _norm(layer: Any) -> Norm:
    _check(isinstance(layer, nn.GroupNorm) and layer.affine, layer)
    return Norm(layer.num_groups, layer.eps, layer.weight, layer.bias)


def _linear(layer: Any) -> Linear:
    _check(isinstance(layer, nn.Linear), layer)
    return Linear(layer.weight, torch.zeros_like(layer.weight[:, 0]) if layer.bias is None else layer.bias)


def _check(plain: bool, what: object) -> None:
    if not plain:
        raise ModelError(
            "this KL autoencoder is built in a way that cannot run in tiles",
            got=type(what).__name__,
            do="Make the picture smaller, free memory, or use another `vae`.",
        )
