"""Plan the memory that teaching takes, and choose settings that fit a budget; from headers alone.

Knows a model's contract and settings; loads nothing. Start reading at `choose_settings`.

The bytes of a step grow with the rows that it takes at once. They were counted by `simulate` for the shapes in `STEPS`;
another shape is simulated when it is planned, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sfumato.core.errors import BudgetError
from sfumato.customize.settings import RETENTION_ROWS
from sfumato.models.autoencoder.estimate import LEAST_BYTES, WORKSPACE_BYTES, estimate_kl_bytes
from sfumato.models.describe import load_contract

if TYPE_CHECKING:
    from sfumato.customize.settings import ConceptSettings
    from sfumato.models.contract import ModelContract

GB = 1_000_000_000
_NUMBER_BYTES = {"fp32": 4, "bf16": 2}
# A trained number stands in its parameter, its gradient, Adam's two averages, the running average, the best so far, and
# for a moment in the step's own temporary.
TRAINED_COPIES = 7
# Two codes of 8 bits, and a scale of float32 for each in a block of 256.
PACKED_BYTES = 2 + 2 * 4 / 256
# Tensors in float32 that are there while one weight is stepped.
UPDATE_COPIES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """Say what a step takes in bytes: for `each` row at once, and `inside` its largest operation.

    `rank_numbers` counts the numbers that a LoRA of rank 1 trains, `numbers` those that an OFT or full tuning does,
    `largest` those of the largest of their tensors.
    """

    each: int
    inside: int
    rank_numbers: int = 0
    numbers: int = 0
    largest: int = 0


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Hold what teaching takes with some settings: parts in bytes, and the sum of those that are there at once.

    `files_bytes` lie in files beside: caches are not counted.
    """

    settings: ConceptSettings
    parts: tuple[tuple[str, int], ...]
    files_bytes: int = 0

    @property
    def peak(self) -> int:
        """Return the most bytes at once."""
        return sum(size for _, size in self.parts)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        found = {"peak_bytes": self.peak, "parts": dict(self.parts), "settings": self.settings.to_json()}
        return found | ({"files_bytes": self.files_bytes} if self.files_bytes else {})

    def to_text(self) -> str:
        """Say it in lines."""
        rows = [f"{name:<44} {size / GB:7.2f} GB" for name, size in (*self.parts, ("at once, at most", self.peak))]
        rows += [f"{'in files beside':<44} {self.files_bytes / GB:7.2f} GB"] if self.files_bytes else []
        return "\n".join([*rows, f"with {describe_settings(self.settings)}"])


def plan_memory(ref: str, settings: ConceptSettings, *, program_bytes: int) -> MemoryPlan:
    """Plan the memory of teaching a base; `program_bytes` is what the program itself takes.

    Raises:
        UnsafeFileError, ModelError: it is no checkpoint that can be opened.
    """
    return _plan(ref, load_contract(ref), settings, program_bytes)


def choose_settings(
    ref: str, settings: ConceptSettings, budget_bytes: int, *, program_bytes: int, is_free: bool = True
) -> MemoryPlan:
    """Return the plan of the settings that fit a budget and differ least from those that are wanted.

    In this order: fewer rows at once; checkpoints of blocks; the base in bf16; a lower rank; and, where the rung
    `is_free`, vectors alone. The first two change the last bits of what is learned at most.

    In full tuning: checkpoints of blocks; averages in 8 bits; weights and averages in files; weights in bf16; and fewer
    pictures a step. The first and the third change nothing of what is learned.

    Raises:
        BudgetError: nothing fits; says the least that would.
        UnsafeFileError, ModelError: as `plan_memory`.
    """
    contract = load_contract(ref)
    least: MemoryPlan | None = None
    for tried in _list_settings(settings, is_free=is_free):
        plan = _plan(ref, contract, tried, program_bytes)
        if plan.peak <= budget_bytes:
            return plan
        if least is None or plan.peak < least.peak:
            least = plan
    assert least is not None, "the settings themselves were tried"
    do = f"Set `budget_gb` to {least.peak / GB + 0.05:.1f}: {describe_settings(least.settings)}."
    raise BudgetError(
        "no way of teaching this base fits the budget",
        got=f"{budget_bytes / GB:.2f} GB, the least is {least.peak / GB:.2f} GB",
        do=do,
    )


def describe_settings(settings: ConceptSettings) -> str:
    """Say in words what settings mean for memory."""
    rows = settings.micro_batch or settings.batch
    words = [f"rung {settings.rung}"]
    words += [f"rank {settings.rank}"] if settings.rung == "lora" else []
    words += [f"blocks of {settings.block}"] if settings.rung == "oft" else []
    full = settings.rung == "full"
    words += [f"{rows} pictures a step"] if full else [f"{rows} of {settings.batch} rows at once"]
    words += [f"{'weights' if full else 'base'} in {settings.number_type}"]
    words += ["text encoders too"] if settings.train_text else []
    words += ["averages in 8 bits"] if settings.optimiser == "adam8" else []
    words += ["weights and averages in files"] if settings.offload else []
    words += ["blocks computed twice"] if settings.checkpointing else []
    return ", ".join(words)


