"""The prompt schedule: prompt and negative prompt of each step, encoded once per change.

Knows the text side of a model only. Start reading at `PromptSchedule.at_step`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sfumato.core.prompt.grammar import PromptPart, parse_prompt
from sfumato.models.text.conditioning import Conditioning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfumato.core.geometry import PixelSize
    from sfumato.core.prompt.grammar import WeightedSpan
    from sfumato.core.request import RenderRequest
    from sfumato.models.latent_model import LatentModel
    from sfumato.models.text.conditioning import ConditioningPart


class PromptSchedule:
    """Encode the two prompts of a request; prompts that change between steps are encoded when they do."""

    def __init__(self, model: LatentModel, request: RenderRequest) -> None:
        self._model = model
        self._clip_skip = request.clip_skip
        self._wanted, self._unwanted = parse_prompt(request.prompt), parse_prompt(request.negative)
        self._encoded: dict[object, tuple[Conditioning, Conditioning]] = {}

    def at_step(self, step: int, steps: int, size: PixelSize) -> tuple[Conditioning, Conditioning]:
        """Return (prompt, negative prompt) for a step of a schedule, for a picture or window of `size`."""
        parts = (self._wanted.at_step(step, steps), self._unwanted.at_step(step, steps))
        key = (parts, size)
        if key not in self._encoded:
            self._encoded[key] = self._encode(*parts, size)
        return self._encoded[key]

    def at_windows(
        self, phrases: Sequence[tuple[WeightedSpan, ...]], size: PixelSize
    ) -> tuple[Conditioning, Conditioning]:
        """Return (prompts, negative prompt) for a batch of windows, each with words of its own."""
        rows = [self._at_window(spans, size) for spans in phrases]
        hidden = torch.cat([row.hidden for row in rows])
        pooled = [row.pooled for row in rows if row.pooled is not None]
        together = replace(rows[0], weight=1.0, hidden=hidden, pooled=torch.cat(pooled) if pooled else None)
        return Conditioning((together,)), self.at_step(0, 1, size)[1]

    def _at_window(self, spans: tuple[WeightedSpan, ...], size: PixelSize) -> ConditioningPart:
        key = (spans, size)
        if key not in self._encoded:
            both = (PromptPart(1.0, (spans,)),), self._unwanted.at_step(0, 1)
            self._encoded[key] = self._encode(*both, size, least=self._count_chunks())
        return self._encoded[key][0].parts[0]

    def _count_chunks(self) -> int:
        """Count the chunks of the whole prompt: windows of one batch, and both halves, have one length."""
        parts = (*self._wanted.at_step(0, 1), *self._unwanted.at_step(0, 1))
        return max(self._model.text.count_chunks(part.segments) for part in parts)

    def _encode(
        self, wanted: tuple[PromptPart, ...], unwanted: tuple[PromptPart, ...], size: PixelSize, *, least: int = 1
    ) -> tuple[Conditioning, Conditioning]:
        # Both halves of guidance at one length can share a forward pass.
        chunks = max(least, *(self._model.text.count_chunks(part.segments) for part in (*wanted, *unwanted)))
        encode, skip = self._model.encode_prompt, self._clip_skip
        return (
            encode(wanted, size=size, clip_skip=skip, chunks=chunks),
            encode(unwanted, size=size, clip_skip=skip, chunks=chunks, negative=True),
        )
