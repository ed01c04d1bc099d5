"""A request becomes stages: windows, steps, evaluations, memory, disk and seconds.

Pure; asks no budget whether it fits (`plan` does). Start reading at `draft_plan`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from sfumato.core.geometry import PixelSize
from sfumato.core.prompt import parse_prompt
from sfumato.core.request import (
    CohesiveMethod,
    GobigMethod,
    MultidiffusionMethod,
    NativeMethod,
    PictureSource,
    RenderRequest,
    TextSource,
)
from sfumato.core.settings import Settings
from sfumato.nn.samplers import make_sampler
from sfumato.nn.samplers.replay import plot_course
from sfumato.nn.schedules import first_step, make_sigmas
from sfumato.render import budget as cost
from sfumato.render.canvas_cost import (
    PIXEL_BYTES,
    Held,
    count_base_notes,
    count_disk_bytes,
    count_level_notes,
    hold_bands,
    hold_whole,
    measure_files,
)
from sfumato.render.coding_cost import CodingCost, Rooms, find_coding_cost
from sfumato.render.lattice import count_windows
from sfumato.render.layout import Cover, choose_base_size, cut_down, list_round_sizes
from sfumato.render.methods import find_canvas, find_enlargement
from sfumato.render.stages import Plan, Stage, StageKind
from sfumato.render.trials import LOOK_STRENGTHS, TRIALS
from sfumato.render.words import find_told

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.models.contract import ModelContract
    from sfumato.render.budget import Budget

# A level of the cohesive method is at most so much larger than the one below.
LEVEL_ENLARGEMENT = 2.0
# Of a small given picture no level is drawn below this share of native area: what is that small looks like nothing.
LEAST_LEVEL_SHARE = 0.8
# The self-check has places drawn again so many times at most; each time this many windows were drawn where it was
# measured (16 to 60, mini at 512 to 8192 px), on a canvas of its own that was at most so many windows wide, and what that
# reaches is decoded and judged anew.
MOST_AGAIN, WINDOWS_AGAIN, WINDOWS_ACROSS = 2, 50, 4
# Bytes a pixel of a given picture takes while its file is decoded: Pillow's four, twice, and a copy in RGB.
READ_BYTES = 12
# Files of which only a few rows are decoded at once.
_TILED_SUFFIXES = (".tif", ".tiff")
_LARGEST_WHOLE_PX = Settings().max_picture_pixels


def draft_plan(request: RenderRequest, contract: ModelContract, budget: Budget, *, listed: bool = False) -> Plan:
    """Draft a plan; unless `listed`, every stage holds only the first of its windows and costs the same."""
    picture = count_disk_bytes(request.size, pyramid=budget.pyramid)
    before = picture * (request.batch - 1)
    if budget.disk_bytes is not None:
        # What the last picture of a batch finds left.
        budget = replace(budget, disk_bytes=max(0, budget.disk_bytes - before))
    price = _Price(request=request, contract=contract, budget=budget, listed=listed)
    first, *later = _list_stages(price)
    stages = (replace(first, seconds=first.seconds + budget.cost.start_s), *later)
    coded = [_code(stage, contract, budget) for stage in stages]
    saving, host_saving = _count_saving(stages[-1], contract, budget)
    return Plan(
        method=request.method.kind,
        size=request.size,
        batch=request.batch,
        stages=stages,
        memory_bytes=max(saving, *(stage.memory_bytes for stage in stages)),
        room_bytes=max(saving, *(_room(stage, contract, budget) for stage in stages)),
        disk_bytes=picture,
        peak_disk_bytes=before + max(*_list_disk(stages, coded, budget), stages[-1].left_bytes + picture),
        seconds=sum(stage.seconds for stage in stages),
        basis=budget.cost.basis,
        busy_frac=budget.cost.busy_frac,
        autoencoder_bytes=min(cost.autoencoder_room(contract, budget, _find_held(stage, contract)) for stage in stages),
        spill_bytes=max(one.spill_bytes for one in coded),
        map_bytes=max(one.map_bytes for one in coded),
        host_bytes=max(host_saving, *(stage.host_bytes for stage in stages)),
        open_s=budget.cost.open_s,
        save_s=request.size.area * budget.cost.save_s,
        work_bytes=max(stage.work_bytes for stage in stages),
        again_s=MOST_AGAIN * price.count_again_s(stages[-1]),
        again_bytes=MOST_AGAIN * _count_again_bytes(stages[-1], contract),
        unkept_bytes=max(
            one.unkept_bytes if _keeps(stage, budget) else 0 for stage, one in zip(stages, coded, strict=True)
        ),
        cut_for_memory=any(one.is_short for one in coded),
        memory_basis="probe" if budget.footprint is not None and budget.loaded_bytes is not None else "formula",
    )


def _list_disk(stages: tuple[Stage, ...], coded: list[CodingCost], budget: Budget) -> list[int]:
    """List the most that lies on the disk of the picture in each stage, the autoencoder's work with it where it is there."""
    spilled = [one.spill_bytes if budget.spill_shared and not one.map_bytes else 0 for one in coded]
    works = zip(stages, coded, spilled, strict=True)
    return [stage.work_bytes + one.map_bytes + spill for stage, one, spill in works]


