"""Textual inversion: rows of the text encoder's table that stand for the trigger, and gradients into them alone.

Knows one text tower; no pictures. Start reading at `TriggerVectors`.

The first values are the rows of words that describe the subject. Untrained they equal those words in the prompt, to the
bit: that is the rung `words`.

Source: Gal et al. 2022, An Image is Worth One Word (textual inversion), section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sfumato.core.errors import RequestError
from sfumato.core.prompt.grammar import WeightedSpan
from sfumato.customize.settings import MOST_VECTORS
from sfumato.models.text.clip import Concept
from sfumato.models.text.encoder import EncodedText

if TYPE_CHECKING:
    from sfumato.models.text.clip import TextTower

# Of the median word's norm. Without a bound 100 steps took vectors of mini to three times that.
LONGEST_NORM = 1.25


class TriggerVectors:
    """Vectors [n, width] behind a trigger, in force on a tower until `detach`."""

    def __init__(self, tower: TextTower, trigger: str, vectors: Tensor) -> None:
        """Put them in force.

        Raises:
            RequestError: the tower has a concept of this name.
        """
        if tower.find_concept(trigger) is not None:
            raise RequestError("an embedding of this name is attached", got=trigger, do="Detach it first.")
        self.tower = tower
        self.vectors = vectors.detach().clone().requires_grad_()
        self._own_rows = tower.embedding.weight.shape[0]
        table = tower.embedding.weight.detach().float()
        self._longest = float(LONGEST_NORM * table.norm(dim=1).median())
        self._concept = Concept((trigger,), self.vectors.detach())
        tower.replace_concepts([*tower.concepts, self._concept])
        self._hook = tower.embedding.register_forward_hook(self._replace_rows)

    def detach(self) -> None:
        """Take them off the tower again."""
        self._hook.remove()
        self.tower.replace_concepts([each for each in self.tower.concepts if each is not self._concept])

    @torch.no_grad()
    def limit_norms(self) -> None:
        """Shorten vectors that are longer than words are: the encoder never met such ones, and faces melt."""
        norms = self.vectors.norm(dim=1, keepdim=True)
        self.vectors.mul_((self._longest / norms.clamp(min=1e-12)).clamp(max=1.0))

    @property
    def spread(self) -> float:
        """Return the standard deviation of the numbers in the encoder's own table: the unit of a learning rate."""
        return float(self.tower.embedding.weight.detach().float().std())

    def _replace_rows(self, module: Any, inputs: tuple[Tensor, ...], rows: Tensor) -> Tensor:
        del module
        places = inputs[0] - self._own_rows
        mine = places >= 0
        if not mine.any():
            return rows
        learned = self.vectors.to(rows.dtype)[places.clamp(min=0)]
        return torch.where(mine[..., None], learned, rows)


def encode_captions(tower: TextTower, captions: Sequence[str]) -> Tensor:
    """Encode captions by one text encoder: float32 [captions, length + 2, width]; see `encode_texts`."""
    return encode_texts((tower,), captions).hidden


def encode_texts(towers: Sequence[TextTower], captions: Sequence[str]) -> EncodedText:
    """Encode captions by all text encoders of a model, in one batch, as its UNet reads them.

    Gradients flow where they are on.

    Raises:
        RequestError: a caption is longer than an encoder reads at once.
    """
    columns: list[Tensor] = []
    pooled: Tensor | None = None
    for tower in towers:
        framed: list[list[int]] = []
        for caption in captions:
            first, *more = tower.cut([[WeightedSpan(caption)]])
            if more:
                do = f"Shorten it to {tower.length} tokens."
                raise RequestError("a caption is longer than the text encoder reads at once", got=caption, do=do)
            framed.append(tower.frame(first))
        ids = torch.tensor(framed, device=tower.embedding.weight.device)
        hidden, last = tower.run_body(ids)
        columns.append(hidden.float())
        pooled = tower.pool(last, ids)
    return EncodedText(torch.cat(columns, dim=-1), pooled)


def read_words(tower: TextTower, words: str, most: int) -> Tensor:
    """Return the encoder's own rows of words, at most `most`: float32 [n, width].

    Raises:
        RequestError: no word is left.
    """
    chunk = tower.cut([[WeightedSpan(words)]])[0]
    if not chunk.ids:
        raise RequestError("the description holds no word", got=words, do="Describe the subject in a few words.")
    return tower.embedding.weight.detach()[list(chunk.ids[:most])].float().clone()


def start_vectors(tower: TextTower, noun: str, count: int, *, seed: int) -> Tensor:
    """Return first values for `count` vectors: the rows of the class noun, then rows near the table's mean.

    Raises:
        RequestError: the count is out of range.
    """
    if not 1 <= count <= MOST_VECTORS:
        raise RequestError("the number of vectors is out of range", got=count, do=f"Say 1 to {MOST_VECTORS}.")
    own = read_words(tower, noun, count)
    table = tower.embedding.weight.detach().float()
    noise = torch.randn(count - len(own), table.shape[1], generator=torch.Generator().manual_seed(seed))
    # A tenth of the table's spread: apart from each other, and as good as silent.
    return torch.cat([own, table.mean(dim=0) + 0.1 * table.std() * noise.to(table.device)])
