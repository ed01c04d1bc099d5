"""The distance of two clouds of features against its closed form."""

import numpy as np
import pytest

from sfumato.core.errors import RequestError
from sfumato.lab.frechet import frechet_distance, make_cloud


def cloud_of(spread, shift, count=40_000, seed=0):
    stream = np.random.default_rng(seed)
    return stream.normal(size=(count, len(spread))) * spread + shift


def test_it_is_nought_for_the_same_set():
    features = cloud_of(np.array([1.0, 2.0]), 0.0)
    assert frechet_distance(features, make_cloud(features)) < 1e-9


def test_independent_axes_have_a_closed_form():
    ours = cloud_of(np.array([1.0, 2.0]), np.array([3.0, 0.0]))
    theirs = cloud_of(np.array([2.0, 1.0]), 0.0, seed=1)
    # Squared shift 9, plus (1 - 2)^2 for each axis.
    assert frechet_distance(ours, make_cloud(theirs)) == pytest.approx(11.0, rel=0.03)


def test_turning_both_clouds_changes_nothing():
    ours, theirs = cloud_of(np.array([1.0, 3.0]), 0.5), cloud_of(np.array([2.0, 1.0]), 0.0, seed=1)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    straight = frechet_distance(ours, make_cloud(theirs))
    assert frechet_distance(ours @ turn, make_cloud(theirs @ turn)) == pytest.approx(straight, rel=1e-9)


def test_dead_features_are_no_trouble():
    features = np.zeros((10, 4))
    assert frechet_distance(features, make_cloud(features)) == 0.0


@pytest.mark.parametrize("features", [np.zeros((1, 3)), np.zeros(3), np.full((4, 2), np.nan)])
def test_what_is_no_cloud_is_refused(features):
    with pytest.raises(RequestError, match="two finite vectors"):
        make_cloud(features)
