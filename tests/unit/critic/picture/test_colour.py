"""Colours against the published test pairs of CIEDE2000 and against an independent implementation."""

import numpy as np
import pytest

from sfumato.critic.picture.colour import delta_e, to_lab, to_levels

# Sharma, Wu and Dalal 2005, table 1: the pairs that catch wrong hue means, rotation and greys.
PAIRS = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
    ((50.0, -0.001, 2.49), (50.0, 0.0009, -2.49), 4.8045),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("one", "other", "distance"), PAIRS)
def test_distances_are_the_published_ones(one, other, distance):
    assert float(delta_e(np.array(one), np.array(other))) == pytest.approx(distance, abs=1e-4)
    assert float(delta_e(np.array(other), np.array(one))) == pytest.approx(distance, abs=1e-4)


def test_known_colours_have_their_lab_values():
    lab = to_lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], np.uint8))
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]]
    np.testing.assert_allclose(lab, expected, atol=0.02)


def test_levels_survive_the_way_to_lab_and_back():
    levels = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3, indexing="ij"), axis=-1)
    np.testing.assert_allclose(to_levels(to_lab(levels)), levels, atol=0.05)
