"""Regions of a picture as text: sides, boxes, and masks of any shape."""

import numpy as np
import pytest

from sfumato.core.errors import RequestError
from sfumato.core.prompt.region import check_region, make_region_mask, pack_region


def test_sides_and_boxes_cover_their_share():
    assert make_region_mask("left", 4, 6).mean() == pytest.approx(0.5)
    assert make_region_mask("left", 4, 6)[:, 3:].max() == 0
    thirds = [make_region_mask(f"{side}-third", 5, 7) for side in ("left", "middle", "right")]
    assert np.allclose(np.sum(thirds, axis=0), 1, atol=1e-6)
    assert make_region_mask("0.25,0.5,0.5,0.25", 8, 8).mean() == pytest.approx(0.125)


def test_a_mask_survives_as_text():
    mask = np.zeros((96, 64), np.float32)
    mask[30:60, 10:50] = 1
    text = pack_region(mask)
    check_region(text)
    back = make_region_mask(text, 24, 16)
    assert abs(back.mean() - mask.mean()) < 0.05
    assert back[12, 8] == 1
    assert back[0, 0] == 0


@pytest.mark.parametrize(
    "text", ["nowhere", "0,0,2,1", "0.5,0,0.6,1", "0,0,0,1", "cells:00", "cells:" + "0" * 256, "nan,0,1,1", "-1,0,1,1"]
)
def test_what_is_no_region_is_refused(text):
    with pytest.raises(RequestError) as caught:
        check_region(text)
    assert caught.value.do
