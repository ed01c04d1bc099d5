"""Run one step of training on shapes without numbers, and count the bytes that are alive at once.

Knows networks on torch's "meta" device; no file and no concept. Start reading at `measure_step`.

Each operation is asked for its outputs alone. What an operation needs inside itself, such as a convolution in another
order of its numbers, is estimated from the largest operation.
"""

from __future__ import annotations

import weakref
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sfumato.customize.methods.checkpointing import CheckpointedBlocks
from sfumato.customize.methods.lora import LoraLayers
from sfumato.customize.methods.oft import OftLayers

if TYPE_CHECKING:
    from sfumato.customize.settings import ConceptSettings
    from sfumato.models.empty import EmptyModel

# Operations that write their inputs once more in an order of their own.
_REORDERING = ("convolution", "addmm", "mm", "bmm")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBytes:
    """Count one step: bytes alive at its peak besides weights, bytes inside its largest operation, trained numbers.

    `largest` counts the numbers of the largest tensor that is trained.
    """

    peak: int
    inside: int
    trained: int
    largest: int = 0


class LiveBytes(TorchDispatchMode):
    """Count, while open, the bytes of tensors that operations make: those alive now, and the most at once."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = self.inside = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def ignore(self, tensors: Any) -> None:
        """Count nothing for tensors that were there before."""
        for tensor in tensors:
            self._note(tensor, counted=False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        found = func(*args, **(kwargs or {}))
        made = [one for one in tree_leaves(found) if isinstance(one, Tensor)]
        for tensor in made:
            self._note(tensor)
        self.peak = max(self.peak, self.alive)
        if any(name in func.__name__ for name in _REORDERING):
            read = [one for one in tree_leaves(args) if isinstance(one, Tensor)]
            self.inside = max(self.inside, sum(one.nbytes for one in (*read, *made)))
        return found

    def _note(self, tensor: Tensor, *, counted: bool = True) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        known = self._known.get(key)
        if known is not None and known() is storage:
            return
        size = storage.nbytes() if counted else 0
        self.alive += size

        def forget(_gone: Any) -> None:
            self.alive -= size

        self._known[key] = weakref.ref(storage, forget)


@contextmanager
def _fused_attention() -> Generator[None]:
    """Attend by the CPU's fused kernel, as numbers would; on "meta" torch takes the one that keeps all scores.

    Tensors with numbers, of other threads too, take torch's own way.
    """
    usual = F.scaled_dot_product_attention

    def attend(query: Tensor, key: Tensor, value: Tensor, *args: Any, **named: Any) -> Tensor:
        if query.device.type != "meta":
            return usual(query, key, value, *args, **named)
        causal, scale = named.get("is_causal", False), named.get("scale")
        # torch's own way in.
        fused: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001
        return fused(query, key, value, 0.0, causal, scale=scale)[0]

    F.scaled_dot_product_attention = attend  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        F.scaled_dot_product_attention = usual


def measure_step(model: EmptyModel, settings: ConceptSettings, *, rows: int, captions: int) -> StepBytes:
    """Count the bytes of a step that takes `rows` rows at once, of so many different captions.

    Cost: seconds for the true shapes of SDXL; no memory.
    """
    networks = (model.unet, *model.text_encoders)
    trained = _attach(model, settings)
    checkpointed = CheckpointedBlocks(*networks) if settings.checkpointing else None
    live = LiveBytes()
    try:
        live.ignore(tensor for network in networks for tensor in (*network.parameters(), *network.buffers()))
        live.ignore(trained.tensors)
        with torch.device("meta"), _fused_attention(), live:
            _run_step(model, trained, rows=rows, captions=captions)
    finally:
        trained.detach()
        if checkpointed is not None:
            checkpointed.detach()
    sizes = [one.numel() for one in trained.tensors]
    return StepBytes(peak=live.peak, inside=live.inside, trained=sum(sizes), largest=max(sizes))


@dataclass(frozen=True, eq=False, kw_only=True)
class _Trained:
    """What is trained; `weights` are those of full tuning, whose gradients are let go as they come."""

    vectors: list[Tensor]
    layers: list[LoraLayers | OftLayers]
    weights: list[Tensor]
    hooks: list[Any] = field(default_factory=list[Any])

    @property
    def tensors(self) -> list[Tensor]:
        return [*self.vectors, *(factor for one in self.layers for factor in one.factors.values()), *self.weights]

    def detach(self) -> None:
        for one in self.layers:
            one.detach()
        for hook in self.hooks:
            hook.remove()
        for weight in self.weights:
            weight.requires_grad = False


def _attach(model: EmptyModel, settings: ConceptSettings) -> _Trained:
    if settings.rung == "full":
        texts = model.text_encoders if settings.train_text else ()
        weights = [one.requires_grad_() for network in (model.unet, *texts) for one in network.parameters()]
        hooks = [one.register_post_accumulate_grad_hook(_let_go) for one in weights]
        return _Trained(vectors=[], layers=[], weights=weights, hooks=hooks)
    layers: list[LoraLayers | OftLayers] = []
    if settings.rung == "oft":
        layers = [OftLayers(model.unet, settings.block)]
    elif settings.rung == "lora":
        layers = [LoraLayers(model.unet, settings.rank, seed=1)]
    if settings.text_lora:
        layers += [LoraLayers(encoder, settings.rank, seed=1) for encoder in model.text_encoders]
    widths = [int(encoder.config.hidden_size) for encoder in model.text_encoders]
    vectors = [torch.empty((settings.vectors, width), device="meta", requires_grad=True) for width in widths]
    return _Trained(vectors=vectors, layers=layers, weights=[])


def _let_go(weight: Tensor) -> None:
    weight.grad = None


def _run_step(model: EmptyModel, trained: _Trained, *, rows: int, captions: int) -> None:
    contract = model.contract
    height, width = contract.native.to_latent(contract.factor).shape_hw
    dtype = next(model.unet.parameters()).dtype
    noised = torch.empty((rows, contract.latent_channels, height, width), dtype=dtype)
    times = torch.zeros((rows,), dtype=torch.long)

    def predict(hidden: Tensor, pooled: Tensor | None) -> Tensor:
        words = None
        if pooled is not None:
            words = {"text_embeds": pooled.to(dtype), "time_ids": torch.zeros((rows, 6))}
        found = model.unet(
            noised, times, encoder_hidden_states=hidden.to(dtype), added_cond_kwargs=words, return_dict=False
        )
        return found[0].float()

    with torch.no_grad():
        plain = torch.empty((rows, contract.tokens, contract.text_width))
        base = predict(plain, torch.empty((rows, contract.pooled_width)) if contract.pooled_width else None)
    columns, pooled = list[Tensor](), None
    for at, encoder in enumerate(model.text_encoders):
        vectors = trained.vectors[at] if trained.vectors else None
        hidden, pooled = _encode(encoder, vectors, captions, contract.tokens)
        columns.append(hidden)
    spread = -(-rows // captions)
    joined = torch.cat(columns, dim=-1).repeat(spread, 1, 1)[:rows]
    found = predict(joined, None if pooled is None else pooled.repeat(spread, 1)[:rows])
    loss = (found - base).square().mean()
    if trained.weights:
        loss.backward()
        return
    gradients = torch.autograd.grad(loss, trained.tensors, allow_unused=True)
    assert any(one is not None for one in gradients), "something is trained"


def _encode(encoder: Any, vectors: Tensor | None, captions: int, tokens: int) -> tuple[Tensor, Tensor | None]:
    """Encode captions on shapes, gradients into the vectors: hidden states and the pooled vectors, if it has any."""
    body = getattr(encoder, "text_model", encoder) if getattr(encoder, "text_projection", None) is not None else encoder
    table = body.embeddings.token_embedding

    def replace(_module: Any, _inputs: Any, rows: Tensor) -> Tensor:
        return rows if vectors is None else rows + vectors.sum(dim=0)

    hook = table.register_forward_hook(replace)
    try:
        states = body(torch.zeros((captions, tokens), dtype=torch.long), output_hidden_states=True).hidden_states
    finally:
        hook.remove()
    projection = getattr(encoder, "text_projection", None)
    return states[-1].float(), None if projection is None else projection(states[-1][:, 0]).float()
