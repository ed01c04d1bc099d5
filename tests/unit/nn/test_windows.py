"""Windows, ramps and fusion by example; the laws are in tests/laws."""

import itertools

import pytest
import torch

from sfumato.core.errors import RequestError
from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.nn.windows import Fusion, cover, fuse, make_ramp, make_weights


def test_windows_end_on_the_edges_and_spread_evenly():
    boxes = cover(LatentSize(100, 16), LatentSize(16, 16), 12)
    starts = [box.left for box in boxes]
    assert starts[0] == 0
    assert boxes[-1].right == 100
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    assert max(gaps) <= 12
    assert max(gaps) - min(gaps) <= 1


def test_windows_go_row_by_row():
    boxes = cover(LatentSize(32, 24), LatentSize(16, 16), 16)
    assert boxes == (
        LatentBox(0, 0, 16, 16),
        LatentBox(16, 0, 32, 16),
        LatentBox(0, 8, 16, 24),
        LatentBox(16, 8, 32, 24),
    )


@pytest.mark.parametrize("size", [LatentSize(5, 9), LatentSize(16, 16), LatentSize(1, 1)])
def test_canvas_smaller_than_the_window_is_one_window(size):
    assert cover(size, LatentSize(16, 16), 8) == (size.box,)


def test_canvas_small_on_one_side_only():
    boxes = cover(LatentSize(40, 9), LatentSize(16, 16), 8)
    assert {(box.top, box.bottom) for box in boxes} == {(0, 9)}
    assert {box.width for box in boxes} == {16}


@pytest.mark.parametrize("stride", [0, -1, 17])
def test_strides_that_leave_gaps_are_refused(stride):
    with pytest.raises(RequestError, match="stride"):
        cover(LatentSize(64, 64), LatentSize(16, 16), stride)


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_facing_ramps_add_up_to_one(kind):
    ramp = make_ramp(20, 8, kind)
    torch.testing.assert_close(ramp[-8:] + ramp[:8], torch.ones(8))
    assert (ramp[8:12] == 1).all()
    assert (ramp > 0).all()


def test_linear_ramp_is_a_line_and_cosine_is_smooth():
    line, curve = make_ramp(16, 8, "linear")[:8], make_ramp(16, 8, "cosine")[:8]
    torch.testing.assert_close(line.diff(), torch.full((7,), 1 / 8))
    assert curve.diff()[0] < line.diff()[0] < curve.diff()[3]


def test_ends_without_neighbours_stay_full():
    assert (make_ramp(9, 4, head=False)[:5] == 1).all()
    assert (make_ramp(9, 4, tail=False)[4:] == 1).all()
    assert (make_ramp(9, 4, "flat") == 1).all()
    assert (make_ramp(9, 0) == 1).all()


@pytest.mark.parametrize("ramp", [-1, 10])
def test_ramp_longer_than_the_window_is_refused(ramp):
    with pytest.raises(RequestError):
        make_ramp(9, ramp)


def test_weights_fade_only_towards_neighbours():
    size = LatentSize(48, 16)
    left, middle, _ = (make_weights(box, size, 8) for box in cover(size, LatentSize(16, 16), 16))
    assert (left[:, 0] == 1).all()
    assert (left[:, -1] < 0.1).all()
    assert (middle[:, 0] < 0.1).all()
    # The canvas ends above and below: rows are alike.
    assert torch.equal(middle, middle[:1].expand(16, -1))


def test_fuse_of_one_window_returns_it():
    size = LatentSize(7, 5)
    values = torch.randn(1, 4, 5, 7)
    fused = fuse(size, [(size.box, values, make_weights(size.box, size, 3))])
    torch.testing.assert_close(fused, values)


def test_fuse_weighs_overlaps():
    size, left, right = LatentSize(3, 1), LatentBox(0, 0, 2, 1), LatentBox(1, 0, 3, 1)
    windows = [
        (left, torch.tensor([[[0.0, 0.0]]]), torch.tensor([[1.0, 3.0]])),
        (right, torch.tensor([[[8.0, 8.0]]]), torch.tensor([[1.0, 1.0]])),
    ]
    assert fuse(size, windows).tolist() == [[[0.0, 2.0, 8.0]]]


def test_fusion_takes_windows_lazily_and_keeps_type():
    size = LatentSize(8, 8)
    fusion = Fusion(size, torch.empty(2, 3, 4, 4, dtype=torch.float64))
    for box in cover(size, LatentSize(4, 4), 4):
        fusion.add(box, torch.ones(2, 3, 4, 4, dtype=torch.float64), torch.ones(4, 4))
    assert torch.equal(fusion.weight, torch.ones(8, 8, dtype=torch.float64))
    assert torch.equal(fusion.finish(), torch.ones(2, 3, 8, 8, dtype=torch.float64))


def test_holes_and_nothing_are_refused():
    with pytest.raises(RequestError, match="60 cells"):
        fuse(LatentSize(8, 8), [(LatentBox(0, 0, 2, 2), torch.ones(1, 2, 2), torch.ones(2, 2))])
    with pytest.raises(RequestError, match="no window"):
        fuse(LatentSize(8, 8), [])
