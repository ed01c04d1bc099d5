"""Where a larger picture may be drawn anew: where the model agrees with itself, an object is, and detail is missing.

A face is drawn alike by every seed, a cloud by none; what no seed agrees on is what comes out as somebody
else's face. What the base shows without fine detail, a sky, lacks none when it is larger; where the base is full of
it, the next octave is missing. Knows the base and its word maps; no level. Start reading at `measure_predictability`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sfumato.core.geometry import LatentBox
from sfumato.nn.bands import take_low
from sfumato.nn.noise import normal_noise
from sfumato.nn.samplers import make_sampler, run_sampler
from sfumato.nn.schedules import make_sigmas
from sfumato.render.cohesive.stages import SEEDS, STEPS, STRENGTH
from sfumato.render.sampling.run_steps import predict

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float
    from torch import Tensor

    from sfumato.render.sampling.phrase_maps import PhraseMaps
    from sfumato.render.sampling.run_steps import Work

# The noise of the trials must not repeat that of any level or look.
TRIAL_STAGES = 1 << 13
SAMPLER = "DPM++ 2M"
# Variance between seeds (latents have variance 1) at which agreement falls to 1/e, and energy of fine detail
# (pixels from -1 to 1; two levels of 255) at which a place is as good as full of it.
SPREAD_SCALE, DETAIL_SCALE = 0.05, 0.00025
# What an object's mask leaves at its rim still belongs to it, in cells.
_RIM_CELLS = 1


def measure_predictability(
    work: Work,
    clean: Float[Tensor, "1 c h w"],
    pixels: Float[Tensor, "1 3 H W"],
    phrases: PhraseMaps | None,
    recall: Callable[[str, Callable[[], Tensor]], Tensor] | None = None,
) -> Float[Tensor, "h w"]:
    """Return for each cell of the base from 0 (keep what is there) to 1 (draw anew), by its latents and pixels.

    Each trial is asked of `recall`, where there is one; it draws what it does not know.

    Cost: 12 guided evaluations at native size.
    """
    box = LatentBox(0, 0, clean.shape[-1], clean.shape[-2])
    asked = [(f"trial {seed}", partial(_try_again, work, clean, box, seed)) for seed in range(SEEDS)]
    trials = torch.cat([make() if recall is None else recall(name, make) for name, make in asked])
    spread = take_low(trials).var(dim=0, correction=1).mean(dim=0)
    agreed = torch.exp(-_widen(spread) / SPREAD_SCALE)
    grey = pixels.to(clean).mean(dim=1, keepdim=True)
    fine = F.adaptive_avg_pool2d((grey - take_low(take_low(grey))).square(), box.size.shape_hw)[0, 0]
    missing = 1.0 - torch.exp(-_widen(fine) / DETAIL_SCALE)
    return (agreed * missing * _find_objects(phrases, agreed)).clamp(0.0, 1.0)


def _try_again(work: Work, clean: Tensor, box: LatentBox, seed: int) -> Tensor:
    """Draw the base again from half the noise."""
    sigmas = make_sigmas(work.request.schedule, work.model.contract.schedule, round(STEPS / STRENGTH))[-STEPS - 1 :]
    draw = partial(normal_noise, work.request.seed, TRIAL_STAGES + seed)
    start = clean + float(sigmas[0]) * draw(0, box, clean.shape[1], clean.device)[None]
    sampler = make_sampler(SAMPLER)

    def denoise(x: Tensor, sigma: float, /) -> Tensor:
        return predict(work, x, sigma, step=0, steps=work.request.steps)

    def noise(step: int, substep: int, /) -> Tensor:
        return draw(step + 1, box, clean.shape[1], clean.device, substep=substep)[None]

    return run_sampler(sampler, sampler.start(start, sigmas), denoise, noise).x


def _find_objects(phrases: PhraseMaps | None, like: Tensor) -> Tensor:
    """Return 1 where the prompt's objects are, 0 where only its place is; 1 everywhere where nobody knows."""
    masks = phrases.find_objects() if phrases else None
    if masks is None:
        return torch.ones_like(like)
    side = 2 * _RIM_CELLS + 1
    return F.max_pool2d(masks.to(like)[None, None], side, stride=1, padding=_RIM_CELLS)[0, 0]


def _widen(values: Tensor) -> Tensor:
    """Return the mean over the cells around each."""
    return F.avg_pool2d(F.pad(values[None, None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0, 0]
