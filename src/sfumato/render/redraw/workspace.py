"""What a re-run finds and makes in the workspace of a finished render: the picture it is over, its parts, its mending.

Opens canvases and names them; draws nothing. Start reading at `Redo`, then `Scene`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.nn.schedules import first_step
from sfumato.render.cohesive.level import Level, name_pixels
from sfumato.render.cohesive.run import find_known, load_base
from sfumato.render.cohesive.windows import list_window_rows
from sfumato.render.redraw.redecode import Finished, Mending, load_shrunk
from sfumato.render.redraw.regions import Part, cut_parts
from sfumato.render.sampling.latent_rows import Planes
from sfumato.render.sampling.preview import Preview
from sfumato.render.sampling.prompt_schedule import Words
from sfumato.render.sampling.run_steps import Work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sfumato.canvas.latents import LatentStore
    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.geometry import LatentBox, LatentSize, PixelBox
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.cohesive.run import Base
    from sfumato.render.redraw.redecode import ReadCells
    from sfumato.render.sampling.phrase_maps import PhraseMaps
    from sfumato.render.stages import Plan, Stage

# Each re-run is so many times as strong as the one before.
WEAKER = 0.7
# The noise of a re-run must not repeat that of any level, look or trial, and that of a part not that of one near it.
RERUN_STAGES, PARTS_APART = 1 << 14, 1 << 12
# Numbers in the journal from one re-run to the next: more than a canvas has parts.
_ROUND = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Redo:
    """Say where to draw anew (px), for the how-manieth time (from 1), and over which one that is finished (None: the level itself)."""

    number: int
    over: Redo | None
    boxes: tuple[PixelBox, ...]


def weaken(stage: Stage, request: RenderRequest, number: int) -> Stage:
    """Return the stage of a re-run: fewer steps, noise of its own."""
    begin = min(stage.steps - 1, first_step(stage.steps, method_of(request).strength * WEAKER**number))
    share = (stage.steps - begin) / (stage.steps - stage.first_step)
    return replace(
        stage,
        name=f"re-run {number} of {stage.name}",
        noise_stage=RERUN_STAGES + number * PARTS_APART,
        first_step=begin,
        seconds=stage.seconds * share,
    )


def list_parts(plan: Plan, redo: Redo, factor: int) -> tuple[Part, ...]:
    """Return the parts of the last canvas that a re-run draws."""
    last = plan.stages[-1]
    return cut_parts(redo.boxes, last.canvas.to_latent(factor), last.windows[0].size, factor)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """Hold a finished render, and open what its re-runs need of it and of each other. A leaf."""

    model: LatentModel
    request: RenderRequest
    plan: Plan
    space: Workspace

    @cached_property
    def level(self) -> Level:
        """Return the last level as it was drawn."""
        number, stages = len(self.plan.stages) - 1, self.plan.stages
        return Level(
            work=self._work,
            stage=stages[-1],
            index=number,
            space=self.space,
            base=self._base.picture,
            known=find_known(self._work, self._base, stages, number, self.space),
        )

    def make_levels(self, redo: Redo) -> list[tuple[Part, Level]]:
        """Return the parts of a re-run, each with the level that draws it."""
        parts = list_parts(self.plan, redo, self.model.contract.factor)
        return [(part, self._make_level(redo, number, part)) for number, part in enumerate(parts)]

    def make_mending(self, redo: Redo) -> Mending:
        """Return what finishes the pixels of a re-run."""
        parts = list_parts(self.plan, redo, self.model.contract.factor)
        return Mending(level=self.level, name=f"rerun{redo.number}", index=self._number(redo, len(parts)))

    def find_grid_boxes(self, redo: Redo) -> tuple[PixelBox, ...]:
        """Return the squares of the picture that a re-run may change."""
        parts = list_parts(self.plan, redo, self.model.contract.factor)
        return self.make_mending(redo).find_grid_boxes([box for part in parts for box in part.list_open()])

    def open_finished(self, redo: Redo | None) -> Finished:
        """Return the picture after a re-run, or as the level left it."""
        if redo is None:
            number, steps = self.level.index, len(self.level.course.asked)
            return Finished(
                pixels=self.space.open_pixels(name_pixels(number), self.level.stage.canvas),
                read=self._first_of(open_planes(self.level, "odd" if steps % 2 else "even").store),
                shrunk=load_shrunk(self.space, f"level{number}"),
            )
        before, mending = self.open_finished(redo.over), self.make_mending(redo)
        drawn = [(part.box, open_planes(level, "anchor").store) for part, level in self.make_levels(redo)]
        return Finished(
            pixels=mending.open(before.pixels, self.find_grid_boxes(redo)),
            read=_Overlay(before.read, tuple(drawn)).read,
            shrunk=load_shrunk(self.space, mending.name),
        )

    def read_grown(self, box: LatentBox) -> NDArray[np.float32]:
        """Return the cells that the level grew from, [C, h, w]."""
        return open_planes(self.level, "anchor").store.read(box)

    def _make_level(self, redo: Redo, number: int, part: Part) -> Level:
        stage, method = weaken(self.plan.stages[-1], self.request, redo.number), method_of(self.request)
        told = replace(self.request, method=replace(method, lock=1.0, detail=1.0))
        level = Level(
            work=replace(self._work, request=told, phrases=self._cut_phrases(part)),
            stage=replace(
                stage,
                canvas=part.box.size.to_pixels(self.model.contract.factor),
                noise_stage=stage.noise_stage + number % PARTS_APART,
                seconds=stage.seconds * part.box.area / self._cells.area,
            ),
            index=self._number(redo, number),
            space=self.space,
            base=self._base.picture,
            freedom=part.make_freedom(),
        )
        taken = enumerate(level.course.asked, start=stage.first_step)
        ticks = sum(len(list_window_rows(stage, part.box.size, step)) * len(asked) for step, asked in taken)
        return replace(level, stage=replace(level.stage, ticks=ticks))

    def _cut_phrases(self, part: Part) -> PhraseMaps | None:
        """Return where the phrases are on the canvas of a part."""
        phrases, box, cells = self._base.phrases, part.box, self._cells
        if phrases is None:
            return None
        left, top, right, bottom = phrases.part
        across, down = (right - left) / cells.width, (bottom - top) / cells.height
        shown = (left + across * box.left, top + down * box.top, left + across * box.right, top + down * box.bottom)
        return replace(phrases, part=shown)

    def _number(self, redo: Redo, number: int) -> int:
        """Return the number in the journal of a part, or of what comes after the last one."""
        return len(self.plan.stages) - 1 + redo.number * _ROUND + number

    def _first_of(self, store: LatentStore) -> ReadCells:
        """Return what reads the first of the canvases in a store."""
        return lambda box: store.read(box)[: self.model.contract.latent_channels]

    @cached_property
    def _cells(self) -> LatentSize:
        return self.plan.stages[-1].canvas.to_latent(self.model.contract.factor)

    @cached_property
    def _work(self) -> Work:
        words = Words(self.model, self.request)
        return Work(model=self.model, request=self.request, words=words, preview=Preview(self.model))

    @cached_property
    def _base(self) -> Base:
        base = load_base(self._work, self.plan.stages, self.space)
        assert base is not None, "a finished render has kept its base"
        return base


@dataclass(frozen=True, eq=False)
class _Overlay:
    """Read cells of a canvas with some boxes of others on top. A leaf."""

    below: ReadCells
    drawn: tuple[tuple[LatentBox, LatentStore], ...]

    def read(self, box: LatentBox) -> NDArray[np.float32]:
        """Return a copy of a box, [C, h, w]."""
        found = self.below(box)
        for place, store in self.drawn:
            part = place.find_overlap(box)
            if part is not None:
                inside = part.shift(-box.left, -box.top).slices_hw
                found[(slice(None), *inside)] = store.read(part.shift(-place.left, -place.top))
        return found


def open_planes(level: Level, name: str) -> Planes:
    """Open a canvas of a level as the level does."""
    model = level.work.model
    channels, cells = model.contract.latent_channels, level.stage.canvas.to_latent(model.contract.factor)
    count = 1 if name == "anchor" else 1 + level.course.deepest
    store = level.space.open_latents(f"level{level.index}-{name}", cells, count * channels)
    return Planes(store, channels, model.device)


def method_of(request: RenderRequest) -> CohesiveMethod:
    """Return the method of a request for a picture that was grown."""
    assert isinstance(request.method, CohesiveMethod), "only levels are re-run"
    return request.method
