"""What finders share: levels read in pieces, windows, turned crops, and boxes that are the same thing."""

import itertools
import math

import numpy as np
import pytest
import torch

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.critic.finders import levels as levels_module
from sfumato.critic.finders.candidates import Candidates, blend_overlapping, decode_boxes, keep_surest, make_anchors
from sfumato.critic.finders.crops import TurnedSquare, cut_squares
from sfumato.critic.finders.levels import PictureLevels, list_levels, list_windows
from sfumato.critic.finders.windows import look_at_squares, look_at_windows


def make_store(width, height, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return MemoryPixels(PixelSize(width, height), values)


def test_levels_read_in_pieces_equal_levels_that_are_kept(monkeypatch):
    store = make_store(301, 203)
    box = PixelBox(3, 5, 60, 48)
    kept = [PictureLevels(store).read(level, box) for level in (0, 1, 2)]
    monkeypatch.setattr(levels_module, "MOST_KEPT_PX", 0)
    monkeypatch.setattr(levels_module, "BAND_PX", 16)
    pieces = [PictureLevels(store).read(level, box) for level in (0, 1, 2)]
    assert (kept[0] == store.read(box)).all()
    for one, other in zip(kept, pieces, strict=True):
        # Halving twice rounds twice.
        assert np.abs(one.astype(int) - other).max() <= 1


def test_what_lies_outside_of_a_picture_is_black():
    found = PictureLevels(make_store(20, 20)).read(0, PixelBox(-5, -5, 5, 5))
    assert found[:5].max() == 0
    assert found[5:, 5:].max() > 0


@pytest.mark.parametrize(("width", "height"), [(1000, 700), (384, 384), (385, 100), (90, 2000)])
def test_windows_cover_every_pixel_and_overlap(width, height):
    seen = np.zeros((height, width), int)
    for window in list_windows(PixelSize(width, height), 384, 96):
        inside = window.find_overlap(PixelSize(width, height).box)
        seen[inside.slices_hw] += 1
    assert seen.min() >= 1
    # A thing of up to 96 px lies wholly in some window.
    starts = sorted({window.left for window in list_windows(PixelSize(width, height), 384, 96)})
    assert all(after - before <= 384 - 96 for before, after in itertools.pairwise(starts))


def test_the_last_level_fits_into_a_window():
    assert list(list_levels(PixelSize(300, 200), 384)) == [0]
    assert list(list_levels(PixelSize(7680, 4320), 384)) == [0, 1, 2, 3, 4, 5]


def test_a_crop_that_is_not_turned_is_the_picture():
    store = make_store(64, 64)
    crop = cut_squares(PictureLevels(store), [TurnedSquare(32, 32, 40, 0.0)], 40)[0]
    assert (crop == store.read(PixelBox(12, 12, 52, 52))).all()


def test_a_crop_turned_by_a_quarter_is_the_picture_turned_back():
    store = make_store(64, 64)
    crop = cut_squares(PictureLevels(store), [TurnedSquare(32, 32, 40, math.pi / 2)], 40)[0]
    # The square's own "right" points down in the picture.
    expected = np.rot90(store.read(PixelBox(12, 12, 52, 52)), 1)
    assert np.abs(crop[2:-2, 2:-2].astype(int) - expected[2:-2, 2:-2]).max() <= 1


def test_points_of_a_turned_square_come_back_to_the_picture():
    square = TurnedSquare(100, 50, 20, math.pi / 2)
    points = square.to_picture(np.array([[0.5, 0.5], [1.0, 0.5], [0.5, 1.0]], np.float32))
    assert points == pytest.approx(np.array([[100, 50], [100, 60], [90, 50]]), abs=1e-4)


def find_bright(windows):
    """Find the brightest pixel of each window, as a detector would: a box of 4 px round it, and its middle."""
    for window in windows:
        bright = window.float().sum(dim=2)
        y, x = divmod(int(bright.argmax()), window.shape[1])
        there = float(bright.max()) > 200
        box = np.array([[x - 2, y - 2, x + 2, y + 2]], np.float32)[: int(there)]
        middle = (box[:, :2] + box[:, 2:]) / 2
        yield Candidates(box, middle[:, None], np.ones(len(box), np.float32))


@pytest.mark.parametrize("place", [(5, 5), (290, 150), (199, 101)])
def test_windows_give_places_in_the_picture(place):
    store = make_store(300, 160)
    store.write(PixelBox(0, 0, 300, 160), np.zeros((160, 300, 3), np.uint8))
    store.write(PixelBox(place[0] - 4, place[1] - 4, place[0] + 5, place[1] + 5), np.full((9, 9, 3), 255, np.uint8))
    for level in (0, 1):
        found = [
            one for one in look_at_windows(PictureLevels(store), level, 128, 32, 64, find_bright) if len(one.scores)
        ]
        assert found
        for one in found:
            assert one.points[0, 0] == pytest.approx(place, abs=8)
    squares = [TurnedSquare(150, 80, 400, 0.6)]
    (turned,) = look_at_squares(PictureLevels(store), squares, 200, find_bright)
    assert turned.points[0, 0] == pytest.approx(place, abs=8)
    assert turned.boxes[0, 2] - turned.boxes[0, 0] == pytest.approx(8)


def test_a_box_that_a_window_cuts_is_left_to_the_next():
    store = make_store(200, 64)
    store.write(PixelBox(0, 0, 200, 64), np.zeros((64, 200, 3), np.uint8))
    store.write(PixelBox(63, 30, 64, 31), np.full((1, 1, 3), 255, np.uint8))
    found = [len(one.scores) for one in look_at_windows(PictureLevels(store), 0, 64, 16, 64, find_bright)]
    # The first window ends at 64 and cuts it, the second begins at 45 and holds it.
    assert found[:2] == [0, 1]


def test_anchors_lie_in_the_middle_of_their_cells():
    anchors = make_anchors(8, (4, 8), (1, 2))
    assert anchors.tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75], [0.5, 0.5], [0.5, 0.5]]