def _count_saving(stage: Stage, contract: ModelContract, budget: Budget) -> tuple[int, int]:
    """Return what saving a picture that is not written in bands takes of memory, on the device and the host."""
    whole, held = stage.canvas.area * budget.whole_bytes, _find_held(stage, contract)
    if budget.separate:
        return 0, cost.host_bytes(budget, held) + whole
    return cost.standing_bytes(contract, budget, held) + whole, 0


def _cut_part(stage: Stage, contract: ModelContract) -> PixelSize:
    """Return about what of a level is drawn again at once."""
    sides = zip(stage.canvas.shape_hw, stage.windows[0].size.to_pixels(contract.factor).shape_hw, strict=True)
    height, width = (min(side, WINDOWS_ACROSS * window) for side, window in sides)
    return PixelSize(width, height)


def _count_again_bytes(stage: Stage, contract: ModelContract) -> int:
    if stage.kind != "grow":
        return 0
    return stage.work_bytes * _cut_part(stage, contract).area // stage.canvas.area


def hold_canvas(request: RenderRequest, contract: ModelContract) -> Held:
    """Estimate what the last canvas of a request takes of memory, before its stages are known."""
    canvas = find_canvas(request, contract)
    if isinstance(request.method, CohesiveMethod):
        return hold_bands(contract, canvas, contract.native.to_latent(contract.factor), history=0)
    return hold_whole(contract, canvas)


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
    contract, target, source = price.contract, price.request.size, price.request.source
    base = choose_base_size(target, contract)
    trials = TRIALS if method.predict else 0
    if isinstance(source, PictureSource):
        below, first = source.size, _read_stage(price, source, base, trials)
        levels = list_levels_above(below, target, contract)
    else:
        below, first = base, _sample_stage(price, "base", base, trials=trials)
        levels = list_round_sizes(base, target, LEVEL_ENLARGEMENT, contract.factor)
    span = (first_step(price.request.steps, method.strength), price.request.steps)
    stages = [replace(first, work_bytes=first.work_bytes + count_base_notes(contract, base))]
    # What there is on disk of what the next level grows from.
    given = below.area * PIXEL_BYTES if isinstance(source, PictureSource) else 0
    for index, canvas in enumerate(levels, start=1):
        cells = canvas.to_latent(contract.factor)
        # The overlap is a share of what a window really is, or a thin strip would have hundreds.
        window = cut_down(contract.native.to_latent(contract.factor), cells)
        cover = Cover(canvas=cells, window=window, overlap_frac=method.overlap)
        stage = price.stage(f"level {index} of {len(levels)}", "grow", canvas, cover, span)
        # Where the detail of a given picture is kept, every level needs the pixels that it grew from to the end.
        stays = below.area * PIXEL_BYTES if isinstance(source, PictureSource) and method.keep > 0.0 else 0
        notes = count_level_notes(contract, base, canvas, window, index)
        stage = price.lay_out(stage, (given, stays, notes))
        memory = price.count_enlarging(stage, below)
        stages.append(replace(stage, noise_stage=index, moving=method.shift, memory_bytes=memory))
        given = stage.left_bytes - stays - notes
        below = canvas
    return tuple(stages)


