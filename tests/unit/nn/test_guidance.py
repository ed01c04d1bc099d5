"""Guidance, its rescaling, and AND, on random predictions."""

import pytest
import torch

from sfumato.core.errors import RequestError
from sfumato.nn.guidance import compose, guide


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(3)
    return tuple(torch.randn((2, 4, 5, 6), generator=generator) for _ in range(2))


def test_scales_one_and_zero_return_the_ends(pair):
    cond, uncond = pair
    assert torch.equal(guide(cond, uncond, 1.0), cond)
    assert torch.equal(guide(cond, uncond, 0.0), uncond)


def test_guidance_extrapolates_the_difference(pair):
    cond, uncond = pair
    torch.testing.assert_close(guide(cond, uncond, 7.5), cond + 6.5 * (cond - uncond))


def test_full_rescale_restores_the_spread_of_each_picture(pair):
    cond, uncond = pair
    calmed = guide(cond, uncond, 9.0, rescale=1.0)
    torch.testing.assert_close(calmed.std(dim=(1, 2, 3)), cond.std(dim=(1, 2, 3)))
    assert not torch.allclose(calmed[0] * 2, calmed[1])


def test_part_rescale_mixes(pair):
    cond, uncond = pair
    ends = [guide(cond, uncond, 9.0, rescale=share) for share in (0.0, 0.7, 1.0)]
    torch.testing.assert_close(ends[1], 0.3 * ends[0] + 0.7 * ends[2])


def test_rescale_is_the_formula_of_the_paper(pair):
    cond, uncond = pair
    plain = uncond + 7.0 * (cond - uncond)
    for picture in range(2):
        rescaled = plain[picture] * cond[picture].std() / plain[picture].std()
        expected = 0.7 * rescaled + 0.3 * plain[picture]
        torch.testing.assert_close(guide(cond, uncond, 7.0, 0.7)[picture], expected)


def test_flat_prediction_stays_finite():
    flat = torch.zeros(1, 4, 2, 2)
    assert torch.equal(guide(flat, flat, 5.0, rescale=1.0), flat)


@pytest.mark.parametrize("rescale", [-0.1, 1.1, float("nan")])
def test_rescale_out_of_range_is_refused(pair, rescale):
    with pytest.raises(RequestError):
        guide(*pair, 5.0, rescale=rescale)


def test_compose_of_one_is_that_one(pair):
    cond, uncond = pair
    assert compose([cond], [1.0], uncond) is cond


def test_compose_adds_weighted_differences(pair):
    cond, uncond = pair
    joined = compose([cond, 2 * cond], [0.5, -0.25], uncond)
    torch.testing.assert_close(joined, uncond + 0.5 * (cond - uncond) - 0.25 * (2 * cond - uncond))
    # The predictions handed in are read, never written.
    torch.testing.assert_close(pair[1], uncond)
