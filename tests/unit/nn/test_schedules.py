"""Trained schedules and sigmas against k-diffusion and diffusers, and their names."""

import itertools

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler

from sfumato.core.errors import RequestError
from sfumato.nn.schedules import (
    SCHEDULES,
    NoiseSchedule,
    check_schedule,
    find_schedule,
    first_step,
    make_sigmas,
)

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
STEPS = (1, 2, 3, 7, 20, 33, 50, 999, 1000)


@pytest.fixture
def discrete(kdiffusion, schedule):
    return kdiffusion.external.DiscreteSchedule(torch.from_numpy(schedule.sigmas), quantize=False)


def test_alphas_agree_with_diffusers(schedule):
    oracle = DDIMScheduler(**SD).alphas_cumprod
    np.testing.assert_allclose(schedule.alphas_cumprod, oracle, rtol=1e-5, atol=0)


def test_zero_terminal_snr_agrees_with_diffusers():
    ours = NoiseSchedule.from_betas(zero_terminal_snr=True)
    oracle = EulerDiscreteScheduler(**SD, rescale_betas_zero_snr=True).alphas_cumprod
    np.testing.assert_allclose(ours.alphas_cumprod, oracle, rtol=1e-4, atol=1e-9)
    assert ours.sigma_max == pytest.approx(4096, rel=1e-6)


def test_ends_are_the_published_ones(schedule):
    assert schedule.sigma_min == pytest.approx(0.0292, abs=1e-4)
    assert schedule.sigma_max == pytest.approx(14.6146, abs=1e-4)


def test_linear_betas_agree_with_diffusers():
    oracle = DDIMScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule="linear").alphas_cumprod
    np.testing.assert_allclose(NoiseSchedule.from_betas(1e-4, 0.02, "linear").alphas_cumprod, oracle, rtol=1e-5, atol=0)


@pytest.mark.parametrize("bad", [(0, 0.01), (0.02, 0.01), (0.1, 1.0)])
def test_impossible_betas_are_refused(bad):
    with pytest.raises(RequestError):
        NoiseSchedule.from_betas(*bad)


def test_unknown_kind_is_refused():
    with pytest.raises(RequestError, match="cosine"):
        NoiseSchedule.from_betas(kind="cosine")


@pytest.mark.parametrize("alphas", [[0.5, 0.6], [1.0, 0.5], [0.5, 0.0], [0.5]])
def test_alphas_that_do_not_fall_are_refused(alphas):
    with pytest.raises(RequestError):
        NoiseSchedule(np.array(alphas, np.float32))


def test_conversions_agree_with_kdiffusion(schedule, discrete):
    t = np.linspace(0, 999, 777, dtype=np.float32)
    np.testing.assert_allclose(schedule.t_to_sigma(t), discrete.t_to_sigma(torch.from_numpy(t)), rtol=1e-4, atol=0)
    sigma = schedule.t_to_sigma(t)
    np.testing.assert_allclose(
        schedule.sigma_to_t(sigma), discrete.sigma_to_t(torch.from_numpy(sigma)), rtol=1e-4, atol=1e-2
    )


def test_conversions_are_inverse_and_clamped(schedule):
    t = np.linspace(0, 999, 1234)
    np.testing.assert_allclose(schedule.sigma_to_t(schedule.t_to_sigma(t)), t, rtol=1e-4, atol=2e-3)
    assert schedule.sigma_to_t(0.0) == 0
    assert schedule.sigma_to_t(1e6) == 999
    assert float(schedule.t_to_sigma(5000)) == schedule.sigma_max


def test_whole_timesteps_give_the_trained_sigmas(schedule):
    np.testing.assert_allclose(schedule.t_to_sigma(np.arange(1000)), schedule.sigmas, rtol=1e-6, atol=0)