def list_levels_above(picture: PixelSize, target: PixelSize, contract: ModelContract) -> tuple[PixelSize, ...]:
    """Return the canvases that a given picture grows through: at most twice as large each time, none far below native."""
    levels = list_round_sizes(picture, target, LEVEL_ENLARGEMENT, contract.factor)
    least = LEAST_LEVEL_SHARE * choose_base_size(target, contract).area
    return tuple(level for level in levels if level.area >= least or level == target)


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


def _sample_stage(price: _Price, name: str, canvas: PixelSize, *, trials: int = 0) -> Stage:
    """Return the stage that draws a canvas at once, and `trials` more calls to find what is sure in it."""
    cells = canvas.to_latent(price.contract.factor)
    whole = Cover(canvas=cells, window=cells)
    stage = price.stage(name, "sample", canvas, whole, _source_steps(price.request))
    more = trials * price.count_halves()
    seconds = price.budget.cost.denoise_s(trials, more, cells.area)
    return replace(stage, evaluations=stage.evaluations + more, seconds=stage.seconds + seconds)


def _read_stage(price: _Price, source: PictureSource, shown: PixelSize, trials: int) -> Stage:
    """Return the stage that lays a given picture out and looks at it, shrunk to the size `shown`."""
    cells = shown.to_latent(price.contract.factor)
    stage = price.stage("picture", "read", shown, Cover(canvas=cells, window=cells), (0, 1))
    calls = trials + (len(LOOK_STRENGTHS) if find_told(price.request) else 0)
    evaluations, model = calls * price.count_halves(), price.budget.cost
    held = count_read_bytes(source)
    apart = price.budget.separate
    standing = cost.standing_bytes(price.contract, price.budget, _find_held(stage, price.contract))
    return replace(
        stage,
        evaluations=evaluations,
        seconds=model.denoise_s(calls, evaluations, cells.area) + shown.area * model.encode_s,
        # The file is decoded before anything else is held, in the memory of the host.
        memory_bytes=stage.memory_bytes if apart else max(stage.memory_bytes, standing + held),
        host_bytes=stage.host_bytes + held if apart else 0,
        work_bytes=source.size.area * PIXEL_BYTES,
    )


def count_read_bytes(source: PictureSource) -> int:
    """Estimate what reading a given picture takes of memory: next to nothing where only rows of it are decoded."""
    in_rows = PurePath(source.path).suffix.lower() in _TILED_SUFFIXES or source.size.area > _LARGEST_WHOLE_PX
    return 0 if in_rows else READ_BYTES * source.size.area


