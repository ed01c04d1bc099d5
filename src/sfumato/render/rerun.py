"""The last level once more, weaker, only where the finished picture shows what its base has not.

A re-run is a level of its own: its anchor is what the level made outside the places, and what the level grew
from inside them. Closed cells keep the anchor and windows without an open cell are not drawn, so it costs what
the places are large. Knows no critic; it is told where. Start reading at `run_again`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import torch

from sfumato.core.canvas.workspace import Entry
from sfumato.core.geometry import LatentBox
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.models.upscaler import LANCZOS, load_upscaler
from sfumato.nn.schedules import first_step
from sfumato.render.cohesive import find_known, load_base
from sfumato.render.freedom import Freedom
from sfumato.render.level import Level, Place
from sfumato.render.level_update import BAND_CELLS, MARGIN_CELLS
from sfumato.render.level_windows import list_window_rows
from sfumato.render.planes import Planes, cut_rows
from sfumato.render.preview import Preview
from sfumato.render.sampling import Work, make_noise, stage_sigmas
from sfumato.render.trace import Stopwatch
from sfumato.render.words import Words

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from sfumato.core.canvas.pixels import PixelStore
    from sfumato.core.canvas.workspace import Workspace
    from sfumato.core.geometry import LatentSize, PixelBox
    from sfumato.models.contract import LatentModel
    from sfumato.render.stages import Plan, Stage
    from sfumato.render.trace import Progress

# Each re-run is so many times as strong as the one before.
WEAKER = 0.7
# The noise of a re-run must not repeat that of any level, look or trial.
RERUN_STAGES = 1 << 14
# Sides of the map of places: finer than a cell is never needed, and memory must not grow with the picture.
MOST_MAP_CELLS = 256
# What a place is grown by before it is as large as a window, in cells.
RIM_CELLS = 2
# A step that no level has: cells of the map that stay closed.
_NEVER = 1e6


@dataclass(frozen=True, kw_only=True)
class Redo:
    """Say where to draw anew (px), for the how-manieth time (from 1), and on which finished one (0: the level itself)."""

    number: int
    over: int
    boxes: tuple[PixelBox, ...]


def run_again(
    model: LatentModel, request: RenderRequest, plan: Plan, space: Workspace, redo: Redo
) -> Generator[Progress, None, PixelStore]:
    """Draw the last level of a finished plan anew in some places; return the whole picture, the one before stays.

    Goes on from where the workspace says. Guarantees the same pixels for the same request and places.

    Raises:
        ModelError: a window or the sampler gave numbers that are no picture.
        StorageError: the disk refuses; what was noted can be resumed.
    """
    source, level = (
        _make_level(model, request, (plan, space), replace(redo, number=n)) for n in (redo.over, redo.number)
    )
    entry = space.find_entry()
    if entry is None or not level.is_done(entry):
        if entry is None or entry.words["stage"] != level.index:
            entry = _prepare(level, source)
        alone = replace(plan, stages=(level.stage,), seconds=level.stage.seconds)
        yield from level.run((source.open_result, load_upscaler(LANCZOS, model.device)), Stopwatch(alone), entry)
    return level.open_result().pixels


def count_windows_again(request: RenderRequest, plan: Plan, factor: int, redo: Redo) -> int:
    """Count the windows that a re-run draws, over all its steps."""
    stage, cells = weaken(plan.stages[-1], request, redo.number), plan.stages[-1].canvas.to_latent(factor)
    freedom = open_boxes(redo.boxes, stage, factor)
    steps = range(stage.first_step, stage.steps)
    rows = (row for step in steps for row in list_window_rows(stage, cells, step))
    return sum(freedom.is_open(box, stage.steps) for row in rows for box in row)


def weaken(stage: Stage, request: RenderRequest, number: int) -> Stage:
    """Return the stage of a re-run: fewer steps, noise of its own; number 0 is the stage itself."""
    if number == 0:
        return stage
    begin = min(stage.steps - 1, first_step(stage.steps, _method_of(request).strength * WEAKER**number))
    share = (stage.steps - begin) / (stage.steps - stage.first_step)
    return replace(
        stage,
        name=f"re-run {number} of {stage.name}",
        noise_stage=RERUN_STAGES + number,
        first_step=begin,
        seconds=stage.seconds * share,
    )


def open_boxes(boxes: Sequence[PixelBox], stage: Stage, factor: int) -> Freedom:
    """Return what opens the cells of boxes (px), each grown by a rim and to the size of a window."""
    cells, window = stage.canvas.to_latent(factor), stage.windows[0].size
    height, width = (min(side, MOST_MAP_CELLS) for side in cells.shape_hw)
    first_steps = torch.full((height, width), _NEVER)
    for box in boxes:
        grown = _grow(box.snap_out(factor).to_latent(factor), window, cells)
        rows = _scale(grown.top, grown.bottom, cells.height, height)
        columns = _scale(grown.left, grown.right, cells.width, width)
        first_steps[rows, columns] = 0.0
    return Freedom(
        first_steps=first_steps,
        share=torch.ones(height, width),
        part=(0.0, 0.0, 1.0, 1.0),
        canvas=cells,
        margin_cells=MARGIN_CELLS,
    )


def _grow(box: LatentBox, window: LatentSize, canvas: LatentSize) -> LatentBox:
    """Return a box with its rim, at least as large as a window and inside the canvas."""
    box = box.grow(RIM_CELLS)
    wide, high = max(0, window.width - box.width), max(0, window.height - box.height)
    left, top = box.left - wide // 2, box.top - high // 2
    # What would stick out on one side is moved in, so that a place at the edge has its window too.
    left = max(0, min(left, canvas.width - box.width - wide))
    top = max(0, min(top, canvas.height - box.height - high))
    return LatentBox(left, top, left + box.width + wide, top + box.height + high).clip(canvas)


def _scale(first: int, last: int, cells: int, side: int) -> slice:
    """Return the cells of a map that hold a span; one more on each side where they are coarser, as lines run between them."""
    if side == cells:
        return slice(first, last)
    return slice(max(0, first * side // cells - 1), min(side, -(-last * side // cells) + 1))


def _make_level(model: LatentModel, request: RenderRequest, made: tuple[Plan, Workspace], redo: Redo) -> Level:
    """Return a re-run as a level; number 0 is the last level itself."""
    plan, space = made
    method = _method_of(request)
    told = replace(request, method=replace(method, lock=1.0, detail=1.0)) if redo.number else request
    work = Work(model=model, request=told, words=Words(model, told), preview=Preview(model))
    base = load_base(work, plan.stages, space)
    assert base is not None, "a finished render has kept its base"
    stage = weaken(plan.stages[-1], request, redo.number)
    freedom = open_boxes(redo.boxes, stage, model.contract.factor)
    level = Level(
        work=replace(work, phrases=base.phrases),
        stage=stage,
        index=len(plan.stages) - 1 + redo.number,
        space=space,
        base=base.picture,
        freedom=freedom,
        known=find_known(work, base, plan.stages, len(plan.stages) - 1, space),
    )
    cells = stage.canvas.to_latent(model.contract.factor)
    taken = enumerate(level.course.asked, start=stage.first_step)
    ticks = sum(len(list_window_rows(stage, cells, step)) * len(asked) for step, asked in taken)
    return replace(level, stage=replace(stage, ticks=ticks))


def _prepare(level: Level, source: Level) -> Entry:
    """Write the anchor and the first state of a re-run, and note that; return what was noted."""
    assert level.freedom is not None, "a re-run has places"
    steps = len(source.course.asked)
    made, grown = _open(source, "odd" if steps % 2 else "even"), _open(source, "anchor")
    anchor, state = _open(level, "anchor"), _open(level, "even")
    sigma = float(stage_sigmas(level.work, level.stage)[0])
    for rows in cut_rows(anchor.store.size.height, BAND_CELLS):
        opened = level.freedom.open_rows(rows, level.stage.steps).to(anchor.device)
        kept = torch.where(opened > 0, grown.read(rows), made.read(rows))
        anchor.write(rows, kept)
        box = LatentBox(0, rows.start, anchor.store.size.width, rows.stop)
        state.write(rows, kept + sigma * make_noise(level.work, level.stage, (box,)).initial()[0])
    anchor.store.flush()
    state.store.flush()
    entry = Entry({"stage": level.index, "top": 0, **asdict(Place(phase="predict"))})
    level.space.note(entry, durable=True)
    return entry


def _open(level: Level, name: str) -> Planes:
    """Open a canvas of a level as the level does."""
    model = level.work.model
    channels, cells = model.contract.latent_channels, level.stage.canvas.to_latent(model.contract.factor)
    count = 1 if name == "anchor" else 1 + level.course.deepest
    store = level.space.open_latents(f"level{level.index}-{name}", cells, count * channels)
    return Planes(store, channels, model.device)


def _method_of(request: RenderRequest) -> CohesiveMethod:
    assert isinstance(request.method, CohesiveMethod), "only levels are re-run"
    return request.method
