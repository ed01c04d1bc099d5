"""The loop of every stage: one sampler, its noise from the counter, a check of every step.

Knows neither windows nor pixels; the denoiser is a function of the canvas. Start reading at
`run_steps`.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import torch

from sfumato.core.errors import ModelError
from sfumato.core.geometry import LatentSize
from sfumato.nn.noise import START_STEP, normal_noise
from sfumato.nn.samplers import SamplerState, make_sampler
from sfumato.nn.schedules import make_sigmas

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sfumato.core.geometry import LatentBox
    from sfumato.core.request import RenderRequest
    from sfumato.models.control.residuals import ControlInput
    from sfumato.models.latent_model import LatentModel
    from sfumato.models.upscaler.upscaler import Upscaler
    from sfumato.render.sampling.control_pictures import ControlPictures
    from sfumato.render.sampling.phrase_maps import PhraseMaps
    from sfumato.render.sampling.preview import Preview
    from sfumato.render.sampling.prompt_schedule import PromptSchedule
    from sfumato.render.stages import Stage


class StepDenoise(Protocol):
    """What a stage denoises with."""

    def __call__(self, step: int, x: Tensor, sigma: float, /) -> Tensor:
        """Predict the guided x0 of a canvas or a batch of windows, at a step of the schedule."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Work:
    """Hold what all stages of one picture share; there is an `upscaler` if the settings of the method name one.

    `controls` are cut for each call; None where the request has none.
    """

    model: LatentModel
    request: RenderRequest
    prompts: PromptSchedule
    preview: Preview
    upscaler: Upscaler | None = None
    phrases: PhraseMaps | None = None
    controls: ControlPictures | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class CanvasNoise:
    """Draw unit normal noise for windows of a canvas from the counter; neighbours agree where they overlap.

    With `variation` above 0 the noise that a stage starts from lies on the way to that of another seed.
    """

    seed: int
    stage: int
    boxes: tuple[LatentBox, ...]
    channels: int
    device: torch.device
    variation_seed: int | None = None
    variation: float = 0.0

    def initial(self) -> Tensor:
        """Return the noise that a stage starts from, [windows, C, h, w]."""
        noise = self._draw(START_STEP, 0)
        if self.variation_seed is None:
            return noise
        other = replace(self, seed=self.variation_seed, variation_seed=None).initial()
        # Unit normals of two seeds stand at right angles, so this is the great circle between them, cell by cell.
        angle = self.variation * math.pi / 2
        return math.cos(angle) * noise + math.sin(angle) * other

    def at(self, step: int, substep: int, /) -> Tensor:
        """Return the noise a stochastic sampler adds in a step, [windows, C, h, w]."""
        return self._draw(step, substep)

    def _draw(self, step: int, substep: int) -> Tensor:
        place = (self.channels, self.device)
        drawn = [normal_noise(self.seed, self.stage, step, box, *place, substep=substep) for box in self.boxes]
        return torch.stack(drawn)


def make_noise(work: Work, stage: Stage, boxes: tuple[LatentBox, ...]) -> CanvasNoise:
    """Return the noise of a stage for some windows of its canvas."""
    request = work.request
    return CanvasNoise(
        seed=request.seed,
        stage=stage.noise_stage,
        boxes=boxes,
        channels=work.model.contract.latent_channels,
        device=work.model.device,
        variation_seed=request.variation_seed,
        variation=request.variation_strength,
    )


def predict(
    work: Work, x: Tensor, sigma: float, *, step: int, steps: int, controls: Sequence[ControlInput] = ()
) -> Tensor:
    """Predict x0 of a batch of equal windows with guidance, at a step of a schedule of so many steps."""
    contract, request = work.model.contract, work.request
    size = LatentSize(x.shape[-1], x.shape[-2]).to_pixels(contract.factor)
    wanted, unwanted = work.prompts.at_step(step, steps, size)
    return work.model.denoise_guided(
        x, sigma, wanted, unwanted, request.guidance, rescale=request.guidance_rescale, controls=controls
    )


def predict_windows(
    work: Work, stage: Stage, boxes: tuple[LatentBox, ...], step: int, x: Tensor, sigma: float
) -> Tensor:
    """Predict x0 of a batch of equal windows of a stage's canvas, with the control pictures under them.

    The share of the steps in which a control acts counts from the step that the stage begins with.
    """
    controls = None
    if work.controls is not None:
        controls = work.controls.cut(stage, boxes, step - stage.first_step, stage.steps - stage.first_step)
    return predict(work, x, sigma, step=step, steps=stage.steps, controls=controls or ())


def split_batches(boxes: tuple[LatentBox, ...], batch: int) -> list[tuple[LatentBox, ...]]:
    """Cut a list of windows into the batches that are denoised together; the last may be smaller."""
    return [boxes[begin : begin + batch] for begin in range(0, len(boxes), batch)]


def stage_sigmas(work: Work, stage: Stage) -> NDArray[np.float32]:
    """Return the sigmas a stage walks along, float32, from its first step to 0."""
    sigmas = make_sigmas(work.request.schedule, work.model.contract.schedule, stage.steps)
    return sigmas[stage.first_step :]


def run_steps(
    work: Work, stage: Stage, start: Tensor | SamplerState, denoise: StepDenoise, noise: CanvasNoise
) -> Generator[SamplerState, None, Tensor]:
    """Walk from `start` (x at the first sigma, or a state on the way) to a clean x; yield the state after every step.

    Raises:
        ModelError: a step gave NaN or infinity; names the stage and the step.
    """
    sampler = make_sampler(work.request.sampler)
    state = start if isinstance(start, SamplerState) else sampler.start(start, stage_sigmas(work, stage))
    while not state.done:
        step = stage.first_step + state.index
        with _naming(stage, step):
            state = sampler.step(state, partial(denoise, step), noise.at)
            _check_finite(state.x)
        yield state
    return state.x


@contextmanager
def _naming(stage: Stage, step: int) -> Generator[None]:
    """Say at which stage and step the model failed."""
    try:
        yield
    except ModelError as error:
        where = f"{stage.name}, step {step + 1} of {stage.steps}"
        raise ModelError(error.what, got=where, do=error.do) from error


def _check_finite(x: Tensor) -> None:
    if not bool(torch.isfinite(x.sum())):
        do = "Use `dtype` fp32, another sampler, or a lower `guidance`."
        raise ModelError("the sampler gave numbers that are no picture", do=do)
