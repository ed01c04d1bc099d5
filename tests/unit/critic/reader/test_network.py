"""The reader's network: shapes, what counts in the loss, and that it can learn."""

import pytest
import torch

from sfumato.critic.reader.network import ReaderNetwork, ReaderShape, measure_heads

TINY = ReaderShape(widths=(8, 16), blocks=(0, 1), picture_px=32)


def test_the_default_network_is_small_enough_to_ship():
    weights = sum(p.numel() for p in ReaderNetwork((5,) * 23).parameters())
    assert 0.5e6 <= weights <= 1.5e6


def test_every_head_answers_and_the_features_are_shared():
    network = ReaderNetwork((2, 5, 3), TINY)
    logits, features = network.answer(torch.zeros(4, 3, 32, 32))
    assert [tuple(head.shape) for head in logits] == [(4, 2), (4, 5), (4, 3)]
    assert tuple(features.shape) == (4, TINY.feature_width)


def test_questions_that_do_not_apply_cost_nothing():
    logits = [torch.tensor([[4.0, 0.0], [0.0, 4.0]]), torch.zeros(2, 3)]
    asked = measure_heads(logits, torch.tensor([[0, -1], [1, -1]]))
    other = measure_heads([logits[0], torch.randn(2, 3)], torch.tensor([[0, -1], [1, -1]]))
    assert asked["loss"] == other["loss"]
    assert float(asked["right"]) == 1.0


def test_no_question_at_all_is_no_division_by_zero():
    found = measure_heads([torch.zeros(2, 2)], torch.full((2, 1), -1))
    assert float(found["loss"]) == 0.0
    assert float(found["right"]) == 0.0


def test_a_rare_question_weighs_as_much_as_a_common_one():
    common, rare = torch.zeros(4, 2), torch.tensor([[0.0, 3.0]]).repeat(4, 1)
    answers = torch.tensor([[0, 0], [0, -1], [0, -1], [0, -1]])
    loss = float(measure_heads([common, rare], answers)["loss"])
    assert loss == pytest.approx((0.6931 + 3.0486) / 2, abs=1e-3)


def test_it_learns_colour_and_place():
    torch.manual_seed(0)
    network = ReaderNetwork((2, 2), TINY)
    pixels = torch.rand(32, 3, 32, 32) * 0.2 - 1
    answers = torch.randint(0, 2, (32, 2))
    for row, (colour, place) in enumerate(answers.tolist()):
        pixels[row, colour, 16 * place : 16 * place + 16] = 1.0
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(30):
        loss = measure_heads(network(pixels), answers)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(measure_heads(network(pixels), answers)["right"]) > 0.95
