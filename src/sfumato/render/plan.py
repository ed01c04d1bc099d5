"""A request becomes a plan: stages, windows, steps, evaluations, memory, disk and time.

Pure: reads no file, loads no weights, takes no clock; the same arguments give the same plan.
Start reading at `plan_render`; the engine executes what it returns and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from sfumato.core.errors import BudgetError, RequestError
from sfumato.core.geometry import LatentBox, LatentSize, PixelSize
from sfumato.core.prompt import parse_prompt
from sfumato.core.request import (
    CohesiveMethod,
    GobigMethod,
    ImageSource,
    InpaintSource,
    Method,
    MultidiffusionMethod,
    NativeMethod,
    RenderRequest,
    TextSource,
)
from sfumato.nn.samplers import make_sampler
from sfumato.nn.schedules import first_step, make_sigmas
from sfumato.render import budget as cost
from sfumato.render.budget import Budget
from sfumato.render.lattice import GUIDE_EVERY, count_windows
from sfumato.render.layout import Cover, choose_base_size, cut_down, fit_box, list_round_sizes

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract

# Up to this share of the native area a checkpoint still draws one picture, not several in one frame.
NATIVE_AREA_SLACK = 1.25
# Windows denoised in one call. Fixed, so that the bytes of a picture do not depend on the machine.
WINDOW_BATCH = 4
# A level of the cohesive method is at most so much larger than the one below.
LEVEL_ENLARGEMENT = 2.0
# Fewer cells than this and the deepest level of the denoiser has nothing left to see.
SMALLEST_SIDE_CELLS = 4

StageKind = Literal["sample", "refine", "fuse", "grow"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """State one piece of work: the same thing done to every window of one canvas.

    `sample` denoises the canvas at once, `refine` re-renders each window by img2img on an
    enlarged picture, `fuse` denoises the canvas through its windows, `grow` does so on an enlarged
    picture, with windows that move from step to step and a look at the whole at the size `guide`.
    Steps `first_step` to `steps` of the schedule are taken. `ticks` counts the reports of progress.
    """

    name: str
    kind: StageKind
    noise_stage: int
    canvas: PixelSize
    windows: tuple[LatentBox, ...]
    window_batch: int
    overlap_cells: int
    steps: int
    first_step: int
    ticks: int
    evaluations: int
    memory_bytes: int
    seconds: float
    guide: PixelSize | None = None

    def to_json(self) -> dict[str, object]:
        """Return the stage as JSON values; windows as their number and size."""
        window = self.windows[0].size
        return {
            "name": self.name,
            "kind": self.kind,
            "canvas": str(self.canvas),
            "windows": len(self.windows),
            "window_cells": str(window),
            "steps": self.steps - self.first_step,
            "evaluations": self.evaluations,
            "memory_bytes": self.memory_bytes,
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """State everything that will run for one picture of a request, and what it costs.

    `batch` pictures run one after the other, so memory does not grow with them and `seconds`,
    `evaluations` and `disk_bytes` are for one of them. `room_bytes` has to be free for the
    autoencoder to start; less than that is used. `autoencoder_bytes` is the most that it may take
    beside the rest, `spill_bytes` what it keeps on disk meanwhile where that is too little.
    """

    method: str
    size: PixelSize
    batch: int
    stages: tuple[Stage, ...]
    memory_bytes: int
    room_bytes: int
    disk_bytes: int
    seconds: float
    basis: str
    autoencoder_bytes: int | None = None
    spill_bytes: int = 0

    @property
    def evaluations(self) -> int:
        """Count the evaluations of the denoiser for one picture; guidance counts both halves."""
        return sum(stage.evaluations for stage in self.stages)

    def to_json(self) -> dict[str, object]:
        """Return the plan as JSON values, totals for the whole batch beside those of one picture."""
        return {
            "method": self.method,
            "size": str(self.size),
            "batch": self.batch,
            "stages": [stage.to_json() for stage in self.stages],
            "evaluations": self.evaluations,
            "memory_bytes": self.memory_bytes,
            "disk_bytes": self.disk_bytes,
            "spill_bytes": self.spill_bytes,
            "seconds": round(self.seconds, 2),
            "total_seconds": round(self.seconds * self.batch, 2),
            "total_disk_bytes": self.disk_bytes * self.batch,
            "seconds_basis": self.basis,
        }


def plan_render(request: RenderRequest, contract: ModelContract, budget: Budget) -> Plan:
    """Plan one picture of a request on a model, within a budget.

    Raises:
        RequestError: the size, sampler or a combination does not fit the model or method.
        BudgetError: more memory or disk than allowed; says the largest size that fits.
    """
    check_request(request, contract)
    plan = _draft_if_canvas_fits(request, contract, budget)
    if plan is None or not _fits(plan, budget):
        raise _over_budget(request, contract, budget, plan)
    return _draft(request, contract, budget, listed=True)


def choose_method(size: PixelSize, contract: ModelContract, *, from_picture: bool = False) -> Method:
    """Return the method used when none is asked for.

    Native where a checkpoint still draws one picture. Beyond that cohesive, except for a starting
    picture: growing would shrink it to native size first and lose what it shows.
    """
    if size.area <= contract.native.area * NATIVE_AREA_SLACK:
        return NativeMethod()
    return make_method("multidiffusion" if from_picture else "cohesive", contract)


def make_method(name: str, contract: ModelContract) -> Method:
    """Return the method of a name with what suits the model.

    Raises:
        RequestError: the name is unknown.
    """
    methods: tuple[Method, ...] = (
        NativeMethod(),
        GobigMethod(strength=contract.slice_strength),
        MultidiffusionMethod(),
        CohesiveMethod(),
    )
    known = {method.kind: method for method in methods}
    if name not in known:
        raise RequestError("unknown method", got=name, do=f"Use {', '.join(known)}.")
    return known[name]


def check_request(request: RenderRequest, contract: ModelContract) -> None:
    """Check what can only be judged with the model's contract at hand.

    Raises:
        RequestError: a side is no multiple of the factor or too small, or an option has no effect.
    """
    cells = find_canvas(request, contract).to_latent(contract.factor)
    if min(cells.width, cells.height) < SMALLEST_SIDE_CELLS:
        least = SMALLEST_SIDE_CELLS * contract.factor
        raise RequestError(f"a side has at least {least} pixels", got=str(request.size), do=f"Ask for {least} or more.")
    if isinstance(request.method, GobigMethod | CohesiveMethod):
        _check_growing(request, request.method, contract)
    if isinstance(request.source, ImageSource | InpaintSource) and request.source.strength == 0.0:
        raise RequestError("a strength of 0 changes nothing", do="Give a strength above 0, up to 1.")
    make_sampler(request.sampler)
    make_sigmas(request.schedule, contract.schedule, request.steps)
    for text in (request.prompt, request.negative):
        # What prompt editing brings in late is read now, not after the long part.
        parse_prompt(text).at_steps(request.steps)


def find_canvas(request: RenderRequest, contract: ModelContract) -> PixelSize:
    """Return what is denoised: the size asked for; a picture to inpaint keeps its own, padded to whole cells."""
    return request.size.round_up(contract.factor) if isinstance(request.source, InpaintSource) else request.size


def _check_growing(request: RenderRequest, method: GobigMethod | CohesiveMethod, contract: ModelContract) -> None:
    if isinstance(request.source, InpaintSource):
        raise RequestError(
            f"{method.kind} re-renders the whole picture, so it cannot keep the pixels outside a mask",
            do="Use --method native or --method multidiffusion with --mask.",
        )
    if choose_base_size(request.size, contract) == request.size:
        native = contract.native
        raise RequestError(
            f"{method.kind} has nothing to enlarge: {contract.name} draws {native} at once",
            got=str(request.size),
            do="Use --method native, or a larger --size.",
        )
    if method.strength == 0.0:
        what = "slices" if isinstance(method, GobigMethod) else "levels"
        option = "--slice-strength" if isinstance(method, GobigMethod) else "--level-strength"
        raise RequestError(f"{what} of strength 0 are not re-rendered", do=f"Give {option} above 0.")


def _draft(request: RenderRequest, contract: ModelContract, budget: Budget, *, listed: bool = False) -> Plan:
    """Draft a plan; unless `listed`, every stage holds only the first of its windows and costs the same."""
    stages = _list_stages(_Price(request=request, contract=contract, budget=budget, listed=listed))
    return Plan(
        method=request.method.kind,
        size=request.size,
        batch=request.batch,
        stages=stages,
        memory_bytes=max(stage.memory_bytes for stage in stages),
        room_bytes=max(_room(stage, contract, budget) for stage in stages),
        disk_bytes=cost.disk_bytes(request.size),
        seconds=sum(stage.seconds for stage in stages),
        basis=budget.cost.basis,
        autoencoder_bytes=min(cost.autoencoder_room(contract, budget, stage.canvas) for stage in stages),
        spill_bytes=max(_spill(stage, contract, budget) for stage in stages),
    )


def _list_stages(price: _Price) -> tuple[Stage, ...]:
    request, contract = price.request, price.contract
    method, canvas = request.method, find_canvas(request, contract)
    if isinstance(method, NativeMethod):
        return (_sample_stage(price, "native", canvas),)
    if isinstance(method, MultidiffusionMethod):
        window = (method.window or contract.native).to_latent(contract.factor)
        cover = Cover(canvas=canvas.to_latent(contract.factor), window=window, overlap_frac=method.overlap)
        return (price.stage("multidiffusion", "fuse", canvas, cover, _source_steps(request)),)
    if isinstance(method, CohesiveMethod):
        return _cohesive_stages(price, method)
    return _gobig_stages(price, method)


def _cohesive_stages(price: _Price, method: CohesiveMethod) -> tuple[Stage, ...]:
    contract, target = price.contract, price.request.size
    base = choose_base_size(target, contract)
    levels = list_round_sizes(base, target, LEVEL_ENLARGEMENT, contract.factor)
    span = (first_step(price.request.steps, method.strength), price.request.steps)
    stages = [_sample_stage(price, "base", base)]
    for index, canvas in enumerate(levels, start=1):
        cells = canvas.to_latent(contract.factor)
        # The overlap is a share of what a window really is, or a thin strip would have hundreds.
        window = cut_down(contract.native.to_latent(contract.factor), cells)
        cover = Cover(canvas=cells, window=window, overlap_frac=method.overlap)
        stage = price.stage(f"level {index} of {len(levels)}", "grow", canvas, cover, span)
        memory = price.count_enlarging(stage, stages[-1].canvas)
        stages.append(replace(stage, noise_stage=index, guide=base, memory_bytes=memory))
    return tuple(stages)


def _gobig_stages(price: _Price, method: GobigMethod) -> tuple[Stage, ...]:
    contract, target = price.contract, price.request.size
    base = choose_base_size(target, contract)
    rounds = list_round_sizes(base, target, method.upscale, contract.factor)
    window = contract.native.to_latent(contract.factor)
    steps = method.steps or price.request.steps
    stages = [_sample_stage(price, "base", base)]
    for index, canvas in enumerate(rounds, start=1):
        cover = Cover(canvas=canvas.to_latent(contract.factor), window=window, overlap_frac=method.overlap)
        span = (first_step(steps, method.strength), steps)
        stage = price.stage(f"round {index} of {len(rounds)}", "refine", canvas, cover, span)
        memory = price.count_enlarging(stage, stages[-1].canvas)
        stages.append(replace(stage, noise_stage=index, memory_bytes=memory))
    return tuple(stages)


def _sample_stage(price: _Price, name: str, canvas: PixelSize) -> Stage:
    cells = canvas.to_latent(price.contract.factor)
    whole = Cover(canvas=cells, window=cells)
    return price.stage(name, "sample", canvas, whole, _source_steps(price.request))


def _source_steps(request: RenderRequest) -> tuple[int, int]:
    if isinstance(request.source, TextSource):
        return (0, request.steps)
    return (first_step(request.steps, request.source.strength), request.steps)


@dataclass(frozen=True, kw_only=True)
class _Price:
    """Fill in what a stage costs."""

    request: RenderRequest
    contract: ModelContract
    budget: Budget
    listed: bool

    def stage(self, name: str, kind: StageKind, canvas: PixelSize, cover: Cover, span: tuple[int, int]) -> Stage:
        """Return a stage with its evaluations, memory and seconds; `span` is (first step, steps)."""
        begin, steps = span
        count = cover.count()
        batch = min(WINDOW_BATCH, count)
        windows = self._count_moving(cover, span) if kind == "grow" else self._count_fixed(count, span)
        evaluations = windows * self._halves()
        reports = -(-count // batch) if kind == "refine" else 1
        return Stage(
            name=name,
            kind=kind,
            noise_stage=0,
            canvas=canvas,
            windows=cover.list_boxes() if self.listed else (cover.size.box,),
            window_batch=batch,
            overlap_cells=cover.overlap_cells,
            steps=steps,
            first_step=begin,
            ticks=(steps - begin) * reports,
            evaluations=evaluations,
            memory_bytes=self._memory(kind, canvas, cover.size, batch),
            seconds=self._seconds(canvas, cover, kind, evaluations),
        )

    def count_enlarging(self, stage: Stage, below: PixelSize) -> int:
        """Return the memory of a stage that starts with a picture of size `below` enlarged."""
        left, _, right, _ = fit_box(below, stage.canvas)
        peak = cost.enlarge_bytes(self.budget.upscaler, below, stage.canvas.width / (right - left))
        return max(stage.memory_bytes, cost.standing_bytes(self.contract, self.budget, stage.canvas) + peak)

    def _count_fixed(self, windows: int, span: tuple[int, int]) -> int:
        return windows * sum(self._calls_per_step(span))

    def _count_moving(self, cover: Cover, span: tuple[int, int]) -> int:
        """Count windows over all steps, and the look at the whole picture in every second one."""
        stride = min(cover.size.width, cover.size.height) - cover.overlap_cells
        calls = self._calls_per_step(span)
        lattices = (count_windows(cover.canvas, cover.size, stride, step) for step in range(*span))
        return sum(count * each for count, each in zip(lattices, calls, strict=True)) + -(-len(calls) // GUIDE_EVERY)

    def _calls_per_step(self, span: tuple[int, int]) -> list[int]:
        sigmas = make_sigmas(self.request.schedule, self.contract.schedule, span[1])
        sampler = make_sampler(self.request.sampler)
        return [sampler.count_evaluations(sigmas[step : step + 2]) for step in range(*span)]

    def _halves(self) -> int:
        parts = max(len(parse_prompt(self.request.prompt).at_step(0, self.request.steps)), 1)
        needs_both = self.request.guidance != 1.0 or isinstance(self.request.method, CohesiveMethod)
        return parts + 1 if needs_both or parts > 1 else parts

    def _memory(self, kind: StageKind, canvas: PixelSize, window: LatentSize, batch: int) -> int:
        contract = self.contract
        decoded = window.to_pixels(contract.factor) if kind == "refine" else canvas
        network = cost.denoise_bytes(contract, window, batch * self._halves())
        room = cost.autoencoder_room(contract, self.budget, canvas)
        peak = max(network, cost.autoencoder_bytes(contract, decoded, room))
        return cost.standing_bytes(contract, self.budget, canvas) + peak

    def _seconds(self, canvas: PixelSize, cover: Cover, kind: StageKind, evaluations: int) -> float:
        model, factor = self.budget.cost, self.contract.factor
        cells = cover.size.area
        network = evaluations * (model.call_s + model.cell_s * cells)
        slices = cover.count() * cells * factor**2
        if kind == "refine":
            return network + slices * (model.decode_s + model.encode_s)
        from_text = isinstance(self.request.source, TextSource) and kind != "grow"
        encoded = 0 if from_text else canvas.area
        return network + canvas.area * model.decode_s + encoded * model.encode_s


def _draft_if_canvas_fits(request: RenderRequest, contract: ModelContract, budget: Budget) -> Plan | None:
    """Draft a plan without its windows, or None where the canvas alone is beyond the budget."""
    memory = cost.standing_bytes(contract, budget, request.size) <= budget.memory_bytes
    disk = budget.disk_bytes is None or cost.disk_bytes(request.size) <= budget.disk_bytes
    return _draft(request, contract, budget) if memory and disk else None


def _fits(plan: Plan, budget: Budget) -> bool:
    disk = plan.disk_bytes * plan.batch
    memory = plan.memory_bytes <= budget.memory_bytes
    room = budget.free_bytes is None or plan.room_bytes <= budget.free_bytes
    spill = budget.spill_bytes is None or plan.spill_bytes <= budget.spill_bytes
    return memory and room and spill and (budget.disk_bytes is None or disk <= budget.disk_bytes)


def _room(stage: Stage, contract: ModelContract, budget: Budget) -> int:
    """Return what has to be free so that the autoencoder's own check passes at the end of a stage."""
    if contract.autoencoder == "tiny":
        return stage.memory_bytes
    standing = cost.standing_bytes(contract, budget, stage.canvas)
    room = cost.autoencoder_room(contract, budget, stage.canvas)
    needed = cost.autoencoder_bytes(contract, _decoded(stage, contract), room)
    return max(stage.memory_bytes, round(standing + needed / budget.decode_share))


