"""What a stage costs: windows, calls, memory, disk and seconds.

Pure; knows one stage at a time and nothing of their order (`draft` does). Start reading at `StagePrice.stage`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request import CohesiveMethod, RenderRequest, TextSource
from sfumato.nn.samplers import make_sampler
from sfumato.nn.samplers.replay import plot_course
from sfumato.nn.schedules import make_sigmas
from sfumato.render.layout import Cover, show_whole
from sfumato.render.plan import budget as cost
from sfumato.render.plan.autoencoder_cost import CodingCost, Rooms, find_coding_cost
from sfumato.render.plan.canvas_cost import Held, hold_bands, hold_whole, measure_files
from sfumato.render.sampling.window_grid import count_windows
from sfumato.render.stages import Stage, StageKind

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.models.contract import ModelContract
    from sfumato.render.plan.budget import Budget

# Each time places are drawn again this many windows were drawn where it was measured (16 to 60, mini at 512 to 8192 px),
# on a canvas of its own that was at most so many windows wide, and what that reaches is decoded and judged anew.
WINDOWS_AGAIN, WINDOWS_ACROSS = 50, 4


@dataclass(frozen=True, kw_only=True)
class StagePrice:
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
        held = find_held(stage, contract)
        network = cost.denoise_bytes(contract, budget, stage.windows[0].size, stage.window_batch * self.count_halves())
        encodes = stage.kind in ("refine", "grow") or not isinstance(self.request.source, TextSource)
        coded = find_coding(stage, contract, budget, encodes=encodes).memory_bytes
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
        marks = find_coding(stage, contract, self.budget).mark_bytes
        return self._weigh(replace(stage, work_bytes=work + marks))

    def count_again_s(self, stage: Stage) -> float:
        """Return what one more pass over some places of a finished level takes; nothing for other stages."""
        if stage.kind != "grow":
            return 0.0
        model, evaluations = self.budget.cost, WINDOWS_AGAIN * self.count_halves()
        drawn = model.denoise_s(self._split(WINDOWS_AGAIN), evaluations, stage.windows[0].size.area)
        part = cut_part(stage, self.contract)
        # Each pixel of a KL autoencoder depends on all cells.
        decoded = part if self.contract.autoencoder == "tiny" else stage.canvas
        return drawn + cost.coding_s(self.contract, model, decoded, encodes=False) + part.area * model.save_s

    def count_enlarging(self, stage: Stage, below: PixelSize) -> int:
        """Return the memory of a stage that starts with a picture of size `below` enlarged."""
        left, _, right, _ = stage.taken or show_whole(below).shown
        wanted = stage.canvas.width / (right - left)
        peak = cost.enlarge_bytes(self.budget.upscaler, below, wanted, streamed=stage.kind == "grow")
        held = find_held(stage, self.contract)
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


def cut_part(stage: Stage, contract: ModelContract) -> PixelSize:
    """Return about what of a level is drawn again at once."""
    sides = zip(stage.canvas.shape_hw, stage.windows[0].size.to_pixels(contract.factor).shape_hw, strict=True)
    height, width = (min(side, WINDOWS_ACROSS * window) for side, window in sides)
    return PixelSize(width, height)


def find_room(stage: Stage, contract: ModelContract, budget: Budget) -> int:
    """Return what has to be free so that the autoencoder's own check passes at the end of a stage."""
    if contract.autoencoder == "tiny":
        return stage.memory_bytes
    standing = cost.standing_bytes(contract, budget, find_held(stage, contract))
    needed = find_coding(stage, contract, budget).memory_bytes
    return max(stage.memory_bytes, round(standing + needed / budget.decode_share))


def find_coding(stage: Stage, contract: ModelContract, budget: Budget, *, encodes: bool = True) -> CodingCost:
    """Return what the autoencoder takes in a stage, in the room that is left beside what stands."""
    room = cost.autoencoder_room(contract, budget, find_held(stage, contract))
    rooms = Rooms(memory_bytes=room, beside_bytes=_find_beside(stage, budget))
    return find_coding_cost(contract, budget, _decoded(stage, contract), rooms, encodes=encodes)


def _find_beside(stage: Stage, budget: Budget) -> int | None:
    """Return the disk left for maps beside a picture that is grown; None where nobody knows how much there is."""
    if not keeps_maps(stage, budget):
        return 0
    return None if budget.disk_bytes is None else max(0, budget.disk_bytes - stage.work_bytes)


def keeps_maps(stage: Stage, budget: Budget) -> bool:
    """Tell whether the autoencoder keeps its maps beside the picture in a stage, where there is room."""
    return stage.kind == "grow" and budget.maps_beside


def find_held(stage: Stage, contract: ModelContract) -> Held:
    """Return what the canvas of a stage takes of memory: bands of it where it grows, else all."""
    if stage.kind == "grow":
        return hold_bands(contract, stage.canvas, stage.windows[0].size, history=stage.history)
    return hold_whole(contract, stage.canvas)


def _decoded(stage: Stage, contract: ModelContract) -> PixelSize:
    """Return what the autoencoder sees at once: a slice, or the whole canvas."""
    return stage.windows[0].size.to_pixels(contract.factor) if stage.kind == "refine" else stage.canvas
