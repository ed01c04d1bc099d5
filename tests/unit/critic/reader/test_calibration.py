"""Confidences that can be believed."""

import math

import numpy as np
import torch

from sfumato.critic.reader.calibration import fit_temperature, measure_calibration_error


def test_a_boaster_is_cooled_by_the_right_factor():
    noise = torch.Generator().manual_seed(0)
    honest = torch.randn(20_000, 3, generator=noise) * 2
    answers = torch.multinomial(honest.softmax(1), 1, generator=noise)[:, 0]
    assert abs(math.log2(fit_temperature(honest * 4, answers)) - 2) < 0.15
    assert abs(math.log2(fit_temperature(honest, answers))) < 0.15


def test_unasked_questions_do_not_count():
    logits = torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 1.0]])
    assert fit_temperature(logits, torch.tensor([-1, -1, -1])) == 1.0
    # Wrong and unasked rows would force a high temperature.
    assert fit_temperature(logits, torch.tensor([-1, -1, 1])) <= 0.6


def test_the_gap_between_sure_and_right():
    sure = np.array([0.9] * 10 + [0.6] * 10)
    assert measure_calibration_error(sure, np.array(([True] * 9 + [False]) + ([True] * 6 + [False] * 4))) < 1e-9
    assert abs(measure_calibration_error(sure, np.zeros(20, bool)) - 0.75) < 1e-9
    assert math.isnan(measure_calibration_error(np.zeros(0), np.zeros(0, bool)))
