"""Laws of the samplers on a Gaussian, where denoiser, flow and marginals are exact formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sfumato.nn.samplers import make_sampler, run_sampler
from sfumato.nn.samplers.state import Sampler
from sfumato.nn.samplers.unipc import make_unipc

MEAN, SPREAD = 0.7, 0.5
# Far above and below the spread, and above 0: the last step to 0 has an order of its own.
SIGMA_FROM, SIGMA_TO = 8.0, 0.05


def denoise(x, sigma):
    return (SPREAD**2 * x + sigma**2 * MEAN) / (SPREAD**2 + sigma**2)


def flow_end(x):
    shrink = math.hypot(SPREAD, SIGMA_TO) / math.hypot(SPREAD, SIGMA_FROM)
    return MEAN + (x - MEAN) * shrink


def even_logs(steps):
    return np.geomspace(SIGMA_FROM, SIGMA_TO, steps + 1).tolist()


def error(sampler, steps, warp=1.0):
    # A warped grid has steps of changing length, which a multistep formula has to know about.
    sigmas = np.exp(np.interp(np.linspace(0, 1, steps + 1) ** warp, [0, 1], np.log([SIGMA_FROM, SIGMA_TO]))).tolist()
    x = torch.tensor([9.0, -4.0, 1.5], dtype=torch.float64)
    end = run_sampler(sampler, sampler.start(x, sigmas), denoise, no_noise)
    return float((end.x - flow_end(x)).abs().max())


def no_noise(step, substep):
    raise AssertionError("a deterministic sampler asked for noise")


ORDERS = [
    (make_sampler("Euler"), 1),
    (make_sampler("DDIM"), 1),
    (make_sampler("Euler a", eta=0.0), 1),
    (make_sampler("Heun"), 2),
    (make_sampler("DPM++ 2M"), 2),
    (make_sampler("DPM++ 2M SDE", eta=0.0), 2),
    (make_sampler("DPM++ 2M SDE Heun", eta=0.0), 2),
    (make_sampler("DPM++ SDE", eta=0.0), 2),
    (make_sampler("UniPC"), 2),
    (Sampler("UniPC of order 3", make_unipc(3)), 3),
]


@pytest.mark.parametrize("warp", [1.0, 1.4])
@pytest.mark.parametrize(("sampler", "order"), ORDERS, ids=lambda value: getattr(value, "label", ""))
def test_order_of_convergence(sampler, order, warp):
    coarse, fine = error(sampler, 160, warp), error(sampler, 320, warp)
    measured = math.log2(coarse / fine)
    # Order p divides the error by 2^p; an order more than promised is fine (UniPC's corrector gives one).
    assert order - 0.15 < measured < order + 1.3


STOCHASTIC = ["Euler a", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ SDE", "LCM"]


@pytest.mark.parametrize("eta", [0.5, 1.0])
@pytest.mark.parametrize("name", STOCHASTIC[:-1])
def test_noise_keeps_the_marginal(name, eta):
    # Whatever is added has to be taken away: the spread at the end is that of the forward process.
    count = 40_000
    generator = torch.Generator().manual_seed(11)
    x = MEAN + math.hypot(SPREAD, SIGMA_FROM) * torch.randn(count, generator=generator, dtype=torch.float64)
    sampler = make_sampler(name, eta=eta)
    state = sampler.start(x, even_logs(60))
    end = run_sampler(sampler, state, denoise, lambda *_: torch.randn(count, generator=generator, dtype=torch.float64))
    expected = math.hypot(SPREAD, SIGMA_TO)
    # Five standard errors, and 3 % for the step length (Euler a is of order 1).
    assert abs(float(end.x.mean()) - MEAN) < 5 * expected / count**0.5
    assert abs(float(end.x.std()) / expected - 1) < 5 / (2 * count) ** 0.5 + 0.03


def test_lcm_jumps_to_the_level_asked_for():
    # With x0 exact, each step is x0 plus noise of the next level, whatever x was.
    generator = torch.Generator().manual_seed(2)
    noises = torch.randn(5, 20_000, generator=generator, dtype=torch.float64)
    sampler = make_sampler("LCM")
    state = sampler.start(100 * noises[4], [9.0, 3.0, 1.0])
    for level in (3.0, 1.0):
        state = sampler.step(state, lambda x, _sigma: torch.full_like(x, MEAN), lambda step, _: noises[step])
        torch.testing.assert_close(state.x, MEAN + level * noises[state.index - 1])


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_is_euler_a_in_sigma_space(eta):
    generator = torch.Generator().manual_seed(4)
    noises = torch.randn(9, 7, generator=generator, dtype=torch.float64)
    ends = []
    for name in ("DDIM", "Euler a"):
        sampler = make_sampler(name, eta=eta)
        state = sampler.start(8 * noises[8], [*even_logs(7), 0.0])
        ends.append(run_sampler(sampler, state, lambda x, s: torch.tanh(x / (1 + s)), lambda i, _: noises[i]).x)
    assert torch.equal(*ends)


@pytest.mark.parametrize("name", ["Euler", "Heun", "DPM++ 2M", "UniPC", "DPM++ 2M SDE", "DPM++ SDE"])
def test_samplers_commute_with_shift_and_scale(name):
    # If pictures are stretched by 2 and moved by 3, so are denoiser, sigmas, and the result.
    generator = torch.Generator().manual_seed(6)
    noises = torch.randn(9, 2, 5, generator=generator, dtype=torch.float64)
    sampler = make_sampler(name)
    sigmas = [*even_logs(6), 0.0]

    def bent(x, sigma):
        return torch.tanh(x / (1 + sigma))

    def moved(x, sigma):
        return 2 * bent((x - 3) / 2, sigma / 2) + 3

    def noise(step, substep):
        return noises[step, substep]

    plain = run_sampler(sampler, sampler.start(8 * noises[8, 0], sigmas), bent, noise).x
    doubled = [2 * sigma for sigma in sigmas]
    other = run_sampler(sampler, sampler.start(16 * noises[8, 0] + 3, doubled), moved, noise).x
    torch.testing.assert_close(other, 2 * plain + 3)