@pytest.mark.parametrize("steps", [2, 5, 20, 37])
def test_model_karras_exponential_agree_with_kdiffusion(kdiffusion, discrete, schedule, steps):
    ends = (schedule.sigma_min, schedule.sigma_max)
    sampling = kdiffusion.sampling
    oracles = {
        "model": discrete.get_sigmas(steps),
        "karras": sampling.get_sigmas_karras(steps, *ends),
        "exponential": sampling.get_sigmas_exponential(steps, *ends),
    }
    for name, oracle in oracles.items():
        np.testing.assert_allclose(make_sigmas(name, schedule, steps), oracle, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("steps", [2, 5, 20, 37])
@pytest.mark.parametrize(("name", "spacing", "offset"), [("trailing", "trailing", 0), ("ddim", "leading", 1)])
def test_whole_timestep_schedules_agree_with_diffusers(schedule, steps, name, spacing, offset):
    oracle = DDIMScheduler(**SD, timestep_spacing=spacing, steps_offset=offset)
    oracle.set_timesteps(steps)
    np.testing.assert_allclose(
        make_sigmas(name, schedule, steps)[:-1], schedule.sigmas[oracle.timesteps.numpy()], rtol=1e-6
    )


def test_sgm_uniform_stops_one_interval_early(schedule):
    expected = schedule.t_to_sigma([999.0, 749.25, 499.5, 249.75])
    np.testing.assert_allclose(make_sigmas("sgm_uniform", schedule, 4)[:-1], expected, rtol=1e-6)


def test_simple_counts_back_in_whole_strides(schedule):
    expected = schedule.sigmas[[999, 666, 333]]
    np.testing.assert_allclose(make_sigmas("simple", schedule, 3)[:-1], expected, rtol=1e-6)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_falls_to_zero(schedule, name, steps):
    sigmas = make_sigmas(name, schedule, steps)
    assert sigmas.dtype == np.float32
    assert sigmas.shape == (steps + 1,)
    assert sigmas[-1] == 0
    assert (np.diff(sigmas) < 0).all()
    assert sigmas[0] <= schedule.sigma_max * (1 + 1e-6)


@pytest.mark.parametrize("steps", [0, -3, 1001])
def test_step_counts_out_of_range_are_refused(schedule, steps):
    with pytest.raises(RequestError, match="steps"):
        make_sigmas("karras", schedule, steps)


@pytest.mark.parametrize(
    ("spelling", "ours"),
    [
        ("Automatic", "model"),
        ("Uniform", "model"),
        ("Karras", "karras"),
        ("SGM Uniform", "sgm_uniform"),
        ("sgm-uniform", "sgm_uniform"),
        ("Trailing", "trailing"),
        ("DDIM", "ddim"),
    ],
)
def test_spellings(spelling, ours):
    assert find_schedule(spelling) == ours


def test_unknown_name_lists_the_known_ones(schedule):
    assert find_schedule("polyexpo") is None
    with pytest.raises(RequestError) as raised:
        make_sigmas("polyexpo", schedule, 5)
    assert all(name in raised.value.do for name in SCHEDULES)
    assert check_schedule("exponential") == "exponential"


@pytest.mark.parametrize(
    ("steps", "strength", "kept"), [(20, 0.75, 15), (10, 0.7, 7), (20, 1.0, 20), (20, 0.01, 1), (3, 0.5, 1)]
)
def test_strength_keeps_a_share_of_the_steps(steps, strength, kept):
    assert steps - first_step(steps, strength) == kept


def test_strength_agrees_with_diffusers():
    for steps, percent in itertools.product((5, 20, 50), range(5, 101, 5)):
        kept = min(int(steps * percent / 100 + 1e-6), steps)
        if kept:
            assert steps - first_step(steps, percent / 100) == kept


@pytest.mark.parametrize("name", SCHEDULES)
def test_one_step_starts_at_the_most_noise(name):
    schedule = NoiseSchedule.from_betas()
    assert float(make_sigmas(name, schedule, 1)[0]) == pytest.approx(schedule.sigma_max, rel=1e-4)
