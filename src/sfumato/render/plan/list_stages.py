"""What the methods list their stages with: windows, evaluations and calls are counted, nothing is priced.

Pure. A method's own `list_stages` makes a `StageUse` for every stage; `plan.cost` says what that takes here.
Start reading at `StageList.make`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request import PictureSource, RenderRequest, TextSource
from sfumato.nn.samplers import make_sampler
from sfumato.nn.schedules import first_step, make_sigmas
from sfumato.render.layout import Cover, grow_ring
from sfumato.render.plan.sizes import find_canvas
from sfumato.render.sampling.window_grid import count_windows, list_windows
from sfumato.render.stages import Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sfumato.core.geometry import PixelSize
    from sfumato.models.contract import ModelContract


@dataclass(frozen=True, kw_only=True)
class StageUse:
    """State what a stage asks of a machine, whatever the machine is.

    The autoencoder sees `coded` at once, `encodes` and `decodes` times. A canvas held `in_bands` lies on disk, with
    `history` predictions of the sampler. An upscaler enlarges a picture of size `below`. Reading a picture's file takes
    `read_bytes` of memory. `work_bytes` is on disk while the stage runs, `left_bytes` when it is done.
    """

    stage: Stage
    calls: int
    coded: PixelSize
    encodes: int = 0
    decodes: int = 1
    in_bands: bool = False
    history: int = 0
    below: PixelSize | None = None
    read_bytes: int = 0
    work_bytes: int = 0
    left_bytes: int = 0

    def more(self, calls: int, halves: int) -> StageUse:
        """Return the same with more calls of the denoiser for the whole canvas."""
        stage = replace(self.stage, evaluations=self.stage.evaluations + calls * halves)
        return replace(self, stage=stage, calls=self.calls + calls)


@dataclass(frozen=True, kw_only=True)
class StageList:
    """Count what the stages of a request take; unless `listed`, a stage holds only the first of its windows."""

    request: RenderRequest
    contract: ModelContract
    window_batch: int = 4
    listed: bool = False

    @property
    def canvas(self) -> PixelSize:
        """Return what is denoised in the end: the size of the request, in whole cells."""
        return find_canvas(self.request, self.contract)

    @property
    def halves(self) -> int:
        """Count the evaluations of one window: the parts of the prompt, and without it."""
        parts = max(len(parse_prompt(self.request.prompt).at_step(0, self.request.steps)), 1)
        return parts + 1 if self.request.guidance != 1.0 or parts > 1 else parts

    @property
    def source_step(self) -> int:
        """Return the first step of a canvas that starts from the source of the request."""
        source = self.request.source
        return 0 if isinstance(source, TextSource | PictureSource) else first_step(self.request.steps, source.strength)

    def cover(self, canvas: PixelSize, window: PixelSize | None = None, overlap_frac: float = 0.0) -> Cover:
        """Return how windows (px) cover a canvas; None is one window that is the canvas."""
        factor = self.contract.factor
        return Cover(
            canvas=canvas.to_latent(factor),
            window=(window or canvas).to_latent(factor),
            overlap_frac=overlap_frac,
            seamless=self.request.seamless,
        )

    def make(
        self,
        name: str,
        canvas: PixelSize,
        cover: Cover,
        *,
        first_step: int | None = None,
        steps: int | None = None,
        noise_stage: int = 0,
    ) -> StageUse:
        """Return a stage that denoises all windows of a canvas in every step, then decodes the canvas once."""
        steps = steps or self.request.steps
        begin = self.source_step if first_step is None else first_step
        times, count = sum(self._ask(begin, steps)), cover.count()
        stage = Stage(
            name=name,
            canvas=canvas,
            windows=cover.list_boxes() if self.listed else (cover.size.box,),
            window_batch=min(self.window_batch, count),
            overlap_cells=cover.overlap_cells,
            steps=steps,
            first_step=begin,
            ticks=steps - begin,
            evaluations=count * times * self.halves,
            noise_stage=noise_stage,
        )
        encodes = 0 if isinstance(self.request.source, TextSource) else 1
        coded = grow_ring(canvas.to_latent(self.contract.factor), self.request.seamless)
        return StageUse(
            stage=stage,
            calls=self.count_calls(count) * times,
            coded=coded.size.to_pixels(self.contract.factor),
            encodes=encodes,
        )

    def make_level(self, name: str, cover: Cover, first_step: int, *, noise_stage: int, moving: bool) -> StageUse:
        """Return a stage on a canvas in bands, whose rows of windows move from step to step if `moving`."""
        use = self.make(name, cover.canvas.to_pixels(self.contract.factor), cover, first_step=first_step)
        stage, window = use.stage, cover.size
        stride = max(1, min(window.width, window.height) - cover.overlap_cells)
        asked = self._ask(first_step, stage.steps)
        grids = [
            count_windows(cover.canvas, window, stride, step, moving=moving) for step in range(first_step, stage.steps)
        ]
        windows = sum(rows * across * each for (rows, across), each in zip(grids, asked, strict=True))
        if self.listed and not moving:
            stage = replace(stage, windows=list_windows(cover.canvas, window, stride, 0, moving=False))
        stage = replace(
            stage,
            evaluations=windows * self.halves,
            ticks=sum(rows * each for (rows, _), each in zip(grids, asked, strict=True)),
            unit="row of windows",
            noise_stage=noise_stage,
            moving=moving,
        )
        calls = sum(rows * self.count_calls(across) * each for (rows, across), each in zip(grids, asked, strict=True))
        return replace(use, stage=stage, calls=calls, encodes=1, in_bands=True)

    def count_calls(self, windows: int) -> int:
        """Count the calls that denoise so many windows once."""
        return -(-windows // self.window_batch)

    def make_sigmas(self, steps: int) -> NDArray[np.float32]:
        """Return the noise levels of a schedule of so many steps."""
        return make_sigmas(self.request.schedule, self.contract.schedule, steps)

    def _ask(self, begin: int, steps: int) -> list[int]:
        """Count how often the sampler asks the denoiser in each step."""
        sigmas, sampler = self.make_sigmas(steps), make_sampler(self.request.sampler)
        return [sampler.count_evaluations(sigmas[step : step + 2]) for step in range(begin, steps)]
