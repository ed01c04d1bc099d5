"""One level of the cohesive engine, band by band: predicted, updated and noted, so that it can be stopped anywhere.

The canvas lies in a workspace. A step reads one state and writes the other, so whatever was being done
when the process died is done again from what was read, with the same result. Start reading at `Level.run`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import torch

from sfumato.canvas.pixels import cut_bands as cut_pixels
from sfumato.canvas.workspace.workspace import Entry
from sfumato.core.errors import ModelError
from sfumato.core.geometry import LatentBox, PixelBox
from sfumato.core.memory import give_back_memory
from sfumato.models.autoencoder.kl_tiles import CoderCheckpoint
from sfumato.nn.samplers import SamplerState, make_sampler
from sfumato.nn.samplers.replay import Question, advance_known, plot_course
from sfumato.nn.tiled import Notes
from sfumato.render.cohesive.finish import hold_base
from sfumato.render.cohesive.journal import find_mark, say_mark
from sfumato.render.cohesive.reference import Below, write_reference
from sfumato.render.cohesive.stages import settings_of
from sfumato.render.cohesive.update import Update, cut_bands, scale_gain
from sfumato.render.cohesive.windows import Rolling, WindowRows, list_window_rows
from sfumato.render.layout import show_whole
from sfumato.render.sampling.latent_rows import Planes
from sfumato.render.sampling.pixels import to_bytes
from sfumato.render.sampling.run_steps import make_noise, stage_sigmas

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

    from sfumato.canvas.pixels import PixelStore
    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.geometry import LatentSize
    from sfumato.core.request import CohesiveMethod
    from sfumato.core.serialize import Json
    from sfumato.nn.samplers import Sampler
    from sfumato.nn.samplers.replay import Course
    from sfumato.nn.tiled import TileCheckpoint
    from sfumato.render.cohesive.change_map import ChangeMap
    from sfumato.render.cohesive.kept_detail import KnownDetail
    from sfumato.render.focus_windows.windows import FocusWindows, Fused
    from sfumato.render.progress import Progress, Stopwatch
    from sfumato.render.sampling.run_steps import Work
    from sfumato.render.stages import Stage


@dataclass(frozen=True, kw_only=True)
class LevelPosition:
    """Say what is to be done next in a level: `band` of the windows (`predict`) or of the canvas (`update`).

    `step` counts from the first step of the level, `sweep` the times the denoiser was asked in it.
    """

    phase: str = "prepare"
    step: int = 0
    sweep: int = 0
    band: int = 0


@dataclass(eq=False, kw_only=True)
class Level:
    """Walk the end of the schedule on one canvas. A leaf.

    `index` marks its canvases in the workspace; `base` is what a preview shows until a step is predicted.
    """

    work: Work
    stage: Stage
    index: int
    space: Workspace
    base: Image.Image
    change_map: ChangeMap | None = None
    known: KnownDetail | None = None
    focus: FocusWindows | None = None

    def run(self, open_below: Callable[[], Below], watch: Stopwatch, entry: Entry | None) -> Generator[Progress]:
        """Take every step that is left and decode; yield after every row of windows.

        Raises:
            ModelError: a window or the sampler gave numbers that are no picture.
            StorageError: the disk refuses; what was noted so far can be resumed.
        """
        position, rolling = self._find_position(entry)
        watch.go_on(self.stage, self._count_done(position))
        if position.phase == "prepare":
            below = open_below()
            self._prepare(below, position, entry)
            position = self._note(LevelPosition(phase="predict"), durable=True)
            (below.trim if self.known else below.drop)()
        while position.step < len(self.course.asked):
            if position.phase == "predict":
                position = yield from self._predict(position, rolling, watch)
            position = self._update(position)
            rolling = None
        position = self._decode(position, entry)
        if self.finishes:
            self._finish()
        self._note(replace(position, phase="done"), durable=True)
        self.space.drop(self._name("decoded"))

    def is_done(self, entry: Entry) -> bool:
        """Tell whether an entry of the journal lies behind this level."""
        stage = cast("int", entry.words["stage"])
        return stage > self.index or (stage == self.index and entry.words["phase"] == "done")

    def open_result(self) -> Below:
        """Return the finished level, for the next one to grow from."""
        return Below(pixels=self._pixels, drop=self._drop, trim=self._trim)

    def _drop(self) -> None:
        self._trim()
        self.space.drop(name_pixels(self.index))

    def _trim(self) -> None:
        for name in ("even", "odd", "anchor", "predictions", "trial", "decoded"):
            self.space.drop(self._name(name))

    def _decode(self, position: LevelPosition, entry: Entry | None) -> LevelPosition:
        """Decode the last state, on from where an entry says; into pixels of their own where they are finished after."""
        if position.phase == "hold":
            return position
        steps = len(self.course.asked)
        # Nobody reads them again, and the pixels need room.
        for name in ("odd" if steps % 2 == 0 else "even", "predictions", "trial"):
            self.space.drop(self._name(name))
        clean, pixels = self._state(steps), self._decoded if self.finishes else self._pixels

        def read(box: LatentBox) -> Tensor:
            values = clean.store.read(box)[: self._channels]
            return torch.from_numpy(values)[None].to(self.work.model.device)

        def write(box: PixelBox, decoded: Tensor) -> None:
            pixels.write(box, to_bytes(decoded))

        kept = self._keep(replace(position, phase="decode"), entry, lambda: None)
        self.work.model.decode_into(read, self._cells, write, kept)
        pixels.flush()
        return self._note(replace(position, phase="hold"), durable=True) if self.finishes else position

    @property
    def method(self) -> CohesiveMethod:
        """Return the settings of the method."""
        return settings_of(self.work.request)

    @cached_property
    def _locked(self) -> CohesiveMethod:
        """Return the settings with the gain of detail that suits what this level adds."""
        left, _, right, _ = self.stage.taken or show_whole(self.stage.canvas).shown
        detail = scale_gain(self.method.detail, self.stage.canvas.width / (right - left))
        return replace(self.method, detail=detail)

    @property
    def finishes(self) -> bool:
        """Tell whether something is done to the decoded pixels."""
        return self.method.hold or self.method.guard or self.known is not None or self._has_windows

    @property
    def _has_windows(self) -> bool:
        return self.focus is not None and bool(self.focus.windows)

    def _finish(self) -> None:
        """Write the decoded pixels with known detail, colours and lost parts; from the start after a stop."""
        if self.known is None:
            for band in cut_pixels(self.stage.canvas):
                self._pixels.write(band, self._decoded.read(band))
        else:
            self.known.keep(self._decoded, self._pixels)
        if self.method.hold or self.method.guard:
            how = {"colours": self.method.hold, "parts": self.method.guard}
            hold_base(self._pixels, self.base, self.stage.shown, **how)
        if self.focus is not None:
            self.focus.lay(self._pixels, len(self.course.asked))
        self._pixels.flush()

    def _keep(self, position: LevelPosition, entry: Entry | None, flush: Callable[[], None]) -> CoderCheckpoint | None:
        """Return what notes how far the autoencoder is; nothing where nothing outlives the process."""
        if self.space.folder is None:
            return None

        def note(mark: TileCheckpoint) -> None:
            flush()
            self._note(position, mark=mark)

        mark = find_mark(entry, self.index, position.phase)
        return CoderCheckpoint(notes=Notes(checkpoint=mark, note=note), folder=self.space.folder)

    @property
    def _decoded(self) -> PixelStore:
        return self.space.open_pixels(self._name("decoded"), self.stage.canvas)

    @property
    def _pixels(self) -> PixelStore:
        return self.space.open_pixels(name_pixels(self.index), self.stage.canvas)

    def _name(self, canvas: str) -> str:
        return f"level{self.index}-{canvas}"

    @cached_property
    def course(self) -> Course:
        """Return what the sampler asks for along the sigmas."""
        return plot_course(self.sampler, self._sigmas)

    @cached_property
    def sampler(self) -> Sampler:
        """Return the sampler of the request."""
        return make_sampler(self.work.request.sampler)

    def _prepare(self, below: Below, position: LevelPosition, entry: Entry | None) -> None:
        """Write the reference, on from where an entry says, and the first state: the reference with noise on top."""
        kept = self._keep(position, entry, lambda: self._anchor.store.flush(durable=False))
        write_reference(self.work, below.pixels, self.stage, self._anchor, kept)
        first = float(self._sigmas[0])
        for rows in cut_bands(self._cells):
            noise = make_noise(self.work, self.stage, (self._box(rows),)).initial()[0]
            self._state(0).write(rows, self._anchor.read(rows) + first * noise)
        self._anchor.store.flush()
        self._state(0).store.flush()
        if self.focus is not None:
            self.focus.open(below.pixels, self.stage.taken or show_whole(below.pixels.size).shown, self._anchor)

    def _predict(
        self, position: LevelPosition, rolling: Rolling | None, watch: Stopwatch
    ) -> Generator[Progress, None, LevelPosition]:
        """Predict x0 under every row of windows that is left; return where to go on."""
        step = self.stage.first_step + position.step
        rows = list_window_rows(self.stage, self._cells, step)
        is_open = self.change_map.is_open if self.change_map else _always
        windows = WindowRows(work=self.work, stage=self.stage, canvas=self._cells, is_open=is_open)
        rolling = rolling or windows.make_rolling(rows[0][0].height)
        source = self._trial if position.sweep else self._state(position.step)
        for band in range(position.band, len(rows)):
            top, height = rows[band][0].top, rows[band][0].height
            x = source.read(slice(top, top + height))
            sigma = self.course.asked[position.step][position.sweep]
            windows.add_row(rows[band], x, rolling, step=step, sigma=sigma)
            done = slice(top, rows[band + 1][0].top if band + 1 < len(rows) else self._cells.height)
            self._predictions.write(done, rolling.take(done))
            self._predictions.store.flush(durable=False)
            self._note(replace(position, band=band + 1), rolling)
            yield watch.tick(self.stage, self._count(position, band + 1), partial(self._draw, position))
        if self.focus is not None and self._has_windows:
            sigma = self.course.asked[position.step][position.sweep]
            self.focus.ask(position.step, position.sweep, sigma, is_last=self._is_last(position))
        return self._note(replace(position, phase="update", band=0))

    def _is_last(self, position: LevelPosition) -> bool:
        """Tell whether the step ends with this sweep."""
        return position.sweep + 1 == len(self.course.asked[position.step])

    def _fuse(self, position: LevelPosition) -> Planes | Fused:
        """Return the predictions with those of the focus windows in them."""
        if self.focus is None or not self._has_windows:
            return self._predictions
        return self.focus.fuse(self._predictions, position.step, position.sweep, is_last=self._is_last(position))

    def _update(self, position: LevelPosition) -> LevelPosition:
        """Turn predictions into the next state, or into what the sampler wants denoised next."""
        update, bands = self._make_update(position, self._fuse(position)), cut_bands(self._cells)
        last = self._is_last(position)
        target = self._state(position.step + 1) if last else self._trial
        for band in range(position.band, len(bands)):
            target.write(bands[band], self._advance(position, bands[band], update.clean_rows(bands[band])))
            if band + 1 < len(bands):
                target.store.flush(durable=False)
                self._note(replace(position, band=band + 1))
        target.store.flush(durable=last)
        if last:
            return self._note(LevelPosition(phase="predict", step=position.step + 1), durable=True)
        return self._note(LevelPosition(phase="predict", step=position.step, sweep=position.sweep + 1))

    def _advance(self, position: LevelPosition, rows: slice, clean: Tensor) -> Tensor:
        """Return the rows of the next state, or of the trial and the answers before it.

        Raises:
            ModelError: the sampler left the numbers.
        """
        depth = self.course.depths[position.step]
        x, *history = self._state(position.step).read(rows, count=1 + depth).split(self._channels)
        answers = (
            [*self._trial.read(rows, first=1, count=position.sweep).split(self._channels)] if position.sweep else []
        )
        sigmas = tuple(self._sigmas.tolist())
        state = SamplerState(
            x[None], sigmas, position.step, self.sampler.stages, history=tuple(past[None] for past in history)
        )
        noise = make_noise(self.work, self.stage, (self._box(rows),))
        told = [answer[None] for answer in (*answers, clean)]
        after = advance_known(self.sampler, state, told, noise.at)
        kept = (after.x, *told) if isinstance(after, Question) else (after.x, *after.history)
        packed = torch.cat(kept, dim=1)[0]
        if not bool(torch.isfinite(packed.sum())):
            where = f"{self.stage.name}, step {self.stage.first_step + position.step + 1} of {self.stage.steps}"
            do = "Use `dtype` fp32, another sampler, or a lower `guidance`."
            raise ModelError("the sampler gave numbers that are no picture", got=where, do=do)
        return packed

    def _make_update(self, position: LevelPosition, predictions: Planes | Fused) -> Update:
        return Update(
            canvas=self._cells,
            predictions=predictions,
            anchor=self._anchor,
            method=self._locked,
            step=self.stage.first_step + position.step,
            change_map=self.change_map,
        )

    def _draw(self, position: LevelPosition) -> Image.Image:
        """Return the predictions at about the size of the base; the base until there is one of every row."""
        if position.step == 0 and position.sweep == 0:
            return self.base
        times = max(1.0, max(self.stage.canvas.width, self.stage.canvas.height) / max(self.base.size))
        height, width = (max(1, round(side / times)) for side in self._cells.shape_hw)
        return self.work.preview.draw(self._make_update(position, self._predictions).shrink((height, width))[None])

    def _note(
        self,
        position: LevelPosition,
        rolling: Rolling | None = None,
        *,
        mark: TileCheckpoint | None = None,
        durable: bool = False,
    ) -> LevelPosition:
        arrays: dict[str, NDArray[np.generic]] = {}
        if rolling is not None:
            arrays |= {"sums": rolling.sums.cpu().numpy(), "weight": rolling.weight.cpu().numpy()}
        top = rolling.top if rolling else 0
        words: dict[str, Json] = {"stage": self.index, "top": top, **asdict(position)}
        if mark is not None:
            said, numbers = say_mark(mark)
            words, arrays = words | said, arrays | numbers
        self.space.note(Entry(words, arrays), durable=durable)
        # Rows of windows and strips leave holes in the heap that the next ones do not fit: a quarter of what a large picture takes.
        give_back_memory()
        return position

    def _find_position(self, entry: Entry | None) -> tuple[LevelPosition, Rolling | None]:
        """Return where an entry of this level left off, and the sums it kept."""
        if entry is None or entry.words["stage"] != self.index:
            return LevelPosition(), None
        words, device = entry.words, self.work.model.device
        position = LevelPosition(**{name: cast("Any", words[name]) for name in ("phase", "step", "sweep", "band")})
        if "sums" not in entry.arrays:
            return position, None
        sums, weight = (torch.from_numpy(entry.arrays[name]).to(device) for name in ("sums", "weight"))
        return position, Rolling(cast("int", words["top"]), sums, weight)

    def _state(self, step: int) -> Planes:
        return self._planes("odd" if step % 2 else "even", 1 + self.course.deepest)

    @property
    def _anchor(self) -> Planes:
        return self._planes("anchor", 1)

    @property
    def _predictions(self) -> Planes:
        return self._planes("predictions", 1)

    @property
    def _trial(self) -> Planes:
        return self._planes("trial", self.sampler.stages)

    def _planes(self, name: str, count: int) -> Planes:
        store = self.space.open_latents(self._name(name), self._cells, count * self._channels)
        return Planes(store, self._channels, self.work.model.device)

    def _box(self, rows: slice) -> LatentBox:
        return LatentBox(0, rows.start, self._cells.width, rows.stop)

    def _count_done(self, position: LevelPosition) -> int:
        """Count the rows of windows that are done where a level goes on."""
        if position.phase in ("predict", "update"):
            rows = len(list_window_rows(self.stage, self._cells, self.stage.first_step + position.step))
            return self._count(position, position.band if position.phase == "predict" else rows)
        return 0 if position.phase == "prepare" else self.stage.ticks

    def _count(self, position: LevelPosition, bands: int) -> int:
        """Count the rows of windows that are done."""
        before = sum(
            len(list_window_rows(self.stage, self._cells, self.stage.first_step + step)) * len(asked)
            for step, asked in enumerate(self.course.asked[: position.step])
        )
        here = len(list_window_rows(self.stage, self._cells, self.stage.first_step + position.step))
        return before + here * position.sweep + bands

    @cached_property
    def _sigmas(self) -> NDArray[np.float32]:
        return stage_sigmas(self.work, self.stage)

    @cached_property
    def _cells(self) -> LatentSize:
        return self.stage.canvas.to_latent(self.work.model.contract.factor)

    @property
    def _channels(self) -> int:
        return self.work.model.contract.latent_channels


def name_pixels(index: int) -> str:
    """Return the name of the finished pixels of a level in the workspace."""
    return f"level{index}-pixels"


def _always(_box: LatentBox, _step: int) -> bool:
    return True
