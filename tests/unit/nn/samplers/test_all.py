"""What all samplers share: states as values, resuming, counts, last steps, names."""

import dataclasses

import pytest
import torch
from safetensors.torch import load, save

from sfumato.core.errors import RequestError
from sfumato.nn.samplers import (
    SAMPLERS,
    SamplerState,
    choose_schedule,
    list_samplers,
    make_sampler,
    run_sampler,
)
from sfumato.nn.schedules import SCHEDULES, make_sigmas

ALL = sorted(SAMPLERS)


@pytest.fixture
def sigmas(schedule):
    return make_sigmas("karras", schedule, 8)


@pytest.fixture
def x(start, sigmas):
    return (start * sigmas[0]).float()


@pytest.mark.parametrize("stop", range(9))
@pytest.mark.parametrize("name", ALL)
def test_a_run_goes_on_from_stored_state_to_the_bit(name, stop, sigmas, x, bent, noise):
    sampler = make_sampler(name)
    whole = sampler.start(x, sigmas)
    parted = sampler.start(x, sigmas)
    for _ in range(stop):
        parted = sampler.step(parted, bent, noise)
    parted = SamplerState.from_tensors(load(save(parted.to_tensors())))
    assert parted.index == stop
    ends = [run_sampler(make_sampler(name), state, bent, noise) for state in (whole, parted)]
    assert torch.equal(ends[0].x, ends[1].x)
    assert torch.equal(ends[0].x0, ends[1].x0)


@pytest.mark.parametrize("name", ALL)
def test_states_are_values(name, sigmas, x, bent, noise):
    sampler = make_sampler(name)
    state = sampler.step(sampler.start(x, sigmas), bent, noise)
    before = {key: tensor.clone() for key, tensor in state.to_tensors().items()}
    first, second = (sampler.step(state, bent, noise) for _ in range(2))
    assert torch.equal(first.x, second.x)
    assert all(torch.equal(tensor, before[key]) for key, tensor in state.to_tensors().items())
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.index = 5


@pytest.mark.parametrize("name", ALL)
def test_evaluations_count_the_model_calls(name, sigmas, x, bent, noise):
    sampler = make_sampler(name)
    calls = []

    def counting(x, sigma):
        calls.append(sigma)
        return bent(x, sigma)

    state = sampler.start(x, sigmas)
    for _ in range(8):
        before = len(calls)
        expected = state.evaluations
        state = sampler.step(state, counting, noise)
        assert len(calls) - before == expected
    assert state.evaluations == 0
    assert state.done
    assert len(calls) == sampler.count_evaluations(sigmas) == sampler.count_evaluations(sigmas.tolist())


@pytest.mark.parametrize("name", ALL)
def test_the_last_step_to_zero_is_the_clean_prediction(name, x, bent, noise):
    sampler = make_sampler(name)
    end = sampler.step(sampler.start(x, [0.4, 0.0]), bent, noise)
    assert torch.equal(end.x, bent(x, 0.4))
    assert torch.equal(end.x0, end.x)


@pytest.mark.parametrize("name", ALL)
def test_the_end_is_finite_and_the_last_prediction(name, sigmas, x, bent, noise):
    sampler = make_sampler(name)
    end = run_sampler(sampler, sampler.start(x, sigmas), bent, noise)
    assert torch.isfinite(end.x).all()
    assert torch.equal(end.x, end.x0)
    assert end.x.dtype == x.dtype or make_sampler(name).stochastic


@pytest.mark.parametrize("name", ALL)
def test_noise_is_asked_only_by_stochastic_samplers(name, sigmas, x, bent, noise):
    asked = []

    def listening(step, substep):
        asked.append((step, substep))
        return noise(step, substep).float()

    sampler = make_sampler(name)
    end = run_sampler(sampler, sampler.start(x, sigmas), bent, listening)
    assert bool(asked) == sampler.stochastic
    assert len(set(asked)) == len(asked)
    assert end.x.dtype == torch.float32
    assert all(0 <= step < 7 and substep in (0, 1) for step, substep in asked)


def test_no_step_after_the_last(x, bent):
    sampler = make_sampler("Euler")
    state = sampler.step(sampler.start(x, [1.0, 0.0]), bent, None)
    with pytest.raises(RequestError, match="no step"):
        sampler.step(state, bent, None)


def test_a_state_of_another_kind_is_refused(x, sigmas, bent):
    with pytest.raises(RequestError, match="belong"):
        make_sampler("Heun").step(make_sampler("Euler").start(x, sigmas), bent, None)