def _spill(stage: Stage, contract: ModelContract, budget: Budget) -> int:
    room = cost.autoencoder_room(contract, budget, stage.canvas)
    return cost.spill_bytes(contract, _decoded(stage, contract), room)


def _decoded(stage: Stage, contract: ModelContract) -> PixelSize:
    """Return what the autoencoder sees at once: a slice, or the whole canvas."""
    return stage.windows[0].size.to_pixels(contract.factor) if stage.kind == "refine" else stage.canvas


def _over_budget(request: RenderRequest, contract: ModelContract, budget: Budget, plan: Plan | None) -> BudgetError:
    largest = find_largest_size(request, contract, budget)
    needs = _canvas_needs(request, contract, budget) if plan is None else _needs(plan, budget)
    got = f"{request.size} needs {needs}"
    if largest is None:
        return BudgetError("no size fits the budget", got=got, do="Raise --budget-gb or use a smaller model.")
    if isinstance(request.method, NativeMethod):
        return BudgetError(
            "over budget", got=got, do=f"Ask for --size {largest}, raise --budget-gb or use --method multidiffusion."
        )
    return BudgetError("over budget", got=got, do=f"Ask for --size {largest}, or raise --budget-gb.")


def _canvas_needs(request: RenderRequest, contract: ModelContract, budget: Budget) -> str:
    memory = cost.standing_bytes(contract, budget, request.size)
    if memory > budget.memory_bytes:
        return f"more than {memory / cost.GIB:.2f} GiB of {budget.memory_bytes / cost.GIB:.2f} GiB"
    return f"{cost.disk_bytes(request.size) * request.batch / cost.GIB:.2f} GiB of disk"


