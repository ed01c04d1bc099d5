"""DemoFusion for comparison: a picture grown by every multiple of its size, each phase from noise but led by the last.

No method of its own and no part of the engine: what the paper says, on our model. One thing differs: the paper
averages what each window's and each dilated sample's step gives, here their clean predictions are averaged and one
step is taken on the whole canvas, as every other method here does it.
Start reading at `run_demofusion`, then `Phase.predict`.

Source: Du et al. 2024, "DemoFusion: Democratising High-Resolution Image Generation With No $$$", sections 3.3 to 3.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from PIL import Image

from sfumato.core.geometry import LatentSize, PixelSize
from sfumato.core.resampling import fit_box
from sfumato.core.seeds import sub_stream
from sfumato.nn.bands import enlarge
from sfumato.nn.noise import START_STEP, make_step_noise
from sfumato.nn.samplers import make_sampler
from sfumato.nn.schedules import make_sigmas
from sfumato.nn.windows import Fusion, shifted_cover
from sfumato.render.layout import cut_down, stride_cells
from sfumato.render.sampling.pixels import to_picture, to_tensor
from sfumato.render.sampling.run_steps import predict, split_batches

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from sfumato.core.geometry import LatentBox
    from sfumato.core.request import RenderRequest
    from sfumato.models.contract import ModelContract
    from sfumato.render.sampling.run_steps import Work

# The noise of a phase must not repeat that of any stage or level of the engine.
PHASES = 1 << 11
# The blur of dilated samples fades to this share and never to nothing: a kernel of width 0 has no values.
LEAST_BLUR = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Demofusion:
    """Hold what the paper calls alpha 1 to 3, and its sigma; the defaults are the paper's.

    `skip`, `dilated` and `blur` are powers of the cosine that falls from 1 to 0 with the timestep: how long the
    phase below leads, how long dilated samples count, how long they are blurred, by `sigma` at first. Windows share
    `overlap` of their side. With `anchor` a phase ends with the mean and spread of the base. Euler along evenly
    spaced timesteps is the paper's DDIM; it takes 50 `steps`, None takes those of the request.
    """

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


def run_demofusion(
    work: Work, base: Image.Image, how: Demofusion | None = None
) -> Generator[tuple[int, int], None, Image.Image]:
    """Grow a base to the size of the request; yield (phase, step) after every step and return the picture."""
    how = how or Demofusion()
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
    request: RenderRequest, contract: ModelContract, how: Demofusion, *, phase: int, step: int, canvas: LatentSize
) -> tuple[LatentBox, ...]:
    """Return the windows of a step of a phase; the grid of windows lies elsewhere in each."""
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
        contract = self.work.model.contract
        windows = list_jittered(
            self.work.request, contract, self.how, phase=self.number, step=step, canvas=self._canvas
        )
        for boxes in split_batches(windows, self.how.window_batch):
            cuts = torch.cat([x[..., rows, columns] for rows, columns in (box.slices_hw for box in boxes)])
            clean = predict(self.work, cuts, sigma, (step, self._steps))
            for box, values in zip(boxes, clean.split(1), strict=True):
                fusion.add(box, values, torch.ones(box.size.shape_hw))
        return fusion.finish()

    def _look_far(self, step: int, x: Tensor, sigma: float) -> Tensor:
        """Predict each of the interleaved pictures that are every n-th cell of the blurred canvas."""
        every = max(1, math.ceil(max(self._canvas.width / self.first.width, self._canvas.height / self.first.height)))
        blurred = self._blur(x, sigma, every)
        padded = F.pad(blurred, (0, -self._canvas.width % every, 0, -self._canvas.height % every), mode="replicate")
        folded = F.pixel_unshuffle(padded.transpose(0, 1), every).transpose(0, 1)
        clean = [predict(self.work, some, sigma, (step, self._steps)) for some in folded.split(self.how.window_batch)]
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


def _cut_base(base: Image.Image, target: PixelSize, factor: int) -> Image.Image:
    """Return the part of a base with the target's aspect, on whole cells."""
    box = fit_box(PixelSize(*base.size), target)
    wide, high = (max(1, round((end - start) / factor)) * factor for start, end in (box[::2], box[1::2]))
    whole = box == (0.0, 0.0, *base.size) and (wide, high) == base.size
    return base if whole else base.resize((wide, high), Image.Resampling.LANCZOS, box=box)