def _source_steps(request: RenderRequest) -> tuple[int, int]:
    if isinstance(request.source, TextSource | PictureSource):
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
        batch = min(self.budget.window_batch, count)
        windows, calls = self._count_moving(cover, span) if kind == "grow" else self._count_fixed(count, span)
        evaluations = windows * self.count_halves()
        stage = Stage(
            name=name,
            kind=kind,
            noise_stage=0,
            canvas=canvas,
            windows=cover.list_boxes() if self.listed else (cover.size.box,),
            window_batch=batch,
            overlap_cells=cover.overlap_cells,
            steps=steps,
            first_step=begin,
            ticks=self._count_ticks(kind, cover, span, batch),
            evaluations=evaluations,
            memory_bytes=0,
            seconds=self._seconds(canvas, cover, kind, (evaluations, calls)),
        )
        return self._weigh(stage)

    def _weigh(self, stage: Stage) -> Stage:
        """Return a stage with what it takes of memory."""
        contract, budget = self.contract, self.budget
        held = _find_held(stage, contract)
        network = cost.denoise_bytes(contract, budget, stage.windows[0].size, stage.window_batch * self.count_halves())
        encodes = stage.kind in ("refine", "grow") or not isinstance(self.request.source, TextSource)
        coded = _code(stage, contract, budget, encodes=encodes).memory_bytes
        memory = cost.standing_bytes(contract, budget, held) + cost.peak_bytes(contract, budget, network, coded)
        return replace(stage, memory_bytes=memory, host_bytes=cost.host_bytes(budget, held))

    def lay_out(self, stage: Stage, beside: tuple[int, int, int]) -> Stage:
        """Return a stage that grows with what it takes of disk, and of memory then.

        `beside` its files lie what it grows from, what of that stays to the end, and notes, in bytes.
        """
        given, stays, notes = beside
        sampler, contract = make_sampler(self.request.sampler), self.contract
        course = plot_course(sampler, self._sigmas(stage.steps)[stage.first_step :])
        trials = sampler.stages if max(len(asked) for asked in course.asked) > 1 else 0
        files = measure_files(contract, stage.canvas, history=course.deepest, trials=trials)
        work, left = max(files.begun + given, files.most + stays) + notes, files.left + stays + notes
        stage = replace(stage, work_bytes=work, left_bytes=left, history=course.deepest)
        marks = _code(stage, contract, self.budget).mark_bytes
        return self._weigh(replace(stage, work_bytes=work + marks))

    def count_again_s(self, stage: Stage) -> float:
        """Return what one more pass over some places of a finished level takes; nothing for other stages."""
        if stage.kind != "grow":
            return 0.0
        model, evaluations = self.budget.cost, WINDOWS_AGAIN * self.count_halves()
        drawn = model.denoise_s(self._split(WINDOWS_AGAIN), evaluations, stage.windows[0].size.area)
        part = _cut_part(stage, self.contract)
        # Each pixel of a KL autoencoder depends on all cells.
        decoded = part if self.contract.autoencoder == "tiny" else stage.canvas
        return drawn + cost.coding_s(self.contract, model, decoded, encodes=False) + part.area * model.save_s

    def count_enlarging(self, stage: Stage, below: PixelSize) -> int:
        """Return the memory of a stage that starts with a picture of size `below` enlarged."""
        wanted = find_enlargement(below, stage.canvas)
        peak = cost.enlarge_bytes(self.budget.upscaler, below, wanted, streamed=stage.kind == "grow")
        held = _find_held(stage, self.contract)
        return max(stage.memory_bytes, cost.standing_bytes(self.contract, self.budget, held) + peak)

    def _count_fixed(self, windows: int, span: tuple[int, int]) -> tuple[int, int]:
        """Count (windows, calls of the denoiser) over all steps."""
        times = sum(self._calls_per_step(span))
        return windows * times, self._split(windows) * times

    def _count_moving(self, cover: Cover, span: tuple[int, int]) -> tuple[int, int]:
        """Count (windows, calls) over all steps."""
        times = self._calls_per_step(span)
        lattices = self._count_lattices(cover, span)
        windows = sum(rows * across * each for (rows, across), each in zip(lattices, times, strict=True))
        calls = sum(rows * self._split(across) * each for (rows, across), each in zip(lattices, times, strict=True))
        return windows, calls

    def _count_lattices(self, cover: Cover, span: tuple[int, int]) -> list[tuple[int, int]]:
        """Count, for every step, the rows of windows that move and the windows in each."""
        method = self.request.method
        moving = not isinstance(method, CohesiveMethod) or method.shift
        stride = min(cover.size.width, cover.size.height) - cover.overlap_cells
        return [count_windows(cover.canvas, cover.size, max(1, stride), step, moving=moving) for step in range(*span)]

    def _count_ticks(self, kind: StageKind, cover: Cover, span: tuple[int, int], batch: int) -> int:
        """Count the reports of progress: steps, times the batches of slices, or rows of windows."""
        if kind == "grow":
            times = self._calls_per_step(span)
            return sum(rows * each for (rows, _), each in zip(self._count_lattices(cover, span), times, strict=True))
        return (span[1] - span[0]) * (-(-cover.count() // batch) if kind == "refine" else 1)

    def _split(self, windows: int) -> int:
        return -(-windows // self.budget.window_batch)

    def _calls_per_step(self, span: tuple[int, int]) -> list[int]:
        sigmas, sampler = self._sigmas(span[1]), make_sampler(self.request.sampler)
        return [sampler.count_evaluations(sigmas[step : step + 2]) for step in range(*span)]

    def _sigmas(self, steps: int) -> Tensor:
        return make_sigmas(self.request.schedule, self.contract.schedule, steps)

    def count_halves(self) -> int:
        """Count the evaluations of one window: the parts of the prompt, and without it."""
        parts = max(len(parse_prompt(self.request.prompt).at_step(0, self.request.steps)), 1)
        return parts + 1 if self.request.guidance != 1.0 or parts > 1 else parts

    def _seconds(self, canvas: PixelSize, cover: Cover, kind: StageKind, counts: tuple[int, int]) -> float:
        """Return what a stage takes with so many (evaluations, calls)."""
        model = self.budget.cost
        evaluations, calls = counts
        cells = cover.size.area
        network = model.denoise_s(calls, evaluations, cells)
        if kind == "refine":
            slice_s = cost.coding_s(self.contract, model, cover.size.to_pixels(self.contract.factor), encodes=True)
            return network + cover.count() * slice_s
        encodes = kind == "grow" or not isinstance(self.request.source, TextSource)
        return network + cost.coding_s(self.contract, model, canvas, encodes=encodes)


def _room(stage: Stage, contract: ModelContract, budget: Budget) -> int:
    """Return what has to be free so that the autoencoder's own check passes at the end of a stage."""
    if contract.autoencoder == "tiny":
        return stage.memory_bytes
    standing = cost.standing_bytes(contract, budget, _find_held(stage, contract))
    needed = _code(stage, contract, budget).memory_bytes
    return max(stage.memory_bytes, round(standing + needed / budget.decode_share))


def _code(stage: Stage, contract: ModelContract, budget: Budget, *, encodes: bool = True) -> CodingCost:
    """Return what the autoencoder takes in a stage, in the room that is left beside what stands."""
    room = cost.autoencoder_room(contract, budget, _find_held(stage, contract))
    rooms = Rooms(memory_bytes=room, beside_bytes=_find_beside(stage, budget))
    return find_coding_cost(contract, budget, _decoded(stage, contract), rooms, encodes=encodes)


def _find_beside(stage: Stage, budget: Budget) -> int | None:
    """Return the disk left for maps beside a picture that is grown; None where nobody knows how much there is."""
    if not _keeps(stage, budget):
        return 0
    return None if budget.disk_bytes is None else max(0, budget.disk_bytes - stage.work_bytes)


def _keeps(stage: Stage, budget: Budget) -> bool:
    """Tell whether the autoencoder keeps its maps beside the picture in a stage, where there is room."""
    return stage.kind == "grow" and budget.maps_beside


def _find_held(stage: Stage, contract: ModelContract) -> Held:
    if stage.kind == "grow":
        return hold_bands(contract, stage.canvas, stage.windows[0].size, history=stage.history)
    return hold_whole(contract, stage.canvas)


def _decoded(stage: Stage, contract: ModelContract) -> PixelSize:
    """Return what the autoencoder sees at once: a slice, or the whole canvas."""
    return stage.windows[0].size.to_pixels(contract.factor) if stage.kind == "refine" else stage.canvas
