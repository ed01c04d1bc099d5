"""A slow copy of the weights: the one that is measured, looked at and shipped.

It knows parameters by name only. Start reading at `Average.update`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


class Average:
    """Keep an exponential moving average of a network's parameters. A leaf."""

    def __init__(self, networks: nn.Module, decay: float) -> None:
        """Start from the weights as they are."""
        self.decay = decay
        self.weights = {n: p.detach().clone() for n, p in networks.named_parameters()}

    @torch.no_grad()
    def update(self, networks: nn.Module, step: int) -> None:
        """Move towards the present weights; early steps move faster, so that the random start fades."""
        decay = min(self.decay, (1 + step) / (10 + step))
        live = [p.detach() for _, p in networks.named_parameters()]
        torch._foreach_lerp_(list(self.weights.values()), live, 1 - decay)

    @torch.no_grad()
    def copy_to(self, networks: nn.Module) -> None:
        """Write the average into `networks`."""
        for name, parameter in networks.named_parameters():
            parameter.copy_(self.weights[name])

    @torch.no_grad()
    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Take back a saved average."""
        for name, tensor in self.weights.items():
            tensor.copy_(weights[name])