def _list_settings(wanted: ConceptSettings, *, is_free: bool) -> Iterator[ConceptSettings]:
    if wanted.rung == "full":
        yield from _list_full(wanted)
        return
    ways = [wanted]
    if is_free and wanted.rung == "lora":
        ways.append(replace(wanted, rung="inversion", text_lora=False))
    for way in ways:
        yield way
        fewer = _list_fewer_rows(way)
        yield from fewer
        small = [replace(one, checkpointing=True) for one in fewer or [way]]
        yield from small
        least = replace(small[-1], number_type="bf16")
        yield least
        if way.rung == "lora" and way.rank > 1:
            yield replace(least, rank=max(1, way.rank // 4))


def _list_full(wanted: ConceptSettings) -> Iterator[ConceptSettings]:
    yield wanted
    found = wanted
    for change in ({"checkpointing": True}, {"optimiser": "adam8"}, {"offload": True}, {"number_type": "bf16"}):
        found = replace(found, **change)  # pyright: ignore[reportArgumentType]
        yield found
    while found.batch > 1:
        found = replace(found, batch=found.batch // 2)
        yield found


def _list_fewer_rows(settings: ConceptSettings) -> list[ConceptSettings]:
    """Return the settings with half the rows at once, a quarter, and so on to one."""
    found: list[ConceptSettings] = []
    rows = settings.micro_batch or settings.batch
    while rows > 1:
        rows = -(-rows // 2)
        found.append(replace(settings, micro_batch=rows))
    return found


def _plan(ref: str, contract: ModelContract, settings: ConceptSettings, program_bytes: int) -> MemoryPlan:
    cost = find_step_cost(ref, contract, settings)
    if settings.rung == "full":
        return _plan_full(contract, settings, cost, program_bytes)
    rows = settings.micro_batch or settings.batch + (RETENTION_ROWS if settings.rung != "inversion" else 0)
    others = contract.parameters - contract.denoiser_parameters
    weights = 4 * others + _NUMBER_BYTES[settings.number_type] * contract.denoiser_parameters
    ranks = settings.rank if settings.rung == "lora" else 0
    numbers = cost.rank_numbers * ranks + cost.numbers + settings.vectors * contract.text_width
    trained = 4 * TRAINED_COPIES * numbers
    step = cost.each * rows + cost.inside
    if settings.rung == "words":
        step = 0
    # Pictures are encoded before the first step and drawn between steps: never at the same time.
    drawn = estimate_pictures(contract)
    parts = (
        ("the program", program_bytes),
        ("weights of the base", weights),
        ("what is trained, its averages and best state", trained),
        (f"a step of {rows} rows at once, or a picture", max(step, drawn)),
    )
    return MemoryPlan(settings=settings, parts=parts)


def _plan_full(contract: ModelContract, settings: ConceptSettings, cost: StepCost, program_bytes: int) -> MemoryPlan:
    """Plan full tuning: nothing of the base but the networks that learn nothing, and one gradient at a time."""
    number, others = _NUMBER_BYTES[settings.number_type], contract.parameters - contract.denoiser_parameters
    texts = cost.numbers - contract.denoiser_parameters
    weights = {"weights that learn": number * contract.denoiser_parameters, "other weights": 4 * others}
    averages = {
        "Adam's averages": round(cost.numbers * (8 if settings.optimiser == "adam" else PACKED_BYTES)),
        "running average and best state": cost.numbers * (4 + 2),
        # A check puts the averages in force and keeps what learns meanwhile.
        "weights put aside in a check": number * contract.denoiser_parameters + 4 * texts,
    }
    rows = settings.batch + min(RETENTION_ROWS, settings.batch)
    # Its gradient, and Adam's arithmetic in float32.
    update = cost.largest * (number + 4 * UPDATE_COPIES)
    step = max(cost.each * rows + cost.inside + update, estimate_pictures(contract))
    if settings.offload:
        # Weights are in memory once, before they move into files.
        step = max(step, weights["weights that learn"])
    files = sum(averages.values()) + weights["weights that learn"] if settings.offload else 0
    held = {"other weights": weights["other weights"]} if settings.offload else weights | averages
    parts = {"the program": program_bytes, **held, f"a step of {rows} rows at once, or a picture": step}
    return MemoryPlan(settings=settings, parts=tuple(parts.items()), files_bytes=files)


def estimate_pictures(contract: ModelContract) -> int:
    """Return the bytes in which pictures are encoded and decoded: whole where that is little, else in tiles."""
    if contract.autoencoder == "tiny":
        return WORKSPACE_BYTES
    size = contract.native.to_latent(contract.factor)
    return min(estimate_kl_bytes(contract.autoencoder_channels, size, 4, factor=contract.factor), LEAST_BYTES)


def find_step_cost(ref: str, contract: ModelContract, settings: ConceptSettings) -> StepCost:
    """Return the cost of a step: counted before for the usual shapes, else simulated now.

    Raises:
        ModelError: the networks cannot be built.
    """
    if settings.rung == "words":
        return StepCost(each=0, inside=0)
    shape = (contract.denoiser_parameters, contract.text_width, contract.native.width)
    kind = (settings.rung, settings.checkpointing, settings.number_type)
    known = STEPS.get(shape, {}).get(kind)
    if known is not None and not settings.text_lora and not settings.train_text:
        return known
    # What a step takes does not depend on where averages lie.
    full = {"optimiser": "adam", "offload": False} if settings.rung == "full" else {}
    return simulate_cost(ref, replace(settings, batch=1, micro_batch=0, seed=1, **full))  # pyright: ignore[reportArgumentType]


@lru_cache(maxsize=64)
def simulate_cost(ref: str, settings: ConceptSettings) -> StepCost:
    """Simulate a step of 1 row; more rows take as many times its bytes. Cost: seconds, for the shapes of SDXL a minute.

    Raises: as `find_step_cost`.
    """
    from sfumato.customize.memory.simulate import measure_step
    from sfumato.models.empty import build_empty

    model = build_empty(ref, number_type=settings.number_type)
    found = measure_step(model, settings, rows=1, captions=1)
    if settings.rung == "full":
        return StepCost(each=found.peak, inside=found.inside, numbers=found.trained, largest=found.largest)
    vectors = settings.vectors * sum(int(encoder.config.hidden_size) for encoder in model.text_encoders)
    numbers = found.trained - vectors
    if settings.rung == "oft":
        return StepCost(each=found.peak, inside=found.inside, numbers=numbers)
    ranked = numbers // settings.rank if settings.rung == "lora" else 0
    return StepCost(each=found.peak, inside=found.inside, rank_numbers=ranked)


_Kind = tuple[str, bool, str]
# By parameters of the denoiser, width of its text and native side; then by rung, checkpoints, number type of the base.
# Counted by `measure_step` with a LoRA of rank 8; a slow test counts those of mini again.
STEPS: dict[tuple[int, int, int], dict[_Kind, StepCost]] = {
    # mini
    (19_306_884, 256, 128): {
        ("inversion", False, "fp32"): StepCost(each=14_113_032, inside=4_882_432),
        ("inversion", True, "fp32"): StepCost(each=3_421_712, inside=4_882_432),
        ("lora", False, "fp32"): StepCost(each=14_779_848, inside=4_882_432, rank_numbers=24_640),
        ("lora", True, "fp32"): StepCost(each=3_421_712, inside=4_882_432, rank_numbers=24_640),
        # Not counted: as much as in fp32 is too much.
        ("inversion", True, "bf16"): StepCost(each=3_421_712, inside=4_882_432),
        ("lora", True, "bf16"): StepCost(each=3_421_712, inside=4_882_432, rank_numbers=24_640),
    },
    # SD 1.x
    (859_520_964, 768, 512): {
        ("inversion", False, "fp32"): StepCost(each=1_566_756_880, inside=131_072_000),
        ("inversion", True, "fp32"): StepCost(each=453_232_912, inside=131_072_000),
        ("lora", False, "fp32"): StepCost(each=1_690_792_976, inside=131_072_000, rank_numbers=199_296),
        ("lora", True, "fp32"): StepCost(each=464_510_032, inside=131_072_000, rank_numbers=199_296),
        ("inversion", True, "bf16"): StepCost(each=228_754_576, inside=65_536_000),
        ("lora", True, "bf16"): StepCost(each=234_489_392, inside=65_536_000, rank_numbers=199_296),
    },
    # SDXL
    (2_567_463_684, 2048, 1024): {
        ("inversion", False, "fp32"): StepCost(each=10_847_053_088, inside=157_859_840),
        ("inversion", True, "fp32"): StepCost(each=1_209_110_288, inside=157_859_840),
        ("lora", False, "fp32"): StepCost(each=11_705_919_648, inside=157_859_840, rank_numbers=1_451_520),
        ("lora", True, "fp32"): StepCost(each=1_230_873_168, inside=157_859_840, rank_numbers=1_451_520),
        # Not counted: as much as in fp32 is too much.
        ("inversion", True, "bf16"): StepCost(each=1_209_110_288, inside=157_859_840),
        ("lora", True, "bf16"): StepCost(each=1_230_873_168, inside=157_859_840, rank_numbers=1_451_520),
    },
}
