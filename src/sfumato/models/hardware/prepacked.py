"""Layers that keep their weights also in the order the CPU's matmul wants, so no call reorders them.

Knows torch's layers and oneDNN's operators; nothing of diffusers, policies or files. A packed layer
stays the same module with the same parameters: only its `forward` is replaced, and it packs again
when a parameter changes (an adapter attached or detached). Memory: a second copy of packed weights.
Start reading at `pack_layer`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# Below this many weights a call costs less than asking whether they changed.
FEWEST_WEIGHTS = 1 << 14
# "no fused function": the operators take its name, its scalars and its variant.
_NO_FUSION = ("none", [], "")
_OPERATORS = ("_linear_pointwise", "_reorder_linear_weight", "_convolution_pointwise", "_reorder_convolution_weight")


def can_pack() -> bool:
    """Tell whether this torch has oneDNN's packing operators."""
    if not torch.backends.mkldnn.is_available():
        return False
    return all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS)


def pack_layer(layer: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """Return the packed forward of a layer, or None where packing cannot help it."""
    if type(layer) is nn.Linear and layer.weight.numel() >= FEWEST_WEIGHTS:
        return PackedLinear(layer)
    if type(layer) is not nn.Conv2d or layer.weight.numel() < FEWEST_WEIGHTS:
        return None
    if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    pointwise = layer.kernel_size == (1, 1) and layer.stride == (1, 1) and layer.padding == (0, 0)
    return PackedPointwise(layer) if pointwise else PackedConvolution(layer)


def needs_gradient(x: Tensor, *parameters: Tensor | None) -> bool:
    """Tell whether a call has to be recorded, which the packed operators cannot be."""
    if not torch.is_grad_enabled():
        return False
    return x.requires_grad or any(parameter is not None and parameter.requires_grad for parameter in parameters)


class PackedWeights:
    """Packed copies that notice when their source changed.

    A change is seen by the address and the version counter of the weight; only writing through
    `weight.data` in place escapes both, and nothing here does that. Weights made inside
    inference mode count no versions: they are not packed (None).
    """

    def __init__(self) -> None:
        self._seen: tuple[Any, ...] | None = None
        self._packed: Any = None

    def get(self, parameters: tuple[Tensor | None, ...], pack: Any) -> Any:
        """Return what `pack()` made of these parameters, made again after a change."""
        present = [parameter for parameter in parameters if parameter is not None]
        if any(parameter.is_inference() for parameter in present):
            return None
        # Only the address and the counter are kept of a tensor, so nothing outlives its module.
        seen = tuple((parameter.data_ptr(), parameter._version, parameter.dtype) for parameter in present)  # noqa: SLF001
        if seen != self._seen:
            # Packed under inference mode the copies would be inference tensors, useless outside it.
            with torch.inference_mode(mode=False), torch.no_grad():
                self._packed = pack()
            self._seen = seen
        return self._packed

    def __deepcopy__(self, memo: dict[int, Any]) -> PackedWeights:
        """Copy as empty: packed tensors cannot be copied, and are made again when needed."""
        return PackedWeights()

    def __reduce__(self) -> tuple[type[PackedWeights], tuple[()]]:
        """Pickle as empty, for the same reason."""
        return (PackedWeights, ())


class PackedLinear:
    """A linear layer with packed weights and its bias added inside the product."""

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer
        self._weights = PackedWeights()

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the layer to [..., in] -> [..., out]."""
        layer = self.layer
        if x.dtype != layer.weight.dtype or needs_gradient(x, layer.weight, layer.bias):
            return nn.Linear.forward(layer, x)
        weight = self._weights.get((layer.weight,), lambda: pack_matrix(layer.weight))
        if weight is None:
            return nn.Linear.forward(layer, x)
        return multiply_packed(x, weight, layer.bias)


class PackedPointwise:
    """A 1x1 convolution as a matmul over the cells of a channels-last tensor."""

    def __init__(self, layer: nn.Conv2d) -> None:
        self.layer = layer
        self._weights = PackedWeights()

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the layer to [B, in, h, w] -> [B, out, h, w]."""
        layer = self.layer
        if x.dtype != layer.weight.dtype or needs_gradient(x, layer.weight, layer.bias):
            return nn.Conv2d.forward(layer, x)
        weight = self._weights.get((layer.weight,), lambda: pack_matrix(layer.weight.flatten(1)))
        if weight is None:
            return nn.Conv2d.forward(layer, x)
        return multiply_packed(x.permute(0, 2, 3, 1), weight, layer.bias).permute(0, 3, 1, 2)


class PackedConvolution:
    """A convolution with weights packed for the first size it met; other sizes stay correct."""

    def __init__(self, layer: nn.Conv2d) -> None:
        self.layer = layer
        self._weights = PackedWeights()

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the layer to [B, in, h, w]; the result is channels-last."""
        layer = self.layer
        if x.dtype != layer.weight.dtype or needs_gradient(x, layer.weight, layer.bias):
            return nn.Conv2d.forward(layer, x)
        weight = self._weights.get((layer.weight,), lambda: self._pack(x.shape))
        if weight is None:
            return nn.Conv2d.forward(layer, x)
        x = x.contiguous(memory_format=torch.channels_last)
        place = (layer.padding, layer.stride, layer.dilation, layer.groups)
        return torch.ops.mkldnn._convolution_pointwise(x, weight, layer.bias, *place, *_NO_FUSION)  # noqa: SLF001

    def _pack(self, shape: torch.Size) -> Tensor:
        layer = self.layer
        place = (layer.padding, layer.stride, layer.dilation, layer.groups)
        weight = layer.weight.detach().contiguous()
        return torch.ops.mkldnn._reorder_convolution_weight(weight, *place, list(shape))  # noqa: SLF001


def pack_matrix(weight: Tensor) -> Tensor:
    """Pack [out, in] for `multiply_packed`."""
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), None)  # noqa: SLF001


def multiply_packed(x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> Tensor:
    """Return x weight^T + bias over the last axis, with the exact GELU on top when asked for."""
    fusion = ("gelu", [], "none") if gelu else _NO_FUSION
    return torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, *fusion)  # noqa: SLF001
