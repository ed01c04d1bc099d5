"""Carry what one base learned of a concept to another: vectors by the words that both know, a LoRA by shapes.

Tensors in, tensors out, and a learner that starts from them. Start reading at `map_vectors`, then `filter_factors`.

Sources: Procrustes and ridge maps between vocabularies, Mikolov et al. 2013, Exploiting Similarities among Languages for
Machine Translation, section 4; Farhadzadeh et al. 2025, LoRA-X (a delta belongs to the subspace of its weights).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sfumato.core.errors import ModelError

if TYPE_CHECKING:
    from sfumato.models.latent_model import LatentModel

# Of the mean square of the old table: small vocabularies (mini has 875 words, 256 wide) would be learned by heart.
RIDGE = 0.02
LEAST_SHARED = 32
# The share of a weight's singular vectors that its changes are expected to lie in.
SUBSPACE_FRAC = 0.25


@dataclass(frozen=True, eq=False, kw_only=True)
class WordTable:
    """Hold a text encoder's words with their rows [words, width]."""

    words: Mapping[str, int]
    rows: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class CarriedTensors:
    """Hold tensors for the new base, under the names of `write_build`, and how they came: a sentence each."""

    tensors: dict[str, Tensor]
    said: tuple[str, ...]


def read_table(model: LatentModel) -> WordTable:
    """Return the words and rows of a model with one text encoder.

    Raises:
        ModelError: it has two.
    """
    if len(model.text.towers) != 1:
        do = "Use an SD 1.x or 2.x checkpoint, or mini."
        raise ModelError("concepts are carried between models with one text encoder", got=model.contract.family, do=do)
    (tower,), (tokenizer, *_) = model.text.towers, model.tokenizers
    return WordTable(words=dict(tokenizer.get_vocab()), rows=tower.embedding.weight.detach().float().cpu().clone())


def map_vectors(vectors: Tensor, old: WordTable, new: WordTable) -> tuple[Tensor, str]:
    """Return vectors [n, new width] for the new encoder, and how they came.

    Where the tables agree they are carried as they are; else by a ridge map over the words that both have.

    Raises:
        ModelError: the two share hardly a word.
    """
    shared = [word for word in old.words if word in new.words]
    if len(shared) < LEAST_SHARED:
        do = "Train the concept on the new base from its pictures."
        raise ModelError("the text encoders share hardly a word", got=f"{len(shared)} words", do=do)
    ours = old.rows[[old.words[word] for word in shared]]
    theirs = new.rows[[new.words[word] for word in shared]]
    if ours.shape == theirs.shape and torch.allclose(ours, theirs, atol=1e-3):
        return vectors.clone(), "the vectors are carried: both bases have the same words"
    mean, target = ours.mean(dim=0), theirs.mean(dim=0)
    centred = ours - mean
    gram = centred.T @ centred
    gram += RIDGE * float(gram.diagonal().mean()) * torch.eye(len(gram))
    weights = torch.linalg.solve(gram, centred.T @ (theirs - target))
    mapped = (vectors.cpu() - mean) @ weights + target
    # A ridge map shortens: the learned length over the usual one is kept.
    usual = ours.norm(dim=1).median(), theirs.norm(dim=1).median()
    wanted = vectors.cpu().norm(dim=1, keepdim=True) / usual[0] * usual[1]
    mapped = mapped * (wanted / mapped.norm(dim=1, keepdim=True).clamp(min=1e-9))
    return mapped, f"the vectors are mapped over {len(shared)} words that both bases have"


def filter_factors(
    factors: Mapping[str, Tensor], old: Mapping[str, Tensor], unet: Any
) -> tuple[dict[str, Tensor], str]:
    """Return the LoRA's factors for the new UNet, each layer weakened where its subspace differs; nothing by shape.

    `old` holds the old base's weights by layer.
    """
    layers = {name: module for name, module in unet.named_modules() if name in old}
    kept: dict[str, Tensor] = {}
    shares: list[float] = []
    for name, before in old.items():
        module = layers.get(name)
        if module is None or module.weight.shape != before.shape:
            return {}, "the LoRA is left behind: the denoisers have other shapes"
        up, down = factors[f"{name}.up"], factors[f"{name}.down"]
        share = _measure_overlap(up, before, module.weight.detach().float().cpu())
        shares.append(share)
        kept[f"{name}.up"], kept[f"{name}.down"] = up * share, down.clone()
    if not shares:
        return {}, "there is no LoRA to carry"
    return kept, f"the LoRA is carried, its layers weakened to {100 * sum(shares) / len(shares):.0f} % on average"


def read_weights(unet: Any, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return copies of the weights of some layers."""
    wanted = set(layers)
    return {
        name: module.weight.detach().float().cpu().clone() for name, module in unet.named_modules() if name in wanted
    }


def _measure_overlap(up: Tensor, before: Tensor, after: Tensor) -> float:
    """Return how much of a change's outputs lies in the strong directions of the new weight, over those of the old."""
    kept = max(1, int(SUBSPACE_FRAC * min(before.shape)))
    energies: list[float] = []
    for weight in (before, after):
        left = torch.linalg.svd(weight, full_matrices=False)[0][:, :kept]
        energies.append(float((left.T @ up).square().sum()))
    return min(1.0, (energies[1] / max(energies[0], 1e-12)) ** 0.5)
