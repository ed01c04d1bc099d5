"""Damage to training pictures keeps them in range, repeatable, and close to what they were."""

import torch

from sfumato.critic.reader.augment import MOST_SHIFT_PX, damage_pictures


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_same_numbers_give_the_same_damage():
    pixels = torch.rand(4, 3, 32, 32, generator=generator()) * 2 - 1
    first, second = (damage_pictures(pixels, generator(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, damage_pictures(pixels, generator(6)))
    assert first.shape == pixels.shape
    assert float(first.abs().max()) <= 1.0


def test_colours_stay_in_their_family():
    grey = torch.full((64, 3, 16, 16), 0.1)
    mean = damage_pictures(grey, generator(1)).mean(dim=(2, 3))
    assert float((mean - 0.1).abs().max()) < 0.1


def test_some_pictures_are_only_shifted():
    pixels = torch.zeros(64, 3, 32, 32)
    pixels[:, :, 12:20, 12:20] = 1.0
    damaged = damage_pictures(pixels, generator(2))
    crisp = sum(set(row.unique().tolist()) <= {0.0, 1.0} for row in damaged)
    assert 10 <= crisp <= 32
    rows = damaged.mean(dim=(1, 3))
    centre = (rows * torch.arange(32)).sum(1) / rows.sum(1)
    assert float((centre - 15.5).abs().max()) <= MOST_SHIFT_PX + 3
