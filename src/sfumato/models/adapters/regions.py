"""LoRAs and prompts that act in a part of the picture only: beside the weights, cell by cell, layer by layer.

Knows one UNet's attention layers and masks over latents; no file, prompt or sampler. Start reading at `attach_regions`.

Each attention layer is computed once as the base does and once for each region, with the region's LoRA and its words;
the outputs are blended by the masks. So a cell outside a region never meets its LoRA in that layer, and yet all cells
see each other through the base's own self-attention: one picture, and not a collage.

Sources: Gu et al. 2023, Mix-of-Show, section 4.3 (words of a region in cross-attention); Hertz et al. 2022,
Prompt-to-Prompt, section 3 (attention as a map of words).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sfumato.core.errors import ModelError
from sfumato.models.text.attention_maps import attend, find_grid

# A region by attention is empty where the trigger is attended to less than in the mean cell, and full from this share
# of the way between the mean and the largest attention on.
FULL_FROM = 0.4


@dataclass(frozen=True, eq=False, kw_only=True)
class AdapterRegion:
    """Say where a LoRA acts and with which words.

    `factors` maps "LAYER.down" [rank, in] and "LAYER.up" [out, rank], scale included. `mask` [h, w] from 0 to 1 over the
    latents; None is wherever the tokens at `positions` are attended to. `context` [1, tokens, width] replaces the
    picture's words inside; None keeps them.
    """

    factors: Mapping[str, Tensor]
    mask: Tensor | None = None
    context: Tensor | None = None
    positions: tuple[int, ...] = ()


@dataclass(eq=False, kw_only=True)
class _RegionalUnet:
    """Blend the regions of one UNet while it runs. A leaf.

    `context` marks the rows of a batch that draw the picture; the others, of the negative prompt, keep their words.
    """

    regions: Sequence[AdapterRegion]
    context: Tensor
    size_hw: tuple[int, int]
    _active: AdapterRegion | None = field(init=False, default=None)
    _rows: Tensor | None = field(init=False, default=None)
    _heard: dict[int, Tensor] = field(init=False, default_factory=dict[int, Tensor])

    def begin(self, unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note which rows of a batch draw the picture, and what shape it has."""
        del unet
        sample = args[0] if args else kwargs["sample"]
        context = args[2] if len(args) > 2 else kwargs["encoder_hidden_states"]
        fits = context.shape[1:] == self.context.shape[1:] and tuple(sample.shape[-2:]) == self.size_hw
        # Other sizes are crops and windows: where they lie in the picture is not known here.
        self._rows = (context == self.context.to(context)).flatten(1).all(dim=1) if fits else None

    def blend(
        self, cross: bool, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
    ) -> Tensor | None:
        """Return a layer's output with every region in its place; None where nothing changes."""
        if self._active is not None or self._rows is None:
            return None
        hidden = args[0] if args else kwargs["hidden_states"]
        grid = find_grid(self.size_hw, hidden.shape[1])
        if grid is None:
            return None
        blended = out
        for number, region in enumerate(self.regions):
            if cross and region.mask is None and bool(self._rows.any()):
                self._listen(number, region, layer, hidden, kwargs["encoder_hidden_states"], grid)
            mask = self._find_mask(number, region, grid).to(out)
            self._active = region
            try:
                own = layer.forward(*args, **self._choose_words(region, kwargs, cross=cross))
            finally:
                self._active = None
            blended = blended + mask[None, :, None] * (own - out)
        return blended

    def add(self, name: str, module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor | None:
        """Add a region's LoRA to one linear layer while that region is computed."""
        del module
        if self._active is None or f"{name}.down" not in self._active.factors:
            return None
        down, up = (self._active.factors[f"{name}.{role}"].to(out) for role in ("down", "up"))
        return out + F.linear(F.linear(inputs[0], down), up)

    def _choose_words(self, region: AdapterRegion, kwargs: dict[str, Any], *, cross: bool) -> dict[str, Any]:
        if not cross or region.context is None or self._rows is None:
            return kwargs
        context = kwargs["encoder_hidden_states"]
        mine = region.context.to(context).expand_as(context)
        return {**kwargs, "encoder_hidden_states": torch.where(self._rows[:, None, None], mine, context)}

    def _listen(
        self, number: int, region: AdapterRegion, layer: Any, hidden: Tensor, context: Tensor, grid: tuple[int, int]
    ) -> None:
        assert self._rows is not None, "the caller checked"
        attention = attend(layer, hidden[self._rows], context[self._rows])[list(region.positions)].mean(dim=0)
        found = F.interpolate(attention.unflatten(0, grid)[None, None], size=self.size_hw, mode="bilinear")[0, 0]
        self._heard[number] = found + self._heard.get(number, torch.zeros_like(found))

    def _find_mask(self, number: int, region: AdapterRegion, grid: tuple[int, int]) -> Tensor:
        """Return how much of a region each cell of a layer holds, [cells]."""
        mask = region.mask
        if mask is None:
            heard = self._heard.get(number)
            # The first layers have heard nothing yet; the layout is not drawn before all have.
            mask = torch.ones(self.size_hw) if heard is None else _stretch(heard)
        return F.adaptive_avg_pool2d(mask[None, None].float(), grid).flatten()


@contextmanager
def attach_regions(
    unet: Any, regions: Sequence[AdapterRegion], context: Tensor, size_hw: tuple[int, int]
) -> Generator[None]:
    """Let regions act while the context is open; afterwards the UNet is as it was, weights were never touched.

    `context` [1, tokens, width] are the picture's own words, `size_hw` the shape of its latents.
    Cost: one more pass through the attention layers for each region.

    Raises:
        ModelError: a LoRA names a layer that the UNet does not have, or words of another length.
    """
    layers = {name: module for name, module in unet.named_modules() if name.endswith(("attn1", "attn2"))}
    places = {name.rpartition(".")[0] for region in regions for name in region.factors}
    linear = {name: module for name, module in unet.named_modules() if name in places}
    if missing := sorted(places - linear.keys()):
        raise ModelError("the LoRA of a region was made for another model", got=missing[0], do="Train it again.")
    if any(region.context is not None and region.context.shape != context.shape for region in regions):
        raise ModelError("the words of a region have another length than the prompt", do="Shorten them.")
    work = _RegionalUnet(regions=regions, context=context, size_hw=size_hw)
    with ExitStack() as hooks:
        hooks.callback(unet.register_forward_pre_hook(work.begin, with_kwargs=True).remove)
        for name, module in layers.items():
            blend: Callable[..., Any] = partial(work.blend, name.endswith("attn2"))
            hooks.callback(module.register_forward_hook(blend, with_kwargs=True).remove)
        for name, module in linear.items():
            hooks.callback(module.register_forward_hook(partial(work.add, name)).remove)
        yield


def _stretch(heard: Tensor) -> Tensor:
    """Return 0 up to the mean attention and 1 from `FULL_FROM` of the way to the largest on."""
    mean, most = heard.mean(), heard.max()
    return ((heard - mean) / (FULL_FROM * (most - mean)).clamp(min=1e-12)).clamp(0, 1)
