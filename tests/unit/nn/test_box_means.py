"""Means over squares: what plain averaging gives, for a part as for the whole, and whatever their side."""

import pytest
import torch
import torch.nn.functional as F

from sfumato.nn.octaves import average_boxes


def make_energy(height=60, width=75, seed=1):
    return torch.randn(1, 1, height, width, generator=torch.Generator().manual_seed(seed)).mul_(40.0).square_()


@pytest.mark.parametrize("reach", [1, 3, 12, 24, 96])
def test_they_are_plain_means_with_the_edge_repeated(reach):
    energy = make_energy()
    padded = F.pad(energy.double(), (reach,) * 4, mode="replicate")
    plain = F.avg_pool2d(padded, 2 * reach + 1, stride=1).float()
    assert torch.allclose(average_boxes(energy, reach), plain, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("top", [0, 5, 17])
def test_a_part_with_its_margin_has_the_bits_of_the_whole(top):
    energy, reach = make_energy(), 9
    part = average_boxes(energy[:, :, max(0, top - reach) : top + 20 + reach], reach)
    cut = part[:, :, min(top, reach) :][:, :, :20]
    assert torch.equal(cut, average_boxes(energy, reach)[:, :, top : top + 20])


def test_a_square_far_larger_than_the_map_is_no_more_work():
    energy = make_energy(8, 10)
    corners = energy[0, 0][[0, 0, -1, -1], [0, -1, 0, -1]]
    # From so far away a map is what it repeats without end: its corners.
    assert torch.allclose(average_boxes(energy, 1_000_000), corners.mean(), rtol=1e-4)
