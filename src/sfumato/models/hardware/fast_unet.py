"""Run a diffusers UNet with the fast paths of a policy, on the same modules and weights.

Knows diffusers' attention and feed-forward classes; no checkpoint, file or hardware. What is unusual
(masks, norms inside attention, gradients, adapters wrapped around a layer) takes diffusers' own path.
Start reading at `speed_up`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.activations import GEGLU
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor, nn

from sfumato.models.hardware.policy import Policy
from sfumato.models.hardware.prepacked import (
    PackedWeights,
    can_pack,
    multiply_packed,
    needs_gradient,
    pack_layer,
    pack_matrix,
)
from sfumato.nn.attention import attend_blocked

# Queries times keys below which torch's fused kernel is done before a block loop has started.
FEWEST_SCORES = 8192


@dataclass(eq=False, slots=True)
class FastPaths:
    """The replaced code of one UNet; `detach` puts the original back. Weights are never touched."""

    network: Any
    processor: Any
    forwards: dict[str, Any] = field(default_factory=dict)
    _earlier: dict[str, Any] = field(default_factory=dict)

    def attach(self) -> None:
        """Make the network use it."""
        self._earlier = self._earlier or dict(self.network.attn_processors)
        self.network.set_attn_processor(self.processor)
        for name, forward in self.forwards.items():
            self.network.get_submodule(name).forward = forward

    def detach(self) -> None:
        """Make the network use its own code again."""
        self.network.set_attn_processor(dict(self._earlier))
        for name in self.forwards:
            self.network.get_submodule(name).__dict__.pop("forward", None)


def speed_up(unet: Any, policy: Policy) -> FastPaths:
    """Give a UNet the attention and the packed layers of `policy`.

    Guarantees the same function up to rounding in `policy.unet_dtype`. TileEncoding costs memory once
    more for the packed weights, at the first call.
    """
    paths = FastPaths(unet, make_processor(policy.attention))
    if policy.packed and can_pack():
        paths.forwards = dict(_find_packed(unet))
    paths.attach()
    return paths


def make_processor(attention: str) -> Any:
    """Make the attention processor of a policy's attention name."""
    return {"plain": AttnProcessor, "sdpa": AttnProcessor2_0, "blocked": BlockedProcessor}[attention]()


def _find_packed(network: nn.Module) -> Any:
    for name, module in network.named_modules():
        packed = PackedGate(module) if type(module) is GEGLU else pack_layer(module)
        if packed is not None:
            yield name, packed


class PackedGate:
    """GEGLU as two packed products, the GELU inside the second: no copy of the double width."""

    def __init__(self, layer: GEGLU) -> None:
        self.layer = layer
        self._weights = PackedWeights()

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Apply the layer to [..., in] -> [..., out].

        Source: Shazeer 2020, GLU Variants Improve Transformer, eq. 6 (GEGLU).
        """
        inner = self.layer.proj
        usual = type(inner) is nn.Linear and x.dtype == inner.weight.dtype
        if not usual or needs_gradient(x, inner.weight, inner.bias):
            return GEGLU.forward(self.layer, x, *args, **kwargs)
        packed = self._weights.get((inner.weight, inner.bias), lambda: _pack_halves(inner))
        if packed is None:
            return GEGLU.forward(self.layer, x, *args, **kwargs)
        value, gate, value_bias, gate_bias = packed
        return multiply_packed(x, value, value_bias).mul_(multiply_packed(x, gate, gate_bias, gelu=True))


def _pack_halves(inner: nn.Linear) -> tuple[Tensor, ...]:
    weights = [pack_matrix(half) for half in inner.weight.chunk(2)]
    return (*weights, *(half.detach().clone() for half in inner.bias.chunk(2)))


class BlockedProcessor:
    """Attention of a diffusers `Attention` by `attend_blocked`, where it is the usual kind."""

    def __init__(self) -> None:
        self._other = AttnProcessor2_0()

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """Attend from [B, N, C] to itself or to the text [B, L, W]."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if attention_mask is not None or not _is_usual(attn, hidden_states, context):
            return self._other(attn, hidden_states, encoder_hidden_states, attention_mask, temb, *args, **kwargs)
        query, key, value = (
            _split_heads(layer(side), attn.heads)
            for layer, side in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
        )
        if any(needs_gradient(side) for side in (query, key, value)):
            mixed = nn.functional.scaled_dot_product_attention(query, key, value, scale=attn.scale)
            joined = mixed.transpose(1, 2).flatten(2)
        else:
            joined = attend_blocked(query, key, value, scale=attn.scale)
        return attn.to_out[1](attn.to_out[0](joined))


def _is_usual(attn: Any, x: Tensor, context: Tensor) -> bool:
    if x.ndim != 3 or x.dtype not in (torch.bfloat16, torch.float32):
        return False
    if x.shape[1] * context.shape[1] < FEWEST_SCORES:
        return False
    odd = (attn.group_norm, attn.spatial_norm, attn.norm_q, attn.norm_k, attn.norm_cross)
    return not any(odd) and not attn.residual_connection and attn.rescale_output_factor == 1.0


def _split_heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
