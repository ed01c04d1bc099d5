"""Places that are drawn anew: each has its window, parts stay apart, and a map of any canvas is small."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.core.geometry import LatentSize, PixelBox
from sfumato.render.redraw.regions import MOST_MAP_CELLS, cut_parts

CELLS, WINDOW = LatentSize(48, 32), LatentSize(8, 8)
places = st.tuples(st.integers(0, 383), st.integers(0, 255), st.integers(1, 200), st.integers(1, 200)).map(
    lambda box: PixelBox(box[0], box[1], min(box[0] + box[2], 384), min(box[1] + box[3], 256))
)


@settings(deadline=None)
@given(boxes=st.lists(places, min_size=1, max_size=5))
def test_parts_lie_apart_and_hold_every_place(boxes):
    parts = cut_parts(boxes, CELLS, WINDOW, 8)
    for number, part in enumerate(parts):
        assert CELLS.box.contains(part.box)
        assert all(part.box.find_overlap(other.box) is None for other in parts[:number])
    for box in boxes:
        wanted = box.snap_out(8).to_latent(8)
        assert any(place.contains(wanted) for part in parts for place in part.places)


@pytest.mark.parametrize("box", [PixelBox(40, 50, 70, 90), PixelBox(0, 0, 5, 5), PixelBox(380, 250, 384, 256)])
def test_a_place_has_a_whole_window_even_at_an_edge(box):
    (part,) = cut_parts([box], CELLS, WINDOW, 8)
    opened = part.make_freedom().open_rows(slice(0, part.box.height), 0)
    assert int(opened.sum()) >= WINDOW.area
    inner = box.snap_out(8).to_latent(8).shift(-part.box.left, -part.box.top)
    assert opened[inner.top : inner.bottom, inner.left : inner.right].all()


def test_the_map_of_a_large_part_is_small_and_still_holds_its_places():
    boxes = [PixelBox(8000, 8000, 8080, 8160), PixelBox(0, 0, 24000, 4000), PixelBox(300, 4000, 400, 16000)]
    (part,) = cut_parts([*boxes, PixelBox(0, 15000, 12000, 16000)], LatentSize(5000, 3000), WINDOW, 8)
    freedom = part.make_freedom()
    assert max(freedom.first_steps.shape) <= MOST_MAP_CELLS
    assert freedom.open_rows(slice(1000, 1020), 0)[:, 1000:1010].all()
    opened = freedom.open_rows(slice(0, part.box.height), 0) > 0
    for box in part.list_open():
        opened[box.shift(-part.box.left, -part.box.top).slices_hw] = False
    assert not opened.any()
