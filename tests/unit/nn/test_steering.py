"""Steering away from a concept: nothing where the picture is not drawn to it, away from it elsewhere, with a memory."""

import pytest
import torch

from sfumato.nn.guidance import guide
from sfumato.nn.steering import Steering, steer_away

WANTED, NOTHING = torch.full((1, 4, 2, 2), 1.0), torch.zeros(1, 4, 2, 2)


def steer(concept, before=None, *, progress=0.5, how=None, sigma=2.0):
    return steer_away(
        WANTED, NOTHING, concept, before, sigma=sigma, guidance=3.0, progress=progress, how=how or Steering()
    )


def test_it_is_plain_guidance_where_the_concept_lies_the_other_way():
    # The noise for the words lies far above that for the concept: nothing draws the picture to it.
    guided, momentum = steer(WANTED * 5.0)
    assert torch.allclose(guided, guide(WANTED, NOTHING, 3.0))
    assert not momentum.any()


def test_it_moves_away_from_a_concept_that_the_picture_nears():
    guided, _ = steer(WANTED * 0.999)
    plain = guide(WANTED, NOTHING, 3.0)
    assert (guided < plain).all()
    # As far as guidance by the concept itself, at most.
    assert (guided >= plain - 3.0 * 0.999 - 1e-4).all()


def test_the_first_steps_only_gather_momentum_which_lasts():
    early, momentum = steer(WANTED * 0.999, progress=0.0)
    assert torch.allclose(early, guide(WANTED, NOTHING, 3.0))
    assert momentum.any()
    late, _ = steer(WANTED * 5.0, momentum)
    assert (late < guide(WANTED, NOTHING, 3.0)).all()


@pytest.mark.parametrize("scale", [0.0])
def test_without_a_scale_nothing_is_steered(scale):
    guided, _ = steer(WANTED * 0.9, how=Steering(scale=scale))
    assert torch.allclose(guided, guide(WANTED, NOTHING, 3.0))
