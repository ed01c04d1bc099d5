"""How a denoiser computes, as far as it changes the last bits of a picture.

Knows no machine: `models.hardware.policy` chooses. Start reading at `Arithmetic`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sfumato.core.errors import RequestError

NUMBER_TYPES = ("fp32", "fp16", "bf16")
ATTENTIONS = ("sdpa", "plain", "blocked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """How a denoiser computes: its number type, its attention, and whether its weights are packed.

    A machine chooses these by its measured speed, and each changes the last bits. `attention` is sdpa (torch's own),
    plain or blocked.
    """

    number_type: str
    attention: str = "sdpa"
    packed: bool = False

    def __post_init__(self) -> None:
        if self.number_type not in NUMBER_TYPES:
            raise RequestError("unknown number type", got=self.number_type, do=f"Use {', '.join(NUMBER_TYPES)}.")
        if self.attention not in ATTENTIONS:
            raise RequestError("unknown attention", got=self.attention, do=f"Use {', '.join(ATTENTIONS)}.")

    def __str__(self) -> str:
        """Name it: "bf16, blocked attention, packed"."""
        return f"{self.number_type}, {self.attention} attention{', packed' if self.packed else ''}"
