"""Levels of 0-255 become the CIELAB values that are published for them."""

import numpy as np
import pytest

from sfumato.critic.picture.colour import to_lab


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_known_colours_have_their_lab_values(kind):
    lab = to_lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], kind))
    assert lab.dtype == np.float32
    np.testing.assert_allclose(lab, [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]], atol=0.02)
