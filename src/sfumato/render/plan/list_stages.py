"""A request becomes stages, one after the other, and the stages a plan.

Pure; what a stage costs says `pricing`, whether it fits a budget `plan`. Start reading at `draft_plan`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from sfumato.core.geometry import PixelSize
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
from sfumato.nn.schedules import first_step
from sfumato.render.layout import Cover, Round, choose_base_size, cut_down, list_rounds, show_whole
from sfumato.render.plan import budget as cost
from sfumato.render.plan.autoencoder_cost import CodingCost
from sfumato.render.plan.canvas_cost import (
    PIXEL_BYTES,
    Held,
    count_base_notes,
    count_disk_bytes,
    count_level_notes,
    hold_bands,
    hold_whole,
)
from sfumato.render.plan.choose_method import find_canvas
from sfumato.render.plan.stage_cost import StagePrice, cut_part, find_coding, find_held, find_room, keeps_maps
from sfumato.render.sampling.prompt_schedule import find_told
from sfumato.render.stages import Plan, Stage
from sfumato.render.trials import LOOK_STRENGTHS, TRIALS

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract
    from sfumato.render.plan.budget import Budget

# A level of the cohesive method is at most so much larger than the one below.
LEVEL_ENLARGEMENT = 2.0
# Of a small given picture no level is drawn below this share of native area: what is that small looks like nothing.
LEAST_LEVEL_SHARE = 0.8
# The self-check has places drawn again so many times at most.
MOST_AGAIN = 2
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
    price = StagePrice(request=request, contract=contract, budget=budget, listed=listed)
    first, *later = _list_stages(price)
    stages = (replace(first, seconds=first.seconds + budget.cost.start_s), *later)
    coded = [find_coding(stage, contract, budget) for stage in stages]
    saving, host_saving = _count_saving(stages[-1], contract, budget)
    return Plan(
        method=request.method.kind,
        size=request.size,
        batch=request.batch,
        stages=stages,
        memory_bytes=max(saving, *(stage.memory_bytes for stage in stages)),
        room_bytes=max(saving, *(find_room(stage, contract, budget) for stage in stages)),
        disk_bytes=picture,
        peak_disk_bytes=before + max(*_list_disk(stages, coded, budget), stages[-1].left_bytes + picture),
        seconds=sum(stage.seconds for stage in stages),
        basis=budget.cost.basis,
        busy_frac=budget.cost.busy_frac,
        autoencoder_bytes=min(cost.autoencoder_room(contract, budget, find_held(stage, contract)) for stage in stages),
        spill_bytes=max(one.spill_bytes for one in coded),
        map_bytes=max(one.map_bytes for one in coded),
        host_bytes=max(host_saving, *(stage.host_bytes for stage in stages)),
        open_s=budget.cost.open_s,
        save_s=request.size.area * budget.cost.save_s,
        work_bytes=max(stage.work_bytes for stage in stages),
        again_s=MOST_AGAIN * price.count_again_s(stages[-1]),
        again_bytes=MOST_AGAIN * _count_again_bytes(stages[-1], contract),
        unkept_bytes=max(
            one.unkept_bytes if keeps_maps(stage, budget) else 0 for stage, one in zip(stages, coded, strict=True)
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
    whole, held = stage.canvas.area * budget.whole_bytes, find_held(stage, contract)
    if budget.separate:
        return 0, cost.host_bytes(budget, held) + whole
    return cost.standing_bytes(contract, budget, held) + whole, 0


def _count_again_bytes(stage: Stage, contract: ModelContract) -> int:
    if stage.kind != "grow":
        return 0
    return stage.work_bytes * cut_part(stage, contract).area // stage.canvas.area


def hold_canvas(request: RenderRequest, contract: ModelContract) -> Held:
    """Estimate what the last canvas of a request takes of memory, before its stages are known."""
    canvas = find_canvas(request, contract)
    if isinstance(request.method, CohesiveMethod):
        return hold_bands(contract, canvas, contract.native.to_latent(contract.factor), history=0)
    return hold_whole(contract, canvas)


def _list_stages(price: StagePrice) -> tuple[Stage, ...]:
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


def _cohesive_stages(price: StagePrice, method: CohesiveMethod) -> tuple[Stage, ...]:
    contract, target, source = price.contract, price.request.size, price.request.source
    base = choose_base_size(target, contract)
    trials, is_given = TRIALS if method.predict else 0, isinstance(source, PictureSource)
    if isinstance(source, PictureSource):
        below, first = show_whole(source.size), _read_stage(price, source, base, trials)
        levels = list_levels_above(source.size, target, contract)
    else:
        below, first = show_whole(base), _sample_stage(price, "base", base, trials=trials)
        levels = list_rounds(base, target, LEVEL_ENLARGEMENT, contract.factor)
    span = (first_step(price.request.steps, method.strength), price.request.steps)
    stages = [replace(first, work_bytes=first.work_bytes + count_base_notes(contract, base))]
    # What there is on disk of what the next level grows from.
    given = below.size.area * PIXEL_BYTES if is_given else 0
    for index, level in enumerate(levels, start=1):
        canvas = level.size
        cells = canvas.to_latent(contract.factor)
        # The overlap is a share of what a window really is, or a thin strip would have hundreds.
        window = cut_down(contract.native.to_latent(contract.factor), cells)
        cover = Cover(canvas=cells, window=window, overlap_frac=method.overlap)
        stage = price.stage(f"level {index} of {len(levels)}", "grow", canvas, cover, span)
        # Where the detail of a given picture is kept, every level needs the pixels that it grew from to the end.
        stays = below.size.area * PIXEL_BYTES if is_given and method.keep > 0.0 else 0
        notes = count_level_notes(contract, base, canvas, window, index)
        stage = price.lay_out(stage, (given, stays, notes))
        # What a given picture is held against shows what the target shows.
        stage = replace(stage, taken=level.find_taken(below), shown=None if is_given else level.shown)
        memory = price.count_enlarging(stage, below.size)
        stages.append(replace(stage, noise_stage=index, moving=method.shift, memory_bytes=memory))
        given = stage.left_bytes - stays - notes
        below = level
    return tuple(stages)


def list_levels_above(picture: PixelSize, target: PixelSize, contract: ModelContract) -> tuple[Round, ...]:
    """Return the canvases that a given picture grows through: at most twice as large each time, none far below native."""
    levels = list_rounds(picture, target, LEVEL_ENLARGEMENT, contract.factor, spare=False)
    least = LEAST_LEVEL_SHARE * choose_base_size(target, contract).area
    return tuple(level for level in levels if level.size.area >= least or level.size == target)


def _gobig_stages(price: StagePrice, method: GobigMethod) -> tuple[Stage, ...]:
    contract, target = price.contract, price.request.size
    base = choose_base_size(target, contract)
    rounds = list_rounds(base, target, method.upscale, contract.factor)
    window = contract.native.to_latent(contract.factor)
    steps = method.steps or price.request.steps
    stages, below = [_sample_stage(price, "base", base)], show_whole(base)
    for index, each in enumerate(rounds, start=1):
        cover = Cover(canvas=each.size.to_latent(contract.factor), window=window, overlap_frac=method.overlap)
        span = (first_step(steps, method.strength), steps)
        stage = price.stage(f"round {index} of {len(rounds)}", "refine", each.size, cover, span)
        stage, below = replace(stage, taken=each.find_taken(below), shown=each.shown), each
        memory = price.count_enlarging(stage, stages[-1].canvas)
        stages.append(replace(stage, noise_stage=index, memory_bytes=memory))
    return tuple(stages)


def _sample_stage(price: StagePrice, name: str, canvas: PixelSize, *, trials: int = 0) -> Stage:
    """Return the stage that draws a canvas at once, and `trials` more calls to find what is sure in it."""
    cells = canvas.to_latent(price.contract.factor)
    whole = Cover(canvas=cells, window=cells)
    stage = price.stage(name, "sample", canvas, whole, _source_steps(price.request))
    more = trials * price.count_halves()
    seconds = price.budget.cost.denoise_s(trials, more, cells.area)
    return replace(stage, evaluations=stage.evaluations + more, seconds=stage.seconds + seconds)


def _read_stage(price: StagePrice, source: PictureSource, shown: PixelSize, trials: int) -> Stage:
    """Return the stage that lays a given picture out and looks at it, shrunk to the size `shown`."""
    cells = shown.to_latent(price.contract.factor)
    stage = price.stage("picture", "read", shown, Cover(canvas=cells, window=cells), (0, 1))
    calls = trials + (len(LOOK_STRENGTHS) if find_told(price.request) else 0)
    evaluations, model = calls * price.count_halves(), price.budget.cost
    held = count_read_bytes(source)
    apart = price.budget.separate
    standing = cost.standing_bytes(price.contract, price.budget, find_held(stage, price.contract))
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
