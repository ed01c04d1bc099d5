"""What holds for every resampling: a box is the same wherever it is cut from."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.resampling import Resampling

SIDES = st.integers(1, 40)
FRACTIONS = st.floats(0.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(source=st.tuples(SIDES, SIDES), size=st.tuples(SIDES, SIDES), crop=st.tuples(*[FRACTIONS] * 4), data=st.data())
def test_a_box_is_cut_from_the_whole_to_the_bit(source, size, crop, data):
    left, right = sorted(side * source[0] for side in crop[:2])
    top, bottom = sorted(side * source[1] for side in crop[2:])
    assume(right - left > 0.01 and bottom - top > 0.01)
    whole = PixelSize(*size)
    resampling = Resampling(PixelSize(*source), whole, (left, top, right, bottom))
    x0, y0 = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    box = PixelBox(x0, y0, data.draw(st.integers(x0 + 1, size[0])), data.draw(st.integers(y0 + 1, size[1])))
    pixels = np.random.default_rng(source[0]).integers(0, 256, (source[1], source[0], 3), dtype=np.uint8)

    def read(part):
        assert PixelSize(*source).box.contains(part)
        return pixels[part.slices_hw]

    assert np.array_equal(resampling.compute(read, box), resampling.compute(read, whole.box)[box.slices_hw])