@pytest.mark.parametrize(
    "levels",
    [[1.0], [], [1.0, 1.0], [0.5, 1.0], [1.0, 0.0, 0.0], [float("inf"), 0.0], [float("nan"), 0.0], [1.0, -1.0]],
)
def test_sigmas_that_do_not_fall_are_refused(start, levels):
    with pytest.raises(RequestError, match="sigmas"):
        make_sampler("Euler").start(start, levels)


def test_broken_stored_state_is_refused(x, sigmas):
    stored = make_sampler("DPM++ 2M").start(x, sigmas).to_tensors()
    for broken in (
        {key: tensor for key, tensor in stored.items() if key != "x"},
        stored | {"counters": torch.tensor([99, 1, 0])},
        stored | {"counters": torch.tensor([0, 1, 1])},
        stored | {"counters": torch.tensor([0, 1])},
        stored | {"counters": torch.tensor([0, 1, 1]), "history.0": torch.zeros(1)},
    ):
        with pytest.raises(RequestError):
            SamplerState.from_tensors(broken)


@pytest.mark.parametrize(
    ("asked", "label", "schedule"),
    [
        ("DPM++ 2M Karras", "DPM++ 2M", "karras"),
        ("dpm++ 2m karras", "DPM++ 2M", "karras"),
        ("DPM++ 2M", "DPM++ 2M", None),
        ("DPM++ 2M SDE Exponential", "DPM++ 2M SDE", "exponential"),
        ("DPM++ 2M SDE Heun Karras", "DPM++ 2M SDE Heun", "karras"),
        ("DPM++ SDE Karras", "DPM++ SDE", "karras"),
        ("Euler a", "Euler a", None),
        ("euler_ancestral", "Euler a", None),
        ("Euler SGM Uniform", "Euler", "sgm_uniform"),
        ("Heun", "Heun", None),
        ("DDIM", "DDIM", None),
        ("DDIM Trailing", "DDIM", "trailing"),
        ("UniPC", "UniPC", None),
        ("uni_pc_bh2", "UniPC", None),
        ("LCM", "LCM", None),
        ("dpmpp_2m_sde_gpu", "DPM++ 2M SDE", None),
        ("sample_dpmpp_2m", "DPM++ 2M", None),
        ("k_euler_a", "Euler a", None),
        ("sample_k_heun_karras", "Heun", "karras"),
    ],
)
def test_names(asked, label, schedule):
    sampler = make_sampler(asked)
    assert (sampler.label, sampler.schedule) == (label, schedule)


@pytest.mark.parametrize("name", list_samplers())
@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
def test_every_label_takes_every_schedule(name, schedule):
    sampler = make_sampler(f"{name} {SCHEDULES[schedule].label}")
    assert (sampler.label, sampler.schedule) == (name, schedule)


@pytest.mark.parametrize(
    "name", ["", "Karras", "DPM adaptive", "euler b", "k_", "sample_karras", "Euler Karras Karras", "\0"]
)
def test_unknown_names_list_the_known_ones(name):
    with pytest.raises(RequestError) as raised:
        make_sampler(name)
    assert all(label in raised.value.do for label in list_samplers())


@pytest.mark.parametrize(
    ("name", "schedule", "chosen"),
    [
        ("DPM++ 2M", "automatic", "karras"),
        ("DPM++ 2M SDE", "Automatic", "exponential"),
        ("Euler a", "automatic", "model"),
        ("DDIM", "automatic", "ddim"),
        ("LCM", "automatic", "trailing"),
        ("Euler Karras", "automatic", "karras"),
        ("Euler Karras", "karras", "karras"),
        ("Euler", "SGM Uniform", "sgm_uniform"),
    ],
)
def test_choice_of_schedule(name, schedule, chosen):
    assert choose_schedule(make_sampler(name), schedule) == chosen


def test_two_schedules_at_once_are_refused():
    with pytest.raises(RequestError, match="karras"):
        choose_schedule(make_sampler("Euler Karras"), "exponential")
    with pytest.raises(RequestError, match="unknown schedule"):
        choose_schedule(make_sampler("Euler"), "spiral")


@pytest.mark.parametrize(("name", "eta"), [("Euler", 0.5), ("LCM", 1.0), ("Euler a", -1.0), ("DDIM", float("nan"))])
def test_eta_without_effect_or_sense_is_refused(name, eta):
    with pytest.raises(RequestError, match="eta"):
        make_sampler(name, eta=eta)


def test_eta_makes_a_sampler_stochastic_or_not():
    assert not make_sampler("DDIM").stochastic
    assert make_sampler("DDIM", eta=0.5).stochastic
    assert not make_sampler("Euler a", eta=0.0).stochastic
