"""What the text encoders hand to the denoiser: one frozen value per prompt and step.

Knows tensors, not words: `sfumato.models.text.encoder` makes these, `LatentModel.denoise` reads them.
Start reading at `Conditioning`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class ConditioningPart:
    """Hold one AND part of a prompt.

    `hidden` is [1, tokens, width]; tokens is a multiple of the encoder's length (77, 154, ...).
    `pooled` [1, width] and `time_ids` [1, 6] (original height and width, crop top and left,
    target height and width, in pixels) belong to SDXL and are None elsewhere.
    """

    weight: float
    hidden: Tensor
    pooled: Tensor | None = None
    time_ids: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Hold the AND parts of one prompt, at least one; a whole batch is denoised with it."""

    parts: tuple[ConditioningPart, ...]

    def __post_init__(self) -> None:
        assert self.parts, "a prompt without a part has nothing to denoise towards"

    @property
    def total_weight(self) -> float:
        """Sum the weights of the parts."""
        return sum(part.weight for part in self.parts)
