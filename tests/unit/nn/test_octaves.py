"""Octaves: together they are the picture, each has its own waves, and the margin is enough."""

import math

import pytest
import torch

from sfumato.nn.octaves import measure_reach, take_lows


def make_wave(period, size=256):
    return torch.cos(2 * math.pi * torch.arange(size) / period).expand(1, 1, size, size)


@pytest.mark.parametrize("scale", [1.0, 1.4, 2.0, 3.0])
def test_each_low_stops_what_is_finer_and_passes_what_is_coarser(scale):
    inner = slice(100, 156)
    for octave in range(3):
        edge = 2 * scale if octave == 0 else 4 * max(1, round(scale)) * 2 ** (octave - 1)
        for share, expected in ((0.45, 0.0), (4.0, 1.0)):
            if share * edge < 2:
                continue
            low = take_lows(make_wave(share * edge), scale, 2)[octave][..., inner, inner]
            assert abs(float(low.abs().max()) - expected) < 0.08


def test_nothing_is_cut_off_where_nothing_was_enlarged():
    x = torch.randn(1, 2, 40, 40, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(take_lows(x, 1.0, 1)[0], x, atol=1e-6)


@pytest.mark.parametrize(("scale", "octaves"), [(2.0, 3), (1.5, 4)])
def test_rows_with_the_margin_come_out_as_in_the_whole(scale, octaves):
    x = torch.randn(1, 1, 240, 24, generator=torch.Generator().manual_seed(2))
    margin = measure_reach(scale, octaves)
    part = take_lows(x[:, :, 110 - margin : 120 + margin], scale, octaves)
    for whole, rows in zip(take_lows(x, scale, octaves), part, strict=True):
        assert torch.allclose(whole[:, :, 110:120], rows[:, :, margin:-margin], atol=1e-5)
