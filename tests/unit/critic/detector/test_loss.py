"""What the detector is asked for: targets by hand, holes, and that it learns squares."""

import pytest
import torch

from sfumato.critic.detector.loss import compare_boxes, make_targets, measure_detection
from sfumato.critic.detector.network import KINDS, DetectorNetwork, DetectorShape

TINY = DetectorShape(widths=(8, 16, 16, 16), head=16)


def test_a_centre_is_bright_in_its_own_cell_and_kind():
    targets = make_targets(torch.tensor([[[2.0, 8, 4, 28, 44, 1], [-1, 0, 0, 64, 64, 1]]]), 16, 16)
    assert targets.heat[0, 2, 6, 4] == 1.0
    assert int((targets.heat == 1).sum()) == 1
    assert 0.1 < targets.heat[0, 2, 7, 4] < 1.0
    assert targets.heat[0, [0, 1, 3]].sum() == 0
    assert targets.asked.all()


def test_nothing_is_asked_where_an_object_does_not_count():
    marks = torch.tensor([[[0.0, 8, 8, 24, 24, 0], [0, 12, 12, 20, 20, 1]]])
    targets = make_targets(marks, 8, 8)
    assert targets.asked[0, 0, 4, 4] == 1.0
    assert targets.asked[0, 0, 2, 2] == 0.0
    assert targets.asked[0, 1:].all()
    quiet, loud = torch.full((1, 4, 8, 8), -9.0), torch.full((1, 4, 8, 8), -9.0)
    loud[0, 0, 2, 2] = 9.0
    sides = torch.full((1, 4, 4, 8, 8), 4.0)
    assert measure_detection(quiet, sides, marks)["centres"] == measure_detection(loud, sides, marks)["centres"]


def test_the_right_answer_costs_nothing():
    marks = torch.tensor([[[1.0, 10, 10, 42, 34, 1]]])
    centres = torch.full((1, 4, 16, 16), -20.0)
    centres[0, 1, 5, 6] = 20.0
    # Distances from the middle of every cell to the sides of the box.
    middles = (torch.arange(16.0) + 0.5) * 4
    xs, ys = middles[None, :].expand(16, 16), middles[:, None].expand(16, 16)
    sides = torch.stack((xs - 10, ys - 10, 42 - xs, 34 - ys))[None, None].expand(1, 4, -1, -1, -1)
    assert measure_detection(centres, sides, marks)["loss"] == pytest.approx(0.0, abs=1e-4)
    assert measure_detection(-centres, sides, marks)["loss"] > 10


def test_no_object_at_all_is_no_division_by_zero():
    losses = measure_detection(torch.zeros(2, 4, 4, 4), torch.ones(2, 4, 4, 4, 4), torch.full((2, 3, 6), -1.0))
    assert losses["boxes"] == 0.0
    assert torch.isfinite(losses["loss"])


def test_boxes_apart_cost_by_their_distance():
    box = torch.tensor([[0.0, 0, 10, 10]] * 3)
    others = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [60, 0, 70, 10]])
    assert compare_boxes(box, others).tolist() == pytest.approx([1.0, -1 / 3, -5 / 7])


def test_it_learns_where_squares_are():
    torch.manual_seed(0)
    network = DetectorNetwork(TINY)
    pixels, marks = torch.full((8, 3, 64, 64), -1.0), torch.full((8, 1, 6), -1.0)
    for row in range(8):
        left, top = (int(v) for v in torch.randint(0, 40, (2,)))
        pixels[row, :, top : top + 20, left : left + 20] = 1.0
        marks[row, 0] = torch.tensor([row % 2, left, top, left + 20, top + 20, 1.0])
        pixels[row, 0] *= 1 if row % 2 else -1
    optimiser = torch.optim.Adam(network.parameters(), 4e-3)
    losses = []
    for _ in range(40):
        found = measure_detection(*network(pixels), marks)["loss"]
        optimiser.zero_grad()
        found.backward()
        optimiser.step()
        losses.append(found.detach())
    assert losses[-1] < 0.35 * losses[0]
    centres, _ = network(pixels)
    assert len(KINDS) == centres.shape[1]
    brightest = centres.flatten(2).amax(dim=2).argmax(dim=1)
    assert (brightest == marks[:, 0, 0]).float().mean() > 0.9