def _needs(plan: Plan, budget: Budget) -> str:
    if plan.memory_bytes > budget.memory_bytes:
        return f"{plan.memory_bytes / cost.GIB:.2f} GiB of {budget.memory_bytes / cost.GIB:.2f} GiB"
    if budget.free_bytes is not None and plan.room_bytes > budget.free_bytes:
        return f"{plan.room_bytes / cost.GIB:.2f} GiB free, and {budget.free_bytes / cost.GIB:.2f} GiB are"
    if budget.spill_bytes is not None and plan.spill_bytes > budget.spill_bytes:
        return f"{plan.spill_bytes / cost.GIB:.2f} GiB of disk for the autoencoder's work, see TMPDIR"
    return f"{plan.disk_bytes * plan.batch / cost.GIB:.2f} GiB of disk"


def find_largest_size(request: RenderRequest, contract: ModelContract, budget: Budget) -> PixelSize | None:
    """Return the largest size of the request's aspect whose plan fits the budget, or None."""
    low, high = 0, max(request.size.width, request.size.height) // contract.factor
    while low < high:
        middle = (low + high + 1) // 2
        size = _scaled(request.size, middle, contract.factor)
        plan = _draft_if_canvas_fits(replace(request, size=size), contract, budget)
        if plan is not None and _fits(plan, budget):
            low = middle
        else:
            high = middle - 1
    return _scaled(request.size, low, contract.factor) if low >= SMALLEST_SIDE_CELLS else None


def _scaled(size: PixelSize, long_cells: int, factor: int) -> PixelSize:
    long = max(size.width, size.height)
    cells = [max(SMALLEST_SIDE_CELLS, side * long_cells // long) for side in (size.width, size.height)]
    return PixelSize(cells[0] * factor, cells[1] * factor)
