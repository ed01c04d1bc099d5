"""The change an adapter makes to one weight: LoRA, LoCon, LoHa, LoKr, OFT, full differences and whole weights.

Tensors in, tensors out: knows no file, name or network. Start reading at `LayerDelta.change`.

Sources: LoRA, Hu et al. 2021, section 4.1; LoHa (FedPara), Hyeon-Woo et al. 2021, proposition 2;
LoKr and the convolutional (Tucker) forms, Yeh et al. 2023 (LyCORIS), section 3; DoRA, Liu et al.
2024, equation 5; OFT, Qiu et al. 2023, section 4 (rotations by the Cayley transform, in blocks).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

Roles = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class LayerDelta:
    """Factors of one weight change; `scale` is alpha / rank.

    `magnitude`, where there is one, is DoRA's learned norm, of size 1 in the dimensions the norm
    runs over.
    """

    kind: str
    factors: Roles
    scale: float = 1.0
    magnitude: Tensor | None = field(default=None)

    def find_shape(self) -> tuple[int, ...] | None:
        """Find the shape of the expanded factors without computing them; None if they do not fit each other."""
        try:
            return tuple(_EXPAND[self.kind]({role: f.to("meta") for role, f in self.factors.items()}).shape)
        except (RuntimeError, ValueError):
            return None

    def fits(self, shape: torch.Size) -> bool:
        """Tell whether the change can be added to a weight of this shape."""
        if self.kind == "oft":
            blocks = self.factors["oft_blocks"].shape
            square = len(blocks) == 3 and blocks[1] == blocks[2]
            return square and len(shape) > 1 and blocks[0] * blocks[1] == shape[0]
        own = self.find_shape()
        if own is None or not own or not shape or own[0] != shape[0] or math.prod(own) != math.prod(shape):
            return False
        return self.magnitude is None or _spread(self.magnitude, shape) is not None

    def change(self, original: Tensor) -> Tensor:
        """Return what to add to `original` (float32) at weight 1, on its device.

        A convolution's change may come flattened to [out, in * height * width]; it gets the shape
        of the original.
        """
        factors = {role: factor.to(original.device, torch.float32) for role, factor in self.factors.items()}
        if self.kind == "whole":
            return factors["whole"].reshape(original.shape) - original
        if self.kind == "oft":
            return rotate(factors["oft_blocks"], original.flatten(1)).reshape(original.shape) - original
        delta = _EXPAND[self.kind](factors).reshape(original.shape) * self.scale
        if self.magnitude is None:
            return delta
        magnitude = _spread(self.magnitude.to(original.device, torch.float32), original.shape)
        assert magnitude is not None, "checked by fits()"
        return _renorm(original + delta, magnitude) - original


def make_rotations(blocks: Tensor) -> Tensor:
    """Return a rotation for each block [n, size, size], by the Cayley transform of its skew part.

    The transpose of (I + Q) (I - Q)^-1 with Q = B - B^T, which is what the file form means. Zeros give the identity.
    """
    skew = blocks - blocks.transpose(1, 2)
    unit = torch.eye(blocks.shape[-1], dtype=blocks.dtype, device=blocks.device).expand_as(blocks)
    # The transpose of a Cayley transform is that of -Q; both of its factors commute.
    return torch.linalg.solve(unit + skew, unit - skew)


def rotate(blocks: Tensor, weight: Tensor) -> Tensor:
    """Return a weight [out, in] with its outputs rotated in blocks: R W."""
    rows = weight.view(blocks.shape[0], blocks.shape[1], -1)
    return torch.bmm(make_rotations(blocks), rows).view(weight.shape)


def find_rank(factors: Roles) -> int | None:
    """Find the rank that alpha is divided by; None where alpha has no effect."""
    for role in ("down", "w1_b", "w2_b"):
        if role in factors:
            return int(factors[role].shape[0])
    return None


def _lora(factors: Roles) -> Tensor:
    up, down = factors["up"].flatten(1), factors["down"]
    if "mid" in factors:
        return torch.einsum("or,rskl,si->oikl", up, factors["mid"], down.flatten(1))
    return up @ down.flatten(1)


def _hadamard(factors: Roles) -> Tensor:
    return _product(factors, "w1", "t1") * _product(factors, "w2", "t2")


def _kronecker(factors: Roles) -> Tensor:
    first = _product(factors, "w1", "t1")
    second = _product(factors, "w2", "t2").contiguous()  # torch.kron views it
    return torch.kron(first.reshape(*first.shape, *(1,) * (second.dim() - first.dim())), second)


def _product(factors: Roles, name: str, core: str) -> Tensor:
    if name in factors:
        return factors[name]
    a, b = factors[name + "_a"], factors[name + "_b"]
    if core in factors:
        return torch.einsum("rskl,ro,si->oikl", factors[core], a, b)
    return a @ b.flatten(1)


def _full(factors: Roles) -> Tensor:
    return factors["diff"]


_EXPAND: dict[str, Callable[[Roles], Tensor]] = {
    "lora": _lora,
    "loha": _hadamard,
    "lokr": _kronecker,
    "full": _full,
    "whole": lambda factors: factors["whole"],
    "oft": lambda factors: factors["oft_blocks"].flatten(0, 1),
}


def _spread(magnitude: Tensor, shape: torch.Size) -> Tensor | None:
    """Give a norm per output, or per input, the dimensions of the weight; None if it is neither."""
    if magnitude.numel() == shape[0] and (magnitude.dim() == 1 or magnitude.shape[0] == shape[0]):
        return magnitude.reshape(-1, *(1,) * (len(shape) - 1))
    if len(shape) > 1 and magnitude.numel() == shape[1]:
        return magnitude.reshape(1, -1, *(1,) * (len(shape) - 2))
    return None


def _renorm(weight: Tensor, magnitude: Tensor) -> Tensor:
    over = [dim for dim in range(weight.dim()) if dim != int(magnitude.shape[0] == 1 and magnitude.numel() > 1)]
    norm = torch.linalg.vector_norm(weight, dim=over, keepdim=True)
    # A column of zeros has no direction to scale.
    return weight * (magnitude / norm.clamp_min(torch.finfo(torch.float32).tiny))
