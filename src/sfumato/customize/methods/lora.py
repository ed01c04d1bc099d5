"""A LoRA in training: small matrices beside attention layers, switched on and off without touching a weight.

Knows one UNet or text encoder by the names of its layers, diffusers' and ours alike; no file. Start reading at `LoraLayers`; for
pictures the file is merged by `models.adapters`.

Source: Hu et al. 2021, LoRA, section 4.1.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sfumato.core.errors import ModelError, RequestError
from sfumato.customize.settings import MOST_RANK

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
TEXT_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


class HookedLayers:
    """Trained tensors beside the layers of a network, in force by hooks until `detach`.

    A subclass registers its hooks in `_hooks`, and in them does nothing while `_active` is false.
    """

    def __init__(self) -> None:
        """Begin with no layer."""
        self.factors: dict[str, Tensor] = {}
        self._active = True
        self._hooks: list[Any] = []

    def detach(self) -> None:
        """Take them off the network again."""
        for hook in self._hooks:
            hook.remove()

    @contextmanager
    def bypass(self) -> Generator[None]:
        """Let the network compute as the base does, for a while."""
        self._active = False
        try:
            yield
        finally:
            self._active = True


class LoraLayers(HookedLayers):
    """Factors `down` [rank, in] and `up` [out, rank] for each attention projection of a network, until `detach`.

    `factors` maps "LAYER.down" and "LAYER.up" to tensors with gradients. An `up` of zeros changes nothing, so training
    starts at the base.
    """

    def __init__(self, network: Any, rank: int, *, seed: int) -> None:
        """Put them in force.

        Raises:
            RequestError: the rank is out of range.
            ModelError: the network has no attention layer under the usual names.
        """
        if not 1 <= rank <= MOST_RANK:
            raise RequestError("the rank of a LoRA is out of range", got=rank, do=f"Say 1 to {MOST_RANK}.")
        layers = {name: module for name, module in network.named_modules() if _is_projection(name, module)}
        if not layers:
            raise ModelError("the network has no attention layers that a LoRA could change")
        super().__init__()
        self.rank = rank
        noise = torch.Generator().manual_seed(seed)
        for name, layer in layers.items():
            down = torch.randn((rank, layer.in_features), generator=noise) * layer.in_features**-0.5
            up = torch.zeros((layer.out_features, rank))
            device = layer.weight.device
            self.factors[f"{name}.down"] = down.to(device).requires_grad_()
            self.factors[f"{name}.up"] = up.to(device).requires_grad_()
            self._hooks.append(layer.register_forward_hook(self._make_hook(name)))

    def _make_hook(self, name: str) -> Any:
        down, up = self.factors[f"{name}.down"], self.factors[f"{name}.up"]

        def add(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
            del module
            if not self._active:
                return out
            return out + F.linear(F.linear(inputs[0], down.to(out.dtype)), up.to(out.dtype))

        return add


def _is_projection(name: str, module: nn.Module) -> bool:
    if not isinstance(module, nn.Linear):
        return False
    of_text = ".self_attn." in name and name.endswith(TEXT_PROJECTIONS)
    return of_text or (".attn" in name and name.endswith(PROJECTIONS))
