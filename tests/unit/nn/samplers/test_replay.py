"""A step taken with answers that are known is the step itself, to the bit, whoever asks and however often."""

import pytest
import torch

from sfumato.nn.samplers import SAMPLERS, make_sampler
from sfumato.nn.samplers.replay import Question, advance_known, plot_course
from sfumato.nn.schedules import make_sigmas

ALL = sorted(SAMPLERS)


@pytest.fixture
def sigmas(schedule):
    return make_sigmas("karras", schedule, 6)


def answer_in_turn(sampler, state, denoise, noise):
    """Take one step as a canvas in bands does: asked, answered, asked again; return it and the sigmas asked at."""
    answers, asked = [], []
    while True:
        told = advance_known(sampler, state, answers, noise)
        if not isinstance(told, Question):
            return told, tuple(asked)
        asked.append(told.sigma)
        answers.append(denoise(told.x, told.sigma))


@pytest.mark.parametrize("name", ALL)
def test_answers_in_turn_give_the_step(name, sigmas, start, bent, noise):
    sampler = make_sampler(name)
    whole = sampler.start((start * sigmas[0]).float(), sigmas)
    course = plot_course(sampler, sigmas)
    for step in range(6):
        assert len(whole.history) == course.depths[step] <= course.deepest
        told, asked = answer_in_turn(sampler, whole, bent, noise)
        assert asked == course.asked[step]
        assert len(asked) == whole.evaluations
        whole = sampler.step(whole, bent, noise)
        assert torch.equal(told.x, whole.x)
        assert torch.equal(told.x0, whole.x0)
        assert told.index == whole.index
        assert all(torch.equal(*pair) for pair in zip(told.history, whole.history, strict=True))
    assert len(whole.history) == course.depths[-1]
    assert len(course.asked) == len(course.depths) - 1 == 6


@pytest.mark.parametrize("name", ALL)
def test_rows_apart_are_the_whole(name, sigmas, start, bent, noise):
    """Nothing but the denoiser and the noise mixes cells: a canvas may pass by in bands."""
    sampler, bands = make_sampler(name), [slice(0, 1), slice(1, 3)]
    x = (start * sigmas[0]).float()
    whole, apart = sampler.start(x, sigmas), [sampler.start(x[..., rows, :], sigmas) for rows in bands]

    def cut_noise(rows):
        return lambda step, substep: noise(step, substep)[..., rows, :]

    while not whole.done:
        whole = sampler.step(whole, bent, noise)
        apart = [
            answer_in_turn(sampler, state, bent, cut_noise(rows))[0] for state, rows in zip(apart, bands, strict=True)
        ]
        assert torch.equal(torch.cat([state.x for state in apart], dim=-2), whole.x)


@pytest.mark.parametrize(("name", "asked", "deepest"), [("Euler", 1, 0), ("Heun", 2, 0), ("DPM++ SDE", 2, 0)])
def test_a_course_says_what_is_kept(name, asked, deepest, sigmas):
    course = plot_course(make_sampler(name), sigmas)
    assert [len(here) for here in course.asked] == [asked] * 5 + [1]
    assert course.asked[2][0] == float(sigmas[2])
    assert course.deepest == deepest


def test_a_course_knows_the_memory_of_multistep_samplers(sigmas):
    assert plot_course(make_sampler("DPM++ 2M"), sigmas).depths == (0, 1, 1, 1, 1, 1, 0)
    assert plot_course(make_sampler("UniPC"), sigmas).deepest == 3


def test_a_course_of_one_step(schedule):
    for name in ALL:
        course = plot_course(make_sampler(name), torch.tensor([0.7, 0.0]))
        assert course.asked == ((pytest.approx(0.7),),)
        assert course.depths[0] == 0


def test_a_question_is_the_x_of_the_step(sigmas, start, bent, noise):
    sampler = make_sampler("Heun")
    state = sampler.start((start * sigmas[0]).float(), sigmas)
    first = advance_known(sampler, state, [], noise)
    assert torch.equal(first.x, state.x)
    second = advance_known(sampler, state, [bent(first.x, first.sigma)], noise)
    assert second.sigma == pytest.approx(float(sigmas[1]))
    assert not torch.equal(second.x, state.x)


def test_mistakes_of_the_denoiser_come_through(sigmas, start, noise):
    sampler = make_sampler("Euler")
    with pytest.raises(RuntimeError):
        advance_known(sampler, sampler.start(start, sigmas), [torch.zeros(7, 7)], noise)
