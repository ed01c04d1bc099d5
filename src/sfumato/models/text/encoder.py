"""Turn the spans of a parsed prompt into what the UNet attends to, for each model family.

Knows how SD 1.x, SD 2.x, SDXL and mini read their text encoders; it does not know the prompt
grammar (`core.prompt`) or guidance. Start reading at `PromptEncoder.encode`.

Families: SD 1.x and mini read the last layer of one CLIP encoder through the final norm; SD 2.x
the same of an OpenCLIP-H that was cut to its penultimate layer; SDXL joins the penultimate layers
of two encoders and adds the pooled vector of the second and six numbers about sizes.
Source: SDXL, Podell et al. 2023, sections 2.1 and 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.models.text.chunks import Chunk
from sfumato.models.text.clip import Depth, Segments, TextTower

# What A1111 calls clip skip 1 means the model's own layer; families whose own layer is the
# penultimate read 1 and 2 alike, and their users write 2.
DEPTHS = {
    "mini": Depth(own=1),
    "sd1": Depth(own=1),
    "sd2": Depth(own=2, missing=1),
    "sdxl": Depth(own=2, normed=False),
}


@dataclass(frozen=True, slots=True)
class EncodedText:
    """Encoded prompts of one equal length.

    `hidden` is float32 [prompts, tokens, text width]; `pooled` float32 [prompts, projection], only
    for families that use it.
    """

    hidden: Tensor
    pooled: Tensor | None = None


class PromptEncoder:
    """The text towers of one model, read as its family reads them."""

    def __init__(self, towers: Sequence[TextTower], *, zero_empty: bool = False) -> None:
        """Take one tower, or SDXL's two in order.

        `zero_empty`: an empty prompt becomes zeros where the caller allows it (SDXL's
        `force_zeros_for_empty_prompt`).
        """
        assert towers, "a prompt needs a text encoder"
        self.towers = tuple(towers)
        self.zero_empty = zero_empty

    @property
    def width(self) -> int:
        """Return the width of the joined hidden states."""
        return sum(tower.width for tower in self.towers)

    def count_chunks(self, segments: Segments) -> int:
        """Return how many chunks this prompt needs."""
        return max(len(tower.cut(segments)) for tower in self.towers)

    def find_words(self, segments: Segments, text: str) -> tuple[int, ...]:
        """Return where words stand in the encoded prompt; see `TextTower.find_words`."""
        return self.towers[0].find_words(segments, text)

    def encode(
        self, prompts: Sequence[Segments], *, clip_skip: int = 1, chunks: int = 1, negative: bool = False
    ) -> EncodedText:
        """Encode prompts, padded with empty chunks to the longest of them, and to at least `chunks`.

        `clip_skip` counts as A1111 does: 1 is the model's own layer. `negative` marks prompts that
        guidance points away from: where the family asks for it, empty ones become zeros.
        Raises: RequestError when clip_skip points outside the encoder or there is no prompt.
        """
        if not prompts:
            raise RequestError("there is no prompt to encode", got=prompts, do="Pass at least one")
        for tower in self.towers:
            tower.check_clip_skip(clip_skip)
        length = max(chunks, *(self.count_chunks(segments) for segments in prompts))
        encoded = [self._encode_one(segments, clip_skip, length) for segments in prompts]
        if negative and self.zero_empty:
            encoded = [
                _zeros(one) if _is_empty(segments) else one for one, segments in zip(encoded, prompts, strict=True)
            ]
        pooled = [one.pooled for one in encoded if one.pooled is not None]
        return EncodedText(torch.cat([one.hidden for one in encoded]), torch.cat(pooled) if pooled else None)

    def _encode_one(self, segments: Segments, clip_skip: int, length: int) -> EncodedText:
        columns: list[Tensor] = []
        pooled: Tensor | None = None
        for tower in self.towers:
            cut = tower.cut(segments)
            cut += (Chunk(),) * (length - len(cut))
            states = [tower.encode(chunk, clip_skip=clip_skip) for chunk in cut]
            columns.append(torch.cat([hidden for hidden, _ in states], dim=1))
            # As A1111: a long prompt is summed up by its first chunk.
            pooled = states[0][1]
        return EncodedText(torch.cat(columns, dim=-1), pooled)


def size_condition(target: PixelSize, *, original: PixelSize | None = None, crop: tuple[int, int] = (0, 0)) -> Tensor:
    """Return SDXL's `time_ids`, float32 [6]: original height, width, crop top, left, target height, width.

    Pixels throughout; `crop` is (left, top). Source: Podell et al. 2023, section 2.2.
    """
    original = original or target
    left, top = crop
    values = (original.height, original.width, top, left, target.height, target.width)
    return torch.tensor(values, dtype=torch.float32)


def _is_empty(segments: Segments) -> bool:
    return not any(span.text.strip() for segment in segments for span in segment)


def _zeros(encoded: EncodedText) -> EncodedText:
    pooled = None if encoded.pooled is None else torch.zeros_like(encoded.pooled)
    return EncodedText(torch.zeros_like(encoded.hidden), pooled)
