"""Orthogonal fine-tuning: attention projections whose outputs are rotated in blocks, so their norms and angles stay.

Knows one UNet by the names of its layers, diffusers' and ours alike; no file. Start reading at `OftLayers`; for pictures
the file is merged by `models.adapters`.

Projections without a bias alone are rotated: A1111 rotates a bias too and ComfyUI does not, so files would mean two things.

Source: Qiu et al. 2023, arXiv:2306.07280, section 4 (the Cayley transform in blocks).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sfumato.core.errors import ModelError
from sfumato.customize.file_forms import OFT_ROLE
from sfumato.customize.methods.lora import PROJECTIONS, HookedLayers
from sfumato.models.adapters.layer_delta import make_rotations, rotate


class OftLayers(HookedLayers):
    """Blocks [n, size, size] for each attention projection of a network without a bias, until `detach`.

    `factors` maps "LAYER.oft_blocks" to tensors with gradients; zeros change nothing, so training starts at the base.
    """

    def __init__(self, network: Any, block: int) -> None:
        """Put them in force; a block is the largest divisor of a layer's width that divides `block` too.

        Raises:
            ModelError: the network has no such layer under the usual names.
        """
        layers = {name: module for name, module in network.named_modules() if _is_rotated(name, module)}
        if not layers:
            raise ModelError("the network has no attention layers that could be rotated")
        super().__init__()
        for name, layer in layers.items():
            size = math.gcd(layer.out_features, block)
            blocks = torch.zeros((layer.out_features // size, size, size), device=layer.weight.device)
            self.factors[f"{name}.{OFT_ROLE}"] = blocks.requires_grad_()
            self._hooks.append(layer.register_forward_hook(self._make_hook(blocks)))

    def _make_hook(self, blocks: Tensor) -> Any:
        def turn(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
            del module, inputs
            if not self._active:
                return out
            rotations = make_rotations(blocks).to(out.dtype)
            cut = out.unflatten(-1, blocks.shape[:2])
            return torch.einsum("...kn,kmn->...km", cut, rotations).flatten(-2)

        return turn


def approximate(
    blocks: Mapping[str, Tensor], weights: Mapping[str, Tensor], rank: int
) -> tuple[dict[str, Tensor], float]:
    """Return factors "LAYER.down" and "LAYER.up" of the nearest LoRA to rotations, and the share of the change they keep.

    `blocks` maps "LAYER.oft_blocks" to blocks, `weights` LAYER to the base's weight. The share is of squared norms.

    Source: Eckart and Young 1936 (the truncated singular value decomposition is the nearest of its rank).
    """
    found: dict[str, Tensor] = {}
    whole = kept = 0.0
    for key, value in blocks.items():
        name = key.removesuffix(f".{OFT_ROLE}")
        weight = weights[name].float()
        change = rotate(value.float(), weight) - weight
        left, sizes, right = torch.linalg.svd(change, full_matrices=False)
        roots = sizes[:rank].sqrt()
        found[f"{name}.up"], found[f"{name}.down"] = left[:, :rank] * roots, roots[:, None] * right[:rank]
        whole, kept = whole + float(sizes.square().sum()), kept + float(sizes[:rank].square().sum())
    return found, kept / whole if whole else 1.0


def _is_rotated(name: str, module: nn.Module) -> bool:
    is_plain = isinstance(module, nn.Linear) and "bias" not in dict(module.named_parameters())
    return is_plain and ".attn" in name and name.endswith(PROJECTIONS)
