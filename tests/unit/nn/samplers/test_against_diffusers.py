"""DDIM, UniPC and LCM against the schedulers of diffusers, with the same denoiser, sigmas and noise.

Their x is the variance-preserving one, ours times sqrt(a) = 1 / sqrt(1 + sigma^2); their model
predicts the noise, which is (x - x0) / sigma in our space.
"""

from __future__ import annotations

import pytest
import torch
from diffusers.schedulers import DDIMScheduler, LCMScheduler, UniPCMultistepScheduler

from sfumato.nn.samplers import make_sampler, run_sampler
from sfumato.nn.samplers.state import Sampler
from sfumato.nn.samplers.unipc import make_unipc

SD = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}


def run_theirs(scheduler, x, sigmas, denoise, extra):
    """Run a diffusers scheduler from our x at sigmas[0]; returns our x at the end, where sigma is 0."""
    sample = x / (1 + sigmas[0] ** 2).sqrt()
    for step, timestep in enumerate(scheduler.timesteps):
        sigma = sigmas[step]
        ours = sample * (1 + sigma**2).sqrt()
        predicted = (ours - denoise(ours, float(sigma))) / sigma
        sample = scheduler.step(predicted, timestep, sample, **extra(step)).prev_sample
    return sample


def run_ours(sampler, x, sigmas, denoise, noise):
    return run_sampler(sampler, sampler.start(x, sigmas), denoise, noise).x


def sigmas_of(scheduler):
    alphas = scheduler.alphas_cumprod.double()[scheduler.timesteps]
    return torch.cat([((1 - alphas) / alphas).sqrt(), torch.zeros(1, dtype=torch.float64)])


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 10, 33])
def test_ddim(steps, eta, start, bent, noise):
    scheduler = DDIMScheduler(**SD, clip_sample=False, set_alpha_to_one=True, steps_offset=1)
    # Float64 throughout, so that a difference is one of formulas.
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    scheduler.set_timesteps(steps)
    sigmas = sigmas_of(scheduler)
    x = start * (1 + sigmas[0] ** 2).sqrt()

    def extra(step):
        return {"eta": eta, "variance_noise": noise(step, 0) if eta else None}

    expected = run_theirs(scheduler, x, sigmas, bent, extra)
    result = run_ours(make_sampler("DDIM", eta=eta), x, sigmas, bent, noise)
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-7)


# Their conversion of a tensor to an array is behind numpy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 25])
def test_unipc(steps, order, start, bent):
    scheduler = UniPCMultistepScheduler(
        **SD, solver_order=order, solver_type="bh2", final_sigmas_type="zero", use_karras_sigmas=True
    )
    scheduler.set_timesteps(steps)
    # Rounded timesteps repeat near the end, and the index is looked up from them.
    scheduler.set_begin_index(0)
    scheduler.sigmas = scheduler.sigmas.double()
    sigmas = scheduler.sigmas
    x = start * (1 + sigmas[0] ** 2).sqrt()
    expected = run_theirs(scheduler, x, sigmas, bent, lambda _step: {})
    sampler = Sampler("UniPC", make_unipc(order))
    torch.testing.assert_close(run_ours(sampler, x, sigmas, bent, None), expected, rtol=1e-6, atol=1e-7)


def test_the_named_unipc_is_of_order_two(start, bent):
    sigmas = torch.tensor([14.0, 5.0, 2.0, 0.5, 0.1, 0.0], dtype=torch.float64)
    named, second = (
        run_ours(sampler, 14 * start, sigmas, bent, None)
        for sampler in (make_sampler("UniPC"), Sampler("UniPC", make_unipc(2)))
    )
    assert torch.equal(named, second)


@pytest.mark.parametrize("steps", [1, 4, 8])
def test_lcm(steps, start, bent, noise, monkeypatch):
    scheduler = LCMScheduler(**SD, clip_sample=False)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    scheduler.set_timesteps(steps)
    sigmas = sigmas_of(scheduler)
    x = start * (1 + sigmas[0] ** 2).sqrt()
    asked = iter(range(steps))
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_lcm.randn_tensor", lambda *_args, **_options: noise(next(asked), 0)
    )
    expected = run_theirs(scheduler, x, sigmas, bent, lambda _step: {})
    # The boundary weight that we leave out is 4e-8 at the last timestep of 8 steps, and moves x by that much.
    torch.testing.assert_close(run_ours(make_sampler("LCM"), x, sigmas, bent, noise), expected, rtol=1e-5, atol=1e-6)
