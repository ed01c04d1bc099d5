"""How a concept is trained: everything that changes the weights that come out.

Knows values alone. Start reading at `ConceptSettings`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sfumato.core.errors import RequestError

Rung = Literal["words", "inversion", "lora", "oft", "full"]
RUNGS: tuple[Rung, ...] = ("words", "inversion", "lora", "oft", "full")
# Rungs that train something small beside the UNet, in `Learner`.
ADAPTERS: tuple[Rung, ...] = ("lora", "oft")
MOST_VECTORS, MOST_RANK, MOST_BATCH, MOST_BLOCK = 8, 16, 64, 64
OPTIMISERS = ("adam", "adam8")
NUMBER_TYPES = ("fp32", "bf16")
# Rows that every other step adds for prompts without the trigger, where the UNet may change.
RETENTION_ROWS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptSettings:
    """Say how a concept is trained: everything that changes the weights.

    `rung` is words (no training: the description), inversion (vectors), lora (vectors and a LoRA), oft (vectors and
    rotations in blocks of `block`), or full (every weight of the UNet; with `train_text` of the text encoders too; no
    vectors). `keep` weighs the distance from the frozen base, outside masks and on prompts without the trigger.
    `vector_rate` counts in the spread of the encoder's table.

    What saves memory: `micro_batch` rows go through the networks at once (0: all rows of a step), `checkpointing`
    computes blocks twice instead of keeping what is inside them, `number_type` is that of the base. Of the rung full
    alone: `optimiser` adam8 keeps its averages in 8 bits, `offload` keeps weights and averages in files.
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
    block: int = 8
    full_rate: float = 2e-5
    train_text: bool = False
    optimiser: str = "adam"
    offload: bool = False

    def __post_init__(self) -> None:
        if self.rung not in RUNGS:
            raise RequestError("unknown `rung`", got=self.rung, do=f"Use {', '.join(RUNGS)}.")
        if self.number_type not in NUMBER_TYPES:
            do = f"Use {', '.join(NUMBER_TYPES)}."
            raise RequestError("unknown `number_type` of the base", got=self.number_type, do=do)
        if self.optimiser not in OPTIMISERS:
            raise RequestError("unknown `optimiser`", got=self.optimiser, do=f"Use {', '.join(OPTIMISERS)}.")
        bounds = (
            ("vectors", self.vectors, 1, MOST_VECTORS),
            ("rank", self.rank, 1, MOST_RANK),
            ("batch", self.batch, 1, MOST_BATCH),
            ("micro_batch", self.micro_batch, 0, MOST_BATCH),
            ("block", self.block, 2, MOST_BLOCK),
        )
        for name, value, least, most in bounds:
            if not least <= value <= most:
                raise RequestError(f"`{name}` is out of range", got=value, do=f"Say {least} to {most}.")
        if self.text_lora and self.rung != "lora":
            raise RequestError("`text_lora` has no effect without a LoRA", got=self.rung, do="Use the rung lora.")
        self._check_full()

    def _check_full(self) -> None:
        if self.rung == "full":
            if self.micro_batch:
                do = "Use a smaller `batch`: weights change during the backward pass, so all rows take it together."
                raise RequestError("`micro_batch` has no effect in full tuning", got=self.micro_batch, do=do)
            return
        for name, usual in (("train_text", False), ("optimiser", "adam"), ("offload", False)):
            if (value := getattr(self, name)) != usual:
                raise RequestError(f"`{name}` has no effect without full tuning", got=value, do="Use the rung full.")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)
