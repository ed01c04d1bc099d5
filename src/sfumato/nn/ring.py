"""A canvas whose opposite sides meet: cells are read, written and padded around the edge.

Works in latent cells and on any tensor whose last two axes are height and width. Knows no model and no sampler. Start
reading at `pad_circularly` for networks, at `cut_ring` for windows.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from sfumato.core.geometry import LatentBox, LatentSize

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn


@contextmanager
def pad_circularly(network: nn.Module, *, across: bool, down: bool) -> Generator[None]:
    """Let the convolutions of a network read around the edge of their input on the axes that are named.

    The weights are not touched; afterwards the network is as it was. Layers without padding stay as they are. An input
    whose sides are multiples of all strides of the network then gives a result that is the same however it is turned.
    """
    from torch import nn

    with ExitStack() as stack:
        for layer in network.modules() if across or down else ():
            if isinstance(layer, nn.Conv2d) and not isinstance(layer.padding, str) and any(layer.padding):
                stack.enter_context(_pad_layer(layer, across=across, down=down))
        yield


@contextmanager
def _pad_layer(layer: nn.Conv2d, *, across: bool, down: bool) -> Generator[None]:
    from torch.nn import functional

    high, wide = (int(side) for side in layer.padding)
    ring = (wide * across, wide * across, high * down, high * down)

    def pad(_layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (functional.pad(args[0], ring, mode="circular"), *args[1:])

    hook = layer.register_forward_pre_hook(pad)
    kept, layer.padding = layer.padding, (high * (not down), wide * (not across))
    try:
        yield
    finally:
        layer.padding = kept
        hook.remove()


def list_ring_starts(length: int, window: int, stride: int) -> list[int]:
    """Return the starts of equal windows on a ring of cells, evenly spread, at most `stride` apart; 0 alone where one is enough."""
    if window >= length:
        return [0]
    count = -(-length // stride)
    return [place * length // count for place in range(count)]


def cut_ring(values: Float[Tensor, "... H W"], box: LatentBox) -> Float[Tensor, "... h w"]:
    """Return a box of a canvas; where it sticks out it goes on at the other side."""
    height, width = values.shape[-2:]
    if box.left >= 0 and box.top >= 0 and box.right <= width and box.bottom <= height:
        rows, columns = box.slices_hw
        return values[..., rows, columns]
    rows, columns = list_ring_cells(box, LatentSize(width, height), values)
    return values.index_select(-2, rows).index_select(-1, columns)


def list_ring_cells(box: LatentBox, size: LatentSize, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows and the columns of a canvas that a box covers, counted around its edges, on the device of `like`."""
    import torch

    rows = torch.arange(box.top, box.bottom, device=like.device) % size.height
    return rows, torch.arange(box.left, box.right, device=like.device) % size.width
