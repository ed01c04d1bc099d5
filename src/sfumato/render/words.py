"""What the denoiser is told at each step: prompt and negative prompt, encoded once per change.

Knows the text side of a model only. Start reading at `Words.at_step`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.core.prompt import parse_prompt

if TYPE_CHECKING:
    from sfumato.core.geometry import PixelSize
    from sfumato.core.prompt import Part
    from sfumato.core.request import RenderRequest
    from sfumato.models.conditioning import Conditioning
    from sfumato.models.contract import LatentModel


class Words:
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

    def _encode(
        self, wanted: tuple[Part, ...], unwanted: tuple[Part, ...], size: PixelSize
    ) -> tuple[Conditioning, Conditioning]:
        # Both halves of guidance at one length can share a forward pass.
        chunks = max(self._model.text.count_chunks(part.segments) for part in (*wanted, *unwanted))
        encode, skip = self._model.encode_prompt, self._clip_skip
        return (
            encode(wanted, size=size, clip_skip=skip, chunks=chunks),
            encode(unwanted, size=size, clip_skip=skip, chunks=chunks, negative=True),
        )
