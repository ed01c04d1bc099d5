"""How a concept is trained: everything that changes the weights that come out.

Knows values alone. Start reading at `ConceptSettings`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from sfumato.core.errors import RequestError

Rung = Literal["words", "inversion", "lora"]
RUNGS: tuple[Rung, ...] = ("words", "inversion", "lora")
MOST_VECTORS, MOST_RANK, MOST_BATCH = 8, 16, 64
NUMBER_TYPES = ("fp32", "bf16")
# Rows that every other step adds for prompts without the trigger, where the UNet may change.
RETENTION_ROWS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptSettings:
    """Say how a concept is trained: everything that changes the weights.

    `rung` is words (no training: the description), inversion (vectors), or lora (vectors and a LoRA). `keep` weighs the
    distance from the frozen base, outside masks and on prompts without the trigger. `vector_rate` counts in the spread
    of the encoder's table.

    What saves memory: `micro_batch` rows go through the networks at once (0: all rows of a step), `checkpointing`
    computes blocks twice instead of keeping what is inside them, `number_type` is that of the frozen base.
    """

    rung: Rung = "lora"
    vectors: int = 4
    rank: int = 8
    batch: int = 6
    vector_rate: float = 0.06
    lora_rate: float = 5e-4
    keep: float = 1.0
    seed: int = 1
    micro_batch: int = 0
    checkpointing: bool = False
    number_type: str = "fp32"
    text_lora: bool = False

    def __post_init__(self) -> None:
        if self.rung not in RUNGS:
            raise RequestError("unknown `rung`", got=self.rung, do=f"Use {', '.join(RUNGS)}.")
        if self.number_type not in NUMBER_TYPES:
            do = f"Use {', '.join(NUMBER_TYPES)}."
            raise RequestError("unknown `number_type` of the base", got=self.number_type, do=do)
        bounds = (
            ("vectors", self.vectors, 1, MOST_VECTORS),
            ("rank", self.rank, 1, MOST_RANK),
            ("batch", self.batch, 1, MOST_BATCH),
            ("micro_batch", self.micro_batch, 0, MOST_BATCH),
        )
        for name, value, least, most in bounds:
            if not least <= value <= most:
                raise RequestError(f"`{name}` is out of range", got=value, do=f"Say {least} to {most}.")
        if self.text_lora and self.rung != "lora":
            raise RequestError("`text_lora` has no effect without a LoRA", got=self.rung, do="Use the rung lora.")

    def to_json(self) -> dict[str, float | int | str]:
        """Return the settings as JSON values."""
        return asdict(self)
