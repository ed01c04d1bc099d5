"""Our samplers against the k-diffusion package: same denoiser, same sigmas, same noise, float64."""

from __future__ import annotations

import math

import pytest
import torch

from sfumato.nn.samplers import make_sampler, run_sampler
from sfumato.nn.schedules import make_sigmas


@pytest.fixture(params=["karras", "exponential", "model", "partial", "ends above zero", "two steps"])
def sigmas(request, schedule):
    kinds = {
        "partial": lambda: make_sigmas("karras", schedule, 12)[6:],
        "ends above zero": lambda: make_sigmas("karras", schedule, 9)[:-1],
        "two steps": lambda: make_sigmas("karras", schedule, 2),
    }
    return torch.from_numpy(kinds.get(request.param, lambda: make_sigmas(request.param, schedule, 9))()).double()


@pytest.fixture
def oracle(kdiffusion, bent):
    def run(name, x, sigmas, **options):
        def model(x, sigma):
            return bent(x, float(sigma[0]))

        return getattr(kdiffusion.sampling, f"sample_{name}")(model, x, sigmas, disable=True, **options)

    return run


def ours(name, x, sigmas, denoise, noise, **options):
    sampler = make_sampler(name, **options)
    return run_sampler(sampler, sampler.start(x, sigmas), denoise, noise).x


def recall(noise, sigmas):
    """A k-diffusion noise sampler that gives step i the noise that we use in step i."""

    def sample(sigma, sigma_next):
        step = int((sigmas - sigma).abs().argmin())
        if torch.isclose(sigma_next, sigmas[step + 1]):
            return noise(step, 0)
        raise AssertionError("a step asked for noise over something else than itself")

    return sample


def brownian(noise, sigmas):
    """As `recall`, and where a step is split, its noise is that of one path through the midpoint."""

    def sample(sigma, sigma_next):
        step = int((sigmas - sigma).abs().argmin())
        end = sigmas[step + 1]
        if not torch.isclose(sigma_next, end):
            return noise(step, 0)
        middle = math.sqrt(sigma * end)
        first, second = sigma - middle, middle - end
        return (noise(step, 0) * first.sqrt() + noise(step, 1) * second.sqrt()) / (sigma - end).sqrt()

    return sample


@pytest.mark.parametrize(("name", "theirs"), [("Euler", "euler"), ("Heun", "heun"), ("DPM++ 2M", "dpmpp_2m")])
def test_samplers_without_noise(oracle, sigmas, start, bent, name, theirs):
    x = start * sigmas[0]
    torch.testing.assert_close(ours(name, x, sigmas, bent, None), oracle(theirs, x, sigmas), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("Euler a", "euler_ancestral", {}),
        ("DPM++ 2M SDE", "dpmpp_2m_sde", {"solver_type": "midpoint"}),
        ("DPM++ 2M SDE Heun", "dpmpp_2m_sde", {"solver_type": "heun"}),
        ("DPM++ SDE", "dpmpp_sde", {}),
    ],
)
def test_samplers_with_noise(oracle, sigmas, start, bent, noise, name, theirs, options, eta):
    x = start * sigmas[0]
    path = brownian if theirs == "dpmpp_sde" else recall
    expected = oracle(theirs, x, sigmas, eta=eta, noise_sampler=path(noise, sigmas), **options)
    torch.testing.assert_close(ours(name, x, sigmas, bent, noise, eta=eta), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("name", "theirs"), [("DPM++ 2M", "dpmpp_2m"), ("Euler", "euler")])
def test_float32_stays_close(oracle, schedule, start, bent, name, theirs):
    sigmas = torch.from_numpy(make_sigmas("karras", schedule, 20))
    x = (start * sigmas[0]).float()
    torch.testing.assert_close(ours(name, x, sigmas, bent, None), oracle(theirs, x, sigmas), rtol=1e-3, atol=1e-4)
