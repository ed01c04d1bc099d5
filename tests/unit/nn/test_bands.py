"""Bands add up, flat pictures have no high band, and equal guidance of both is ordinary guidance."""

import torch

from sfumato.nn.bands import REACH_CELLS, enlarge, take_low
from sfumato.nn.guidance import calm, guide

X = torch.randn(2, 4, 24, 36, generator=torch.Generator().manual_seed(1))


def test_a_flat_picture_is_all_low():
    flat = torch.full((1, 4, 15, 9), 0.7)
    torch.testing.assert_close(take_low(flat), flat)


def test_a_checkerboard_is_all_high_and_a_slow_wave_all_low():
    rows, columns = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    board = ((rows + columns) % 2 * 2.0 - 1.0)[None, None]
    wave = torch.sin(columns / 48 * 2 * torch.pi)[None, None]
    assert take_low(board)[..., 4:-4, 4:-4].abs().max() < 1e-6
    assert (take_low(wave) - wave)[..., 4:-4].abs().max() < 1e-3


def test_rows_with_their_reach_have_the_band_of_the_whole():
    whole = take_low(X)
    part = take_low(X[..., 8 - REACH_CELLS : 16 + REACH_CELLS, :])[..., REACH_CELLS:-REACH_CELLS, :]
    torch.testing.assert_close(part, whole[..., 8:16, :])


def test_a_ramp_stays_a_ramp_when_it_is_enlarged():
    ramp = torch.linspace(0.0, 1.0, 24).expand(1, 1, 24, 24)
    steps = enlarge(ramp, (48, 48))[..., 24, 8:-8].diff()
    assert (steps - steps.mean()).abs().max() < 0.1 * steps.mean()


def test_calming_sets_the_spread_back_to_that_of_the_prompted_prediction():
    guided = guide(X, X.flip(0), 9.0)
    assert calm(guided, X, 0.0) is guided
    spreads = [y.std(dim=(1, 2, 3), correction=0) for y in (calm(guided, X, 1.0), X)]
    torch.testing.assert_close(*spreads)
