"""One tokenizer and one CLIP text encoder: prompt spans in, hidden states out.

Knows nothing of model families or of the prompt grammar: which layer is read is told to it as a
`Depth`. Start reading at `TextTower.cut` and `TextTower.encode`.

The tokenizer is never changed. Concepts (textual inversion) get ids above the encoder's own rows,
and the prompt text is searched for their names before it is tokenized; so attaching and detaching
touch one matrix and one table, and are exact inverses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from sfumato.core.errors import ModelError, RequestError
from sfumato.core.prompt.grammar import WeightedSpan
from sfumato.models.text.chunks import Chunk, Piece, cut_chunks, frame_chunk, frame_weights
from sfumato.models.text.concepts import ConceptTable, fold_name

if TYPE_CHECKING:
    # A plan needs the contract, which needs this module, but no network: importing transformers' takes seconds.
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, PreTrainedTokenizerBase

Segments = Sequence[Sequence[WeightedSpan]]

# A ratio of means beyond this comes from means near zero, not from the weights; see `restore_mean`.
LARGEST_MEAN_GAIN = 10.0


@dataclass(frozen=True, slots=True)
class Depth:
    """Which hidden layer feeds the UNet.

    `own` is the family's own clip skip in A1111 counting (1 = last layer, 2 = the one before),
    `missing` the layers already cut off the loaded encoder, `normed` whether the final layer norm
    is applied to the layer that is read.
    """

    own: int = 1
    missing: int = 0
    normed: bool = True

    def layer(self, clip_skip: int) -> int:
        """Return the layer to read, counted from the end of the loaded encoder, 1 being the last."""
        return max(clip_skip, self.own) - self.missing


@dataclass(frozen=True, slots=True)
class Concept:
    """Names that stand for rows `vectors` [n, width] of one encoder."""

    names: tuple[str, ...]
    vectors: Tensor


class TextTower:
    """A tokenizer with its text encoder."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        encoder: CLIPTextModel | CLIPTextModelWithProjection,
        *,
        depth: Depth,
    ) -> None:
        """Take both as they were loaded; they must belong together."""
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.depth = depth
        self.concepts: list[Concept] = []
        self._table = ConceptTable()
        self._own_rows = self.embedding.weight.shape[0]
        self._begin = _token_id(tokenizer.bos_token_id, "begin")
        self._end = _token_id(tokenizer.eos_token_id, "end")
        self._padding = _token_id(tokenizer.pad_token_id, "padding")
        self._comma = self._find_comma()

    @property
    def body(self) -> CLIPTextModel:
        """The encoder without its projection head."""
        encoder = self.encoder
        return encoder if self._projection is None else cast("CLIPTextModelWithProjection", encoder).text_model

    @property
    def _projection(self) -> nn.Linear | None:
        return getattr(self.encoder, "text_projection", None)

    @property
    def embedding(self) -> nn.Embedding:
        """The token embedding; rows above the encoder's own belong to attached concepts."""
        return self.body.embeddings.token_embedding

    @property
    def width(self) -> int:
        """Return the width of hidden states and of concept vectors."""
        return int(self.encoder.config.hidden_size)

    @property
    def length(self) -> int:
        """Return how many prompt tokens fit one chunk (75 for CLIP)."""
        return int(self.encoder.config.max_position_embeddings) - 2

    def cut(self, segments: Segments) -> tuple[Chunk, ...]:
        """Tokenize the spans of each segment and cut them into chunks."""
        pieces = [[piece for span in segment for piece in self._read(span)] for segment in segments]
        return cut_chunks(pieces, length=self.length, comma=self._comma)

    def find_words(self, segments: Segments, text: str) -> tuple[int, ...]:
        """Return the positions of words in the encoded prompt, begin tokens counted; none where they are not whole.

        Where the words stand several times, all their places count.
        """
        wanted = [i for piece in self._read(WeightedSpan(text)) for i in piece.ids]
        found: list[int] = []
        for number, chunk in enumerate(self.cut(segments)):
            first = number * (self.length + 2) + 1
            for at in range(len(chunk.ids) - len(wanted) + 1):
                if wanted and list(chunk.ids[at : at + len(wanted)]) == wanted:
                    found += range(first + at, first + at + len(wanted))
        return tuple(dict.fromkeys(found))

    def check_clip_skip(self, clip_skip: int) -> None:
        """Check that the layer exists.

        Raises: RequestError when the encoder has fewer layers.
        """
        layers = int(self.encoder.config.num_hidden_layers)
        if clip_skip < 1 or self.depth.layer(clip_skip) > layers:
            raise RequestError(
                "clip_skip points outside the text encoder",
                got=clip_skip,
                do=f"Use 1 (the model's own layer) to {layers + self.depth.missing}",
            )

    @torch.no_grad()
    def encode(self, chunk: Chunk, *, clip_skip: int = 1) -> tuple[Tensor, Tensor | None]:
        """Encode one chunk; weights are applied to the hidden states.

        Returns: float32 [1, length + 2, width] and, with a projection head, the unweighted pooled
        vector float32 [1, projection]. One chunk at a time, so what else is encoded with it cannot
        change its bits.
        """
        ids = torch.tensor([self.frame(chunk)], device=self.embedding.weight.device)
        hidden, last = self.run_body(ids, clip_skip=clip_skip)
        return self._weigh(hidden.float(), chunk), self.pool(last, ids)

    def frame(self, chunk: Chunk) -> list[int]:
        """Return the ids of a chunk between begin and end, padded to `length` + 2."""
        return frame_chunk(chunk, length=self.length, begin=self._begin, end=self._end, padding=self._padding)

    def run_body(self, ids: Tensor, *, clip_skip: int = 1) -> tuple[Tensor, Tensor]:
        """Run framed ids [B, length + 2]; return the layer that the UNet reads and the last one, [B, length + 2, width].

        Gradients flow where they are on.
        """
        states = self.body(ids, output_hidden_states=True).hidden_states
        assert states is not None, "hidden states were asked for"
        hidden = states[-self.depth.layer(clip_skip)]
        return (self.body.final_layer_norm(hidden) if self.depth.normed else hidden), states[-1]

    def replace_concepts(self, concepts: Sequence[Concept]) -> None:
        """Put exactly these concepts in force; the encoder's own rows keep their bits."""
        # Not inference tensors, whoever calls: a concept may be trained on.
        with torch.inference_mode(mode=False), torch.no_grad():
            old = self.embedding.weight
            own = old[: self._own_rows]
            added = [concept.vectors.to(old.device, old.dtype) for concept in concepts]
            weight = nn.Parameter(torch.cat([own, *added]), requires_grad=old.requires_grad)
        self.embedding.weight = weight
        self.embedding.num_embeddings = weight.shape[0]
        self.concepts = list(concepts)
        self._table.replace(self._number(concepts))

    def find_concept(self, name: str) -> Concept | None:
        """Find the attached concept of this name."""
        folded = fold_name(name)
        return next((c for c in self.concepts if folded in map(fold_name, c.names)), None)

    def _number(self, concepts: Sequence[Concept]) -> dict[str, tuple[int, ...]]:
        rows: dict[str, tuple[int, ...]] = {}
        start = self._own_rows
        for concept in concepts:
            ids = tuple(range(start, start + concept.vectors.shape[0]))
            rows.update(dict.fromkeys(concept.names, ids))
            start += len(ids)
        return rows

    def _read(self, span: WeightedSpan) -> list[Piece]:
        pieces: list[Piece] = []
        for part in self._table.split(span.text):
            if isinstance(part, str):
                pieces.extend(Piece((token,), span.weight) for token in self._tokenize(part))
            else:
                pieces.append(Piece(part, span.weight))
        return pieces

    def _tokenize(self, text: str) -> list[int]:
        # verbose=False: no advice about texts longer than one window; cutting them is our part.
        return self.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]  # pyright: ignore[reportReturnType]

    def _find_comma(self) -> int | None:
        ids = self._tokenize(",")
        return ids[0] if len(ids) == 1 else None

    def pool(self, last: Tensor, ids: Tensor) -> Tensor | None:
        """Return the pooled vectors float32 [B, projection] of last states [B, length + 2, width] and their framed ids.

        None where the encoder has no projection head. Gradients flow where they are on.
        """
        projection = self._projection
        if projection is None:
            return None
        # Not the encoder's own pooling: it looks for the largest id, which a concept's row would be.
        ends = (ids == self._end).int().argmax(dim=1)
        rows = torch.arange(len(ids), device=last.device)
        return projection(self.body.final_layer_norm(last)[rows, ends]).float()

    def _weigh(self, hidden: Tensor, chunk: Chunk) -> Tensor:
        if not chunk.weighted:
            return hidden
        weights = frame_weights(chunk, length=self.length)
        return restore_mean(hidden, torch.tensor(weights, device=hidden.device))


def restore_mean(hidden: Tensor, weights: Tensor) -> Tensor:
    """Multiply hidden states [1, tokens, width] by token weights and scale their mean back.

    As A1111 does; but where the two means disagree in sign or by more than the weights can explain
    (encoders whose states average to about zero, as SDXL's can), the scale is held within the range
    of the weights instead of amplifying rounding noise.
    """
    weighed = hidden * weights[None, :, None]
    low = 1.0 / max(1.0, float(weights.max()))
    high = 1.0 / max(1.0 / LARGEST_MEAN_GAIN, min(1.0, float(weights.min())))
    gain = float(hidden.mean()) / (float(weighed.mean()) or 1.0)
    return weighed * min(max(gain, low), high)


def _token_id(value: object, name: str) -> int:
    if not isinstance(value, int):
        raise ModelError(f"the tokenizer has no {name} token", got=value, do="Use a CLIP tokenizer folder")
    return value
