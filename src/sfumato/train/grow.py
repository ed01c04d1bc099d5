"""Give trained networks more room: an autoencoder more channels and blocks, a table of tokens more rows.

It knows the layout of diffusers' AutoencoderTiny (convolutions, ReLU, residual blocks) and that special tokens stand
last. Start reading at `grow_layers` and `grow_rows`.

Source: function-preserving growth, Chen et al. 2016 (arXiv:1511.05641).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from sfumato.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@torch.no_grad()
def grow_layers(small: nn.Sequential, large: nn.Sequential) -> None:
    """Write the weights of `small` into `large`, which has as many or more channels and blocks in each stage.

    New channels keep their random weights but feed no old channel; new blocks add nothing. The ReLU
    before a new block makes the block's own ReLU harmless, so outputs are equal up to rounding.

    Raises:
        ModelError: the layers of the two do not correspond.

    """
    ours, theirs = _split_stages(large), _split_stages(small)
    if [type(layer) for layer, _ in ours] != [type(layer) for layer, _ in theirs]:
        raise ModelError(
            "These two stacks have different stages", got=(len(ours), len(theirs)), do="Grow like to like."
        )
    for (to, wide), (of, narrow) in zip(ours, theirs, strict=True):
        if isinstance(to, nn.Conv2d) and isinstance(of, nn.Conv2d):
            _copy_convolution(of, to)
        if not (len(narrow) <= len(wide) and (narrow or not wide)):
            raise ModelError("A stage cannot shrink or start", got=(len(narrow), len(wide)), do="Give it more blocks.")
        for index, block in enumerate(wide):
            convolutions = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]
            if index < len(narrow):
                old = [layer for layer in narrow[index].modules() if isinstance(layer, nn.Conv2d)]
                for a, b in zip(old, convolutions, strict=True):
                    _copy_convolution(a, b)
            else:
                _silence(convolutions[-1].weight, convolutions[-1].bias)


SPECIAL_TOKENS = 2


@torch.no_grad()
def grow_rows(rows: torch.Tensor, spellings: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return a table of tokens [N + K, width] grown from `rows` [N, width], its last two being the special tokens.

    `spellings`: for each of the K new tokens the rows that spelled it before; it begins as their mean. Old tokens keep
    their places, and the special ones move to the end.
    """
    plain, special = rows[:-SPECIAL_TOKENS], rows[-SPECIAL_TOKENS:]
    fresh = [rows[list(ids)].mean(dim=0, keepdim=True) for ids in spellings]
    return torch.cat([plain, *fresh, special])


def _split_stages(layers: Iterable[nn.Module]) -> list[tuple[nn.Module, list[nn.Module]]]:
    """Return each plain layer with the residual blocks that follow it."""
    stages: list[tuple[nn.Module, list[nn.Module]]] = []
    for layer in layers:
        if hasattr(layer, "fuse"):
            stages[-1][1].append(layer)
        else:
            stages.append((layer, []))
    return stages


def _copy_convolution(small: nn.Conv2d, large: nn.Conv2d) -> None:
    rows, columns = small.weight.shape[:2]
    large.weight[:rows, :columns] = small.weight
    large.weight[:rows, columns:] = 0
    if small.bias is not None and large.bias is not None:
        large.bias[:rows] = small.bias


def _silence(*tensors: torch.Tensor | None) -> None:
    for tensor in tensors:
        if tensor is not None:
            tensor.zero_()
