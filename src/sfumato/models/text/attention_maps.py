"""Where the words of a prompt are in a picture: cross-attention read while the denoiser runs.

The layers are only listened to: queries and keys are multiplied once more beside them, so what the
network computes does not change by a bit. Knows diffusers' names of attention layers; no prompt, no
canvas. Start reading at `watch_words`.

Source: attention as a map of words, Hertz et al. 2022, Prompt-to-Prompt, section 3; averaged over layers
and steps, Tang et al. 2022, DAAM, section 3.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(eq=False)
class WordMaps:
    """Add up attention from cells to tokens. A leaf.

    `context` [1, tokens, width] marks the rows of a batch to listen to; `size_hw` is that of the latents.
    """

    context: Tensor
    size_hw: tuple[int, int]
    _sum: Tensor | None = field(init=False, default=None)
    _count: int = field(init=False, default=0)

    def read(self, positions: tuple[int, ...]) -> Tensor:
        """Return the mean attention to some tokens, float32 [h, w]; zeros where nothing was heard."""
        if self._sum is None or not positions:
            return torch.zeros(self.size_hw)
        return (self._sum[list(positions)].mean(dim=0) / self._count).cpu()

    def to_tensors(self) -> dict[str, Tensor]:
        """Return all that was heard so far by name, nothing where nothing was."""
        return {} if self._sum is None else {"sum": self._sum, "count": torch.tensor(self._count)}

    def go_on(self, tensors: dict[str, Tensor]) -> None:
        """Add from now on to what `to_tensors` returned; to nothing where that was nothing."""
        if tensors:
            self._sum, self._count = tensors["sum"], int(tensors["count"])

    def add(self, attention: Tensor) -> None:
        """Add one layer's attention [tokens, cells]; layers of another shape than the latents' are left out."""
        grid = find_grid(self.size_hw, attention.shape[-1])
        if grid is None:
            return
        maps = attention.unflatten(-1, grid)[None]
        maps = F.interpolate(maps, size=self.size_hw, mode="bilinear", align_corners=False)[0]
        self._sum = maps if self._sum is None else self._sum + maps
        self._count += 1

    def listen(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Hear one call of a cross-attention layer."""
        hidden = args[0] if args else kwargs["hidden_states"]
        context = kwargs.get("encoder_hidden_states")
        if context is None or context.shape[1:] != self.context.shape[1:]:
            return
        rows = (context == self.context.to(context)).flatten(1).all(dim=1)
        if bool(rows.any()):
            self.add(attend(layer, hidden[rows], context[rows]))


@contextmanager
def watch_words(unet: Any, context: Tensor, size_hw: tuple[int, int]) -> Generator[WordMaps]:
    """Listen to all cross-attention layers of a UNet while the context is open."""
    maps = WordMaps(context, size_hw)
    with ExitStack() as hooks:
        for name, layer in unet.named_modules():
            if name.endswith("attn2"):
                hook = layer.register_forward_pre_hook(partial(_hear, maps), with_kwargs=True)
                hooks.callback(hook.remove)
        yield maps


def _hear(maps: WordMaps, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    maps.listen(layer, args, kwargs)


def attend(layer: Any, hidden: Tensor, context: Tensor) -> Tensor:
    """Return attention, mean over rows and heads, float32 [tokens, cells]."""
    heads = layer.heads
    queries = layer.to_q(hidden).unflatten(-1, (heads, -1)).transpose(1, 2).float()
    keys = layer.to_k(context).unflatten(-1, (heads, -1)).transpose(1, 2).float()
    scores = torch.softmax(queries @ keys.mT * layer.scale, dim=-1)
    return scores.mean(dim=(0, 1)).T


def find_grid(size_hw: tuple[int, int], cells: int) -> tuple[int, int] | None:
    """Return the shape of a layer's cells: the latents' size halved, upwards rounded, some times."""
    height, width = size_hw
    while height * width > cells and (height, width) != (1, 1):
        height, width = -(-height // 2), -(-width // 2)
    return (height, width) if height * width == cells else None
