"""Gradient checkpointing: the blocks of a UNet keep their inputs alone and compute once more on the way back.

Knows the names under which UNets keep their blocks, diffusers' and ours alike; no loss. Start reading at
`CheckpointedBlocks`.

Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

# Lists of blocks in UNets, and of layers in text encoders.
BLOCKS = ("resnets", "transformer_blocks", "layers")


class CheckpointedBlocks:
    """Compute the blocks of some networks twice instead of keeping what is inside them, until `detach`.

    The numbers are the same to the bit on a CPU.
    """

    def __init__(self, *networks: Any) -> None:
        """Put it in force."""
        self._blocks = [block for network in networks for block in _find_blocks(network)]
        for block in self._blocks:
            block.forward = partial(_run, block.forward)

    def __len__(self) -> int:
        """Count the blocks."""
        return len(self._blocks)

    def detach(self) -> None:
        """Let the networks keep what they compute again."""
        for block in self._blocks:
            block.__dict__.pop("forward", None)


def _run(forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)
    # No layer draws random numbers: the networks are in evaluation mode.
    return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False, **named)


def _find_blocks(network: nn.Module) -> list[nn.Module]:
    found: list[nn.Module] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and name.rpartition(".")[2] in BLOCKS:
            found += list(module)
    return found