def test_boxes_are_counted_from_their_anchors():
    raw = np.array([[1, -1, 4, 2, 0, 0, 3, 3], [0, 0, 1, 1, 0, 0, 0, 0]], np.float32)
    found = decode_boxes(raw, np.array([3.0, -3.0], np.float32), np.array([[0.5, 0.5], [0, 0]], np.float32), 8, 0.5)
    assert found.boxes.tolist() == [[3, 2, 7, 4]]
    assert found.points.tolist() == [[[4, 4], [7, 7]]]
    assert found.scores == pytest.approx([1 / (1 + math.exp(-3))])
    empty = decode_boxes(raw, np.full(2, -9, np.float32), np.zeros((2, 2), np.float32), 8, 0.5)
    assert empty.points.shape == (0, 2, 2)


def test_overlapping_boxes_become_their_weighted_mean():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    found = Candidates(boxes, boxes[:, None, :2], np.array([0.6, 0.3, 0.9], np.float32))
    mean = blend_overlapping(found, 0.3)
    assert mean.scores.tolist() == pytest.approx([0.9, 0.6])
    assert mean.boxes[1, 0] == pytest.approx(1 / 3)


def test_the_surest_of_the_same_thing_remains():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [2, 2, 5, 5], [30, 0, 40, 10]], np.float32)
    scores = np.array([0.5, 0.9, 0.7, 0.6], np.float32)
    assert keep_surest(boxes, scores, most_cover=0.3, most_inside=0.6).tolist() == [1, 3]
    assert keep_surest(boxes, scores, most_cover=0.99, most_inside=1.0).tolist() == [1, 2, 3, 0]
    assert keep_surest(boxes[:0], scores[:0], most_cover=0.3, most_inside=0.6).size == 0


def test_batches_of_windows_are_all_looked_at():
    store = make_store(640, 640)
    seen = []

    def count(windows: torch.Tensor):
        seen.append(len(windows))
        return find_bright(windows)

    assert len(list(look_at_windows(PictureLevels(store), 0, 128, 0, 32, count))) == 25
    assert sum(seen) == 25
