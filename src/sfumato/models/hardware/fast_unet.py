"""Run a UNet with the fast paths of a policy, on the same modules and weights.

Knows the attention and feed-forward layers of diffusers and of `sfumato.models.small` by their names; no checkpoint,
file or hardware. What is unusual (masks, norms inside attention, gradients, adapters wrapped around a layer) takes
the network's own path.
Start reading at `speed_up`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
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

# The class of the gated feed-forward layer, told by its name: this module must not wait for diffusers.
GATE = "GEGLU"
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
    own = next(iter(unet.attn_processors.values()))
    paths = FastPaths(unet, make_processor(policy.attention, own))
    if policy.packed and can_pack():
        paths.forwards = dict(_find_packed(unet))
    paths.attach()
    return paths


def make_processor(attention: str, own: Any) -> Any:
    """Make the attention code of a policy's attention name; `own`, the network's, is torch's fused kernel."""
    made = {"blocked": AttendHeads(own, attend_blocked, FEWEST_SCORES), "plain": AttendHeads(own, attend_plain, 0)}
    return made.get(attention, own)


def attend_plain(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
    """Attend by matmul and softmax, heads apart [B, H, N, D], joined [B, N, H * D]."""
    return (torch.softmax(query @ key.mT * scale, dim=-1) @ value).transpose(1, 2).flatten(2)


def _find_packed(network: nn.Module) -> Any:
    for name, module in network.named_modules():
        packed = PackedGate(module) if type(module).__name__ == GATE else pack_layer(module)
        if packed is not None:
            yield name, packed


class PackedGate:
    """GEGLU as two packed products, the GELU inside the second: no copy of the double width."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._weights = PackedWeights()

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Apply the layer to [..., in] -> [..., out].

        Source: Shazeer 2020, GLU Variants Improve Transformer, eq. 6 (GEGLU).
        """
        inner = self.layer.proj
        usual = type(inner) is nn.Linear and x.dtype == inner.weight.dtype
        if not usual or needs_gradient(x, inner.weight, inner.bias):
            return type(self.layer).forward(self.layer, x, *args, **kwargs)
        packed = self._weights.get((inner.weight, inner.bias), lambda: _pack_halves(inner))
        if packed is None:
            return type(self.layer).forward(self.layer, x, *args, **kwargs)
        value, gate, value_bias, gate_bias = packed
        return multiply_packed(x, value, value_bias).mul_(multiply_packed(x, gate, gate_bias, gelu=True))


def _pack_halves(inner: nn.Linear) -> tuple[Tensor, ...]:
    weights = [pack_matrix(half) for half in inner.weight.chunk(2)]
    return (*weights, *(half.detach().clone() for half in inner.bias.chunk(2)))


class AttendHeads:
    """Attention of a layer by `attend`, where it is the usual kind and large enough; else by the network's own code."""

    def __init__(self, own: Any, attend: Callable[..., Tensor], fewest_scores: int) -> None:
        self._own = own
        self._attend = attend
        self._fewest_scores = fewest_scores

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Attend from [B, N, C] to itself or to the text [B, L, W]."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        few = hidden_states.ndim == 3 and hidden_states.shape[1] * context.shape[1] < self._fewest_scores
        if attention_mask is not None or few or not _is_usual(attn, hidden_states):
            extra = {"attention_mask": attention_mask, "temb": temb}
            extra = {name: value for name, value in extra.items() if value is not None}
            return self._own(attn, hidden_states, encoder_hidden_states, **extra)
        query, key, value = (
            _split_heads(layer(side), attn.heads)
            for layer, side in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
        )
        if any(needs_gradient(side) for side in (query, key, value)):
            mixed = nn.functional.scaled_dot_product_attention(query, key, value, scale=attn.scale)
            joined = mixed.transpose(1, 2).flatten(2)
        else:
            joined = self._attend(query, key, value, scale=attn.scale)
        return attn.to_out[1](attn.to_out[0](joined))


def _is_usual(attn: Any, x: Tensor) -> bool:
    odd = (attn.group_norm, attn.spatial_norm, attn.norm_q, attn.norm_k, attn.norm_cross)
    plain = x.ndim == 3 and x.dtype in (torch.bfloat16, torch.float32)
    return plain and not any(odd) and not attn.residual_connection and attn.rescale_output_factor == 1.0


def _split_heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
