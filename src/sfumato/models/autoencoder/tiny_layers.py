"""A tiny autoencoder of diffusers as a sequence of layers that can run tile by tile.

Knows the builds of `AutoencoderTiny`; holds the networks by reference, computes nothing. Start reading
at `list_tiny_layers`.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from sfumato.core.errors import ModelError
from sfumato.nn.tiled import Conv, Flowing, Fork, Join, Local, Upsample

# Told by their names, diffusers' and ours: a plan asks for sizes of this package and must wait for neither.
_BLOCKS = frozenset({"AutoencoderTinyBlock", "TinyBlock"})


def list_tiny_decoder_layers(vae: Any) -> list[Flowing]:
    """Return the layers from unscaled latents to pixels in [-1, 1].

    Raises:
        ModelError: a layer is of a kind that these layers cannot say.
    """
    channels = int(vae.decoder.layers[0].in_channels)
    soften = Local(compute=lambda x: (x / 3).tanh() * 3, radius=0, channels=channels)
    spread = Local(compute=lambda x: x.mul(2).sub(1), radius=0, channels=3)
    return [soften, *_list_layers(vae.decoder, channels), spread]


def list_tiny_encoder_layers(vae: Any) -> list[Flowing]:
    """Return the layers from pixels in [-1, 1] to unscaled latents.

    Raises: as `list_tiny_decoder_layers`.
    """
    return [Local(compute=lambda x: x.add(1).div(2), radius=0, channels=3), *_list_layers(vae.encoder, 3)]


def _list_layers(part: Any, channels: int) -> list[Flowing]:
    layers: list[Flowing] = []
    for layer in part.layers:
        if isinstance(layer, nn.Conv2d):
            layers.append(_conv(layer))
            channels = layer.out_channels
        elif isinstance(layer, nn.Upsample):
            _check(layer.mode == "nearest" and layer.scale_factor == 2, layer)
            layers.append(Upsample())
        elif type(layer).__name__ in _BLOCKS:
            layers += _list_block(layer, channels)
        else:
            layers.append(_bend(layer, channels))
    return layers


def _list_block(block: Any, channels: int) -> list[Flowing]:
    """Return the layers of a block, whose input is added to what its convolutions give."""
    _check(isinstance(block.skip, nn.Identity), block)
    inside = [_conv(one) if isinstance(one, nn.Conv2d) else _bend(one, channels) for one in block.conv]
    return [Fork(), *inside, Join(), _bend(block.fuse, channels)]


def _bend(layer: nn.Module, channels: int) -> Local:
    """Return an activation as a layer."""
    _check(not any(True for _ in layer.parameters()), layer)
    return Local(compute=layer, radius=0, channels=channels)


def _conv(layer: nn.Conv2d) -> Conv:
    _check(_is_plain(layer), layer)
    padding = int(layer.padding[0])
    return Conv(layer.weight, layer.bias, layer.stride[0], padding, padding)


def _is_plain(layer: nn.Conv2d) -> bool:
    sides = (layer.kernel_size, layer.stride, layer.dilation, layer.padding)
    square = all(not isinstance(pair, str) and len({*pair}) == 1 for pair in sides)
    return square and layer.groups == 1 and layer.padding_mode == "zeros" and layer.dilation == (1, 1)


def _check(plain: bool, what: object) -> None:
    if not plain:
        raise ModelError(
            "this tiny autoencoder is built in a way that cannot run in tiles",
            got=type(what).__name__,
            do="Use another --vae.",
        )
