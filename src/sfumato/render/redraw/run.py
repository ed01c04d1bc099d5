"""The last level once more, weaker, only where the finished picture shows what its base has not.

Every part of the canvas that holds such places is a small level of its own: its anchor is what the level made
outside the places, and what the level grew from inside them. Then the pixels that this reaches are finished again,
as squares beside the picture. So it costs, in time and on disk, what its places are large. Knows no critic; it is
told where. Start reading at `run_again`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, cast

import torch

from sfumato.canvas.workspace.workspace import Entry
from sfumato.core.geometry import LatentBox
from sfumato.models.upscaler.upscaler import LANCZOS, load_upscaler
from sfumato.render.cohesive.level import Place
from sfumato.render.cohesive.update import cut_bands
from sfumato.render.cohesive.windows import list_window_rows
from sfumato.render.progress import Stopwatch
from sfumato.render.redraw.workspace import Redo, Scene, list_parts, open_planes, weaken
from sfumato.render.sampling.run_steps import make_noise, stage_sigmas

if TYPE_CHECKING:
    from collections.abc import Generator

    from sfumato.canvas.pixels import PixelStore
    from sfumato.core.geometry import PixelBox
    from sfumato.core.request import RenderRequest
    from sfumato.render.cohesive.level import Level
    from sfumato.render.progress import Progress
    from sfumato.render.redraw.redecode import Finished
    from sfumato.render.redraw.regions import Part
    from sfumato.render.stages import Plan

# What nobody reads any more when a part is drawn.
_PASSING = ("even", "odd", "predictions", "trial")


@dataclass(frozen=True, eq=False, kw_only=True)
class Redone:
    """Hold the whole picture after a re-run, and the squares in which it may differ from the one before."""

    pixels: PixelStore
    squares: tuple[PixelBox, ...]


def run_again(scene: Scene, redo: Redo) -> Generator[Progress, None, Redone]:
    """Draw the last level of a finished render anew in some places; return the whole picture, the one before stays.

    Goes on from where the workspace says. Guarantees the same pixels for the same request and places: those of a
    whole decoding, with a tiny autoencoder everywhere, with a KL one in the squares.

    Raises:
        ModelError: a window or the sampler gave numbers that are no picture.
        StorageError: the disk refuses; what was noted can be resumed.
    """
    entry, before, levels = scene.space.find_entry(), scene.open_finished(redo.over), scene.make_levels(redo)
    if entry is None or cast("int", entry.words["stage"]) < levels[0][1].index:
        # One that was forgotten may have left canvases that an entry still speaks of.
        _clear(scene, redo)
    stages = tuple(level.stage for _, level in levels)
    watch = Stopwatch(replace(scene.plan, stages=stages, seconds=sum(stage.seconds for stage in stages)))
    for part, level in levels:
        if entry is None or not level.is_done(entry):
            noted = entry if entry is not None and entry.words["stage"] == level.index else None
            yield from _draw(scene, (part, level), (before, noted), watch)
        else:
            watch.go_on(level.stage, level.stage.ticks)
        watch.close(level.stage)
    squares, after = scene.find_grid_boxes(redo), scene.open_finished(redo)
    scene.make_mending(redo).run(before, after.read, squares, entry)
    return Redone(pixels=after.pixels, squares=squares)


def forget_again(scene: Scene, redo: Redo) -> None:
    """Remove what a re-run has made and noted, as if it had never begun.

    Raises:
        StorageError: the disk refuses even a note; nothing was removed.
    """
    index = scene.level.index if redo.over is None else scene.make_mending(redo.over).index
    scene.space.note(Entry({"stage": index, "phase": "done"}), durable=True)
    _clear(scene, redo)


def _clear(scene: Scene, redo: Redo) -> None:
    """Remove the canvases of a re-run."""
    for _, level in scene.make_levels(redo):
        for name in ("anchor", *_PASSING):
            scene.space.drop(f"level{level.index}-{name}")
    scene.make_mending(redo).forget()


def count_windows_again(request: RenderRequest, plan: Plan, factor: int, redo: Redo) -> int:
    """Count the windows that a re-run draws, over all its steps."""
    stage, found = weaken(plan.stages[-1], request, redo.number), 0
    for part in list_parts(plan, redo, factor):
        freedom = part.make_freedom()
        for step in range(stage.first_step, stage.steps):
            rows = list_window_rows(stage, part.box.size, step)
            found += sum(freedom.is_open(box, stage.steps) for row in rows for box in row)
    return found


def _draw(
    scene: Scene, drawn: tuple[Part, Level], known: tuple[Finished, Entry | None], watch: Stopwatch
) -> Generator[Progress]:
    """Draw a part, on from where an entry says; its anchor becomes what it made, with what was made before around."""
    (part, level), (before, noted) = drawn, known
    entry = noted or _prepare(scene, part, level, before)
    yield from level.walk((level.open_result, load_upscaler(LANCZOS, scene.model.device)), watch, entry)
    made = open_planes(level, "odd" if len(level.course.asked) % 2 else "even")
    anchor = open_planes(level, "anchor")
    for rows in cut_bands(part.box.size):
        anchor.write(rows, torch.where(_open_rows(level, rows), made.read(rows), anchor.read(rows)))
    anchor.store.flush()
    scene.space.note(Entry({"stage": level.index, "phase": "done"}), durable=True)
    for name in _PASSING:
        scene.space.drop(f"level{level.index}-{name}")


def _prepare(scene: Scene, part: Part, level: Level, before: Finished) -> Entry:
    """Write the anchor and the first state of a part, and note that; return what was noted."""
    anchor, state = open_planes(level, "anchor"), open_planes(level, "even")
    sigma = float(stage_sigmas(level.work, level.stage)[0])
    for rows in cut_bands(part.box.size):
        box = LatentBox(0, rows.start, part.box.width, rows.stop)
        place = box.shift(part.box.left, part.box.top)
        grown, made = (torch.from_numpy(read(place)).to(anchor.device) for read in (scene.read_grown, before.read))
        kept = torch.where(_open_rows(level, rows), grown, made)
        anchor.write(rows, kept)
        state.write(rows, kept + sigma * make_noise(level.work, level.stage, (box,)).initial()[0])
    anchor.store.flush()
    state.store.flush()
    entry = Entry({"stage": level.index, "top": 0, **asdict(Place(phase="predict"))})
    scene.space.note(entry, durable=True)
    return entry


def _open_rows(level: Level, rows: slice) -> torch.Tensor:
    """Tell which cells of some rows are drawn anew."""
    assert level.freedom is not None, "a re-run has places"
    return level.freedom.open_rows(rows, level.stage.steps).to(level.work.model.device) > 0
