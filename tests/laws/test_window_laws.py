"""Laws of windows: every cell is covered, and fusing what was cut apart gives it back."""

from __future__ import annotations

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.nn.noise import normal_noise
from sfumato.nn.windows import Fusion, count_cover, count_shifted, cover, fuse, make_weights, shifted_cover
from sfumato.render.cohesive.change_map import ChangeMap
from sfumato.render.cohesive.stages import MARGIN_CELLS
from sfumato.render.cohesive.update import find_margin
from sfumato.render.sampling.window_grid import list_windows

sides = st.integers(1, 70)
sizes = st.builds(LatentSize, sides, sides)
kinds = st.sampled_from(["cosine", "linear", "flat"])
quick = settings(deadline=None, max_examples=60)


@st.composite
def covers(draw):
    size = draw(sizes)
    window = LatentSize(draw(st.integers(4, 32)), draw(st.integers(4, 32)))
    stride = draw(st.integers(max(2, min(window.width, window.height) // 4), min(window.width, window.height)))
    return size, window, stride, cover(size, window, stride)


@given(covers())
@quick
def test_windows_lie_on_the_canvas_and_leave_nothing_out(drawn):
    size, window, stride, boxes = drawn
    seen = torch.zeros(size.height, size.width, dtype=torch.int32)
    for box in boxes:
        assert size.box.contains(box)
        assert box.width == min(window.width, size.width)
        assert box.height == min(window.height, size.height)
        seen[box.slices_hw] += 1
    assert (seen > 0).all()
    assert len(set(boxes)) == len(boxes)
    for low, high in (("left", "right"), ("top", "bottom")):
        starts = sorted({getattr(box, low) for box in boxes})
        gaps = [after - before for before, after in itertools.pairwise(starts)]
        assert starts[0] == 0
        assert max(getattr(box, high) for box in boxes) == getattr(size.box, high)
        assert not gaps or (max(gaps) <= stride and max(gaps) - min(gaps) <= 1)


@given(covers(), st.integers(0, 10**6), st.integers(0, 10**6))
@settings(deadline=None, max_examples=300)
def test_windows_are_counted_as_they_are_listed(drawn, down, across):
    size, window, stride, boxes = drawn
    assert count_cover(size, window, stride) == len(boxes)
    moved = shifted_cover(size, window, stride, (down, across))
    rows, each = count_shifted(size, window, stride, (down, across))
    assert (rows, rows * each) == (len({box.top for box in moved}), len(moved))


@given(covers(), st.integers(0, 10**6), st.integers(0, 10**6))
@quick
def test_moved_windows_leave_nothing_out_either(drawn, down, across):
    size, window, stride, boxes = drawn
    moved = shifted_cover(size, window, stride, (down, across))
    seen = torch.zeros(size.height, size.width, dtype=torch.int32)
    for box in moved:
        assert size.box.contains(box)
        assert box.size == boxes[0].size
        seen[box.slices_hw] += 1
    assert (seen > 0).all()
    assert len(set(moved)) == len(moved)


@given(covers(), kinds, st.integers(0, 40))
@quick
def test_weights_are_a_partition_of_unity(drawn, kind, ramp):
    size, _, _, boxes = drawn
    total = Fusion(size, torch.empty(1, 1, 1, dtype=torch.float64))
    ones = [(box, torch.ones(1, *box.size.shape_hw, dtype=torch.float64)) for box in boxes]
    for box, one in ones:
        weights = make_weights(box, size, ramp, kind)
        assert (weights > 0).all()
        assert (weights <= 1).all()
        total.add(box, one, weights)
    # Each weight over the sum of weights: the shares of a cell add up to one, whatever the ramp.
    shares = torch.zeros(size.height, size.width, dtype=torch.float64)
    for box in boxes:
        shares[box.slices_hw] += make_weights(box, size, ramp, kind).double() / total.weight[box.slices_hw]
    torch.testing.assert_close(shares, torch.ones_like(shares))
    torch.testing.assert_close(total.finish()[0], torch.ones_like(shares))


@given(covers(), kinds, st.integers(0, 40))
@quick
def test_fusing_the_cuts_of_a_canvas_gives_the_canvas(drawn, kind, ramp):
    size, _, _, boxes = drawn
    canvas = normal_noise(3, 0, 0, size.box)[None]
    windows = ((box, canvas[(..., *box.slices_hw)], make_weights(box, size, ramp, kind)) for box in boxes)
    torch.testing.assert_close(fuse(size, windows), canvas, rtol=1e-5, atol=1e-5)


@given(covers(), st.randoms(use_true_random=False))
@quick
def test_the_order_of_windows_matters_only_to_rounding(drawn, random):
    size, _, _, boxes = drawn
    values = {box: normal_noise(place, 0, 0, box) for place, box in enumerate(boxes)}
    shuffled = list(boxes)
    random.shuffle(shuffled)
    fused = [
        fuse(size, ((box, values[box], make_weights(box, size, 4)) for box in order)) for order in (boxes, shuffled)
    ]
    torch.testing.assert_close(fused[0], fused[1], rtol=1e-4, atol=1e-5)


@given(st.integers(0, 2**64 - 1), st.integers(0, 60), st.integers(0, 60), st.integers(1, 30), st.integers(1, 30))
@quick
def test_noise_of_a_box_is_cut_from_that_of_the_canvas(seed, left, top, width, height):
    box = LatentBox(left, top, left + width, top + height)
    whole = normal_noise(seed, 2, 7, LatentSize(90, 90).box, substep=1)
    assert torch.equal(normal_noise(seed, 2, 7, box, substep=1), whole[(..., *box.slices_hw)])


@given(covers(), st.integers(0, 40), st.integers(0, 10**6))
@quick
def test_around_a_free_cell_every_cell_that_its_low_band_is_made_of_is_predicted(drawn, step, where):
    size, window, stride, _ = drawn
    column, row = where % size.width, where // size.width % size.height
    first_steps = torch.ones(size.shape_hw)
    first_steps[row, column] = 0.0
    margin = find_margin(min(window.width, window.height) - stride)
    change_map = ChangeMap(
        first_steps=first_steps, share=first_steps, part=(0.0, 0.0, 1.0, 1.0), canvas=size, margin_cells=margin
    )
    seen = torch.zeros(size.shape_hw)
    for box in list_windows(size, window, stride, step):
        if change_map.is_open(box, 0):
            seen[box.slices_hw] = 1.0
    around = LatentBox(column, row, column + 1, row + 1).grow(MARGIN_CELLS).clip(size)
    assert seen[around.slices_hw].all()
