"""DemoFusion for comparison: a picture grown by every multiple of its size, each phase from noise but led by the last.

A method of the laboratory, with a row of its own in the engine's table: the paper's algorithm on our model. One thing
differs: the paper averages the result of each window's and each dilated sample's step, here their clean predictions are
averaged and one step is taken on the whole canvas, as every other method here does it.
Start reading at `run_demofusion`, then `Phase.predict`.

Source: Du et al. 2024, "DemoFusion: Democratising High-Resolution Image Generation With No $$$", sections 3.3 to 3.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image

from sfumato.core.geometry import LatentSize, PixelSize
from sfumato.core.request import Method
from sfumato.core.resampling import fit_box
from sfumato.core.seeds import sub_stream
from sfumato.nn.bands import enlarge
from sfumato.nn.noise import START_STEP, make_step_noise
from sfumato.nn.samplers import make_sampler
from sfumato.nn.schedules import make_sigmas
from sfumato.nn.windows import Fusion, shifted_cover
from sfumato.render.layout import choose_base_size, cut_down, stride_cells
from sfumato.render.methods.native import run_sample
from sfumato.render.methods.registry import MethodRow, register_method
from sfumato.render.progress import RenderResult
from sfumato.render.sampling.pixels import to_picture, to_tensor
from sfumato.render.sampling.run_steps import predict, split_batches

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.geometry import LatentBox
    from sfumato.core.request import RenderRequest
    from sfumato.models.contract import ModelContract
    from sfumato.render.plan.list_stages import StageList, StageUse
    from sfumato.render.progress import Inputs, Progress, Stopwatch
    from sfumato.render.sampling.run_steps import Work
    from sfumato.render.stages import Plan

# The noise of a phase must not repeat that of any stage or level of the engine.
PHASES = 1 << 11
# The blur of dilated samples fades to this share and never to nothing: a kernel of width 0 has no values.
LEAST_BLUR = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Demofusion(Method):
    """Hold what the paper calls alpha 1 to 3, and its sigma; the defaults are the paper's.

    `skip`, `dilated` and `blur` are powers of the cosine that falls from 1 to 0 with the timestep: how long the
    phase below leads, how long dilated samples count, how long they are blurred, by `sigma` at first. Windows share
    `overlap` of their side. With `anchor` a phase ends with the mean and spread of the base. Euler along evenly
    spaced timesteps is the paper's DDIM; it takes 50 `steps`, None takes those of the request.
    """

    kind: ClassVar[str] = "demofusion"
    skip: float = 3.0
    dilated: float = 1.0
    blur: float = 1.0
    sigma: float = 0.8
    overlap: float = 0.5
    window_batch: int = 4
    anchor: bool = True
    sampler: str = "Euler"
    schedule: str = "model"
    steps: int | None = None

    def count_steps(self, request: RenderRequest) -> int:
        """Return the steps of every phase."""
        return self.steps or request.steps


def list_demofusion_stages(stages: StageList) -> tuple[StageUse, ...]:
    """List the base and the phases; a step of a phase predicts all windows and all dilated samples."""
    how, factor, request = settings_of(stages.request), stages.contract.factor, stages.request
    base = choose_base_size(request.size, stages.contract)
    first, target = _find_shown_size(base, request.size, factor).to_latent(factor), request.size.to_latent(factor)
    steps, found = how.count_steps(request), [stages.make("base", base, stages.cover(base))]
    canvases = list_phases(first, target)
    for number, canvas in enumerate(canvases, start=1):
        size = canvas.to_pixels(factor)
        cover = stages.cover(size, stages.contract.native, how.overlap)
        name = f"phase {number} of {len(canvases)}"
        use = stages.make(name, size, cover, first_step=0, steps=steps, noise_stage=PHASES + number)
        samples, asked = _count_every(canvas, first) ** 2, []
        for step in range(steps):
            windows = list_jittered(request, stages.contract, how, canvas, phase=number, step=step)
            asked += [len(windows), samples]
        stage = replace(use.stage, evaluations=sum(asked) * stages.halves, moving=True)
        calls = sum(stages.count_calls(count) for count in asked)
        is_last = number == len(canvases)
        found.append(replace(use, stage=stage, calls=calls, encodes=int(number == 1), decodes=int(is_last)))
    return tuple(found)


def run_demofusion(
    work: Work, plan: Plan, inputs: Inputs, space: Workspace, watch: Stopwatch
) -> Generator[Progress, None, RenderResult]:
    """Draw the base, then grow it phase by phase."""
    del space
    first, *phases = plan.stages
    base = yield from run_sample(work, first, inputs, watch)
    watch.close(first)
    steps, open_phase = grow_base(work, base, settings_of(work.request)), 1
    while True:
        try:
            number, step = next(steps)
        except StopIteration as end:
            watch.close(phases[-1])
            return RenderResult(shown=end.value, base=base, trace=watch.trace)
        if number > open_phase:
            watch.close(phases[open_phase - 1])
            open_phase = number
        yield watch.tick(phases[number - 1], step)


def settings_of(request: RenderRequest) -> Demofusion:
    """Return the settings of a request for this method."""
    assert isinstance(request.method, Demofusion), "the row of the method plans its own settings"
    return request.method


@torch.inference_mode()
def grow_base(work: Work, base: Image.Image, how: Demofusion) -> Generator[tuple[int, int], None, Image.Image]:
    """Grow a base to the size of the request; yield (phase, step) after every step and return the picture."""
    contract, target = work.model.contract, work.request.size
    shown = _cut_base(base, target, contract.factor)
    clean = work.model.encode_image(to_tensor(shown).to(work.model.device))
    mean, spread = clean.mean(), clean.std()
    first = LatentSize(clean.shape[-1], clean.shape[-2])
    for number, canvas in enumerate(list_phases(first, target.to_latent(contract.factor)), start=1):
        reference = enlarge(clean, canvas.shape_hw)
        phase = Phase(work=work, how=how, number=number, first=first, reference=reference)
        clean = yield from phase.run()
        if how.anchor:
            clean = (clean - clean.mean()) / clean.std() * spread + mean
    return to_picture(work.model.decode(clean))


def list_phases(first: LatentSize, target: LatentSize) -> tuple[LatentSize, ...]:
    """Return the canvas of every phase: 2, 3, 4 ... times the first, and the target last."""
    scale = target.width / first.width
    between = range(2, math.ceil(scale - 1e-9))
    sides = [(round(target.width * step / scale), round(target.height * step / scale)) for step in between]
    return (*(LatentSize(wide, high) for wide, high in sides), target)


def list_jittered(
    request: RenderRequest, contract: ModelContract, how: Demofusion, canvas: LatentSize, *, phase: int, step: int
) -> tuple[LatentBox, ...]:
    """Return the windows of a step of a phase; the lattice lies elsewhere in each."""
    window = cut_down(contract.native.to_latent(contract.factor), canvas)
    stride = stride_cells(window, how.overlap)
    shift = sub_stream(request.seed, "demofusion", phase, step).integers(0, stride, 2)
    return shifted_cover(canvas, window, stride, (int(shift[0]), int(shift[1])))


@dataclass(frozen=True, eq=False, kw_only=True)
class Phase:
    """Walk one canvas from noise to clean latents. A leaf.

    `first` is the size of the base in cells, `reference` [1, C, h, w] the phase below, enlarged.
    """

    work: Work
    how: Demofusion
    number: int
    first: LatentSize
    reference: Tensor
    _canvas: LatentSize = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_canvas", LatentSize(self.reference.shape[-1], self.reference.shape[-2]))

    def run(self) -> Generator[tuple[int, int], None, Tensor]:
        """Take all steps; yield (phase, step) after each and return the clean latents."""
        model, request = self.work.model, self.work.request
        sigmas = make_sigmas(self.how.schedule, model.contract.schedule, self._steps)
        channels = model.contract.latent_channels
        noise = make_step_noise(request.seed, PHASES + self.number, self._canvas.box, channels, model.device)
        noised, sampler = noise(START_STEP, 0), make_sampler(self.how.sampler)
        state = sampler.start(self.reference + float(sigmas[0]) * noised, sigmas)
        while not state.done:
            # The skip residual: early on the phase below decides, as it would look with this much noise.
            share = self._measure_cosine(state.sigma) ** self.how.skip
            led = self.reference + state.sigma * noised
            state = replace(state, x=torch.lerp(state.x, led, share))
            state = sampler.step(state, partial(self.predict, state.index), noise)
            yield (self.number, state.index)
        return state.x

    def predict(self, step: int, x: Tensor, sigma: float, /) -> Tensor:
        """Predict x0 of the canvas: windows for what is near, dilated samples for the whole."""
        share = self._measure_cosine(sigma) ** self.how.dilated
        return torch.lerp(self._look_near(step, x, sigma), self._look_far(step, x, sigma), share)

    def _look_near(self, step: int, x: Tensor, sigma: float) -> Tensor:
        fusion = Fusion(self._canvas, x)
        request, contract = self.work.request, self.work.model.contract
        windows = list_jittered(request, contract, self.how, self._canvas, phase=self.number, step=step)
        for boxes in split_batches(windows, self.how.window_batch):
            cuts = torch.cat([x[..., rows, columns] for rows, columns in (box.slices_hw for box in boxes)])
            clean = predict(self.work, cuts, sigma, step=step, steps=self._steps)
            for box, values in zip(boxes, clean.split(1), strict=True):
                fusion.add(box, values, torch.ones(box.size.shape_hw))
        return fusion.finish()

    def _look_far(self, step: int, x: Tensor, sigma: float) -> Tensor:
        """Predict each of the interleaved pictures that are every n-th cell of the blurred canvas."""
        every = _count_every(self._canvas, self.first)
        blurred = self._blur(x, sigma, every)
        padded = F.pad(blurred, (0, -self._canvas.width % every, 0, -self._canvas.height % every), mode="replicate")
        folded = F.pixel_unshuffle(padded.transpose(0, 1), every).transpose(0, 1)
        clean = [
            predict(self.work, some, sigma, step=step, steps=self._steps)
            for some in folded.split(self.how.window_batch)
        ]
        whole = F.pixel_shuffle(torch.cat(clean).transpose(0, 1), every).transpose(0, 1)
        return whole[..., : self._canvas.height, : self._canvas.width]

    def _blur(self, x: Tensor, sigma: float, every: int) -> Tensor:
        """Blur so that every n-th cell knows its neighbours; mean and spread stay what they were."""
        share = (1.0 - LEAST_BLUR) * self._measure_cosine(sigma) ** self.how.blur + LEAST_BLUR
        reach = every - 1
        offsets = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
        kernel = torch.exp(-0.5 * (offsets / (self.how.sigma * share)).square())
        kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1)
        soft = F.pad(x, (reach, reach, reach, reach), mode="replicate")
        soft = F.conv2d(soft, kernel[:, :, None, :], groups=x.shape[1])
        soft = F.conv2d(soft, kernel[:, :, :, None], groups=x.shape[1])
        return (soft - soft.mean()) / soft.std().clamp_min(1e-6) * x.std() + x.mean()

    @property
    def _steps(self) -> int:
        return self.how.count_steps(self.work.request)

    def _measure_cosine(self, sigma: float) -> float:
        """Return 1 at the noisiest timestep, 0 at the clean one, along half a cosine."""
        schedule = self.work.model.contract.schedule
        done = 1.0 - float(schedule.sigma_to_t(sigma)) / (schedule.steps - 1)
        return (1.0 + math.cos(math.pi * min(1.0, max(0.0, done)))) / 2.0


def _count_every(canvas: LatentSize, first: LatentSize) -> int:
    """Return how far apart the cells of a dilated sample lie, so that it is no larger than the base."""
    return max(1, math.ceil(max(canvas.width / first.width, canvas.height / first.height)))


def _find_shown_size(base: PixelSize, target: PixelSize, factor: int) -> PixelSize:
    """Return the size of the part of a base that has the target's aspect, in whole cells."""
    box = fit_box(base, target)
    wide, high = (max(1, round((end - start) / factor)) * factor for start, end in (box[::2], box[1::2]))
    return PixelSize(wide, high)


def _cut_base(base: Image.Image, target: PixelSize, factor: int) -> Image.Image:
    """Return the part of a base with the target's aspect, on whole cells."""
    size = PixelSize(*base.size)
    box, shown = fit_box(size, target), _find_shown_size(size, target, factor)
    whole = box == (0.0, 0.0, *base.size) and shown == size
    return base if whole else base.resize((shown.width, shown.height), Image.Resampling.LANCZOS, box=box)


register_method(MethodRow(settings=Demofusion, list_stages=list_demofusion_stages, run=run_demofusion, offered=False))
