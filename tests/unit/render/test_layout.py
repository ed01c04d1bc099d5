"""Bases, rounds and windows for any shape of canvas."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import CONTRACT
from sfumato.core.geometry import LatentSize, PixelSize
from sfumato.core.resampling import fit_box
from sfumato.render.layout import choose_base_size, cover_canvas, list_rounds, show_whole

SIDES = st.integers(8, 120).map(lambda cells: cells * 8)
SIZES = st.builds(PixelSize, SIDES, SIDES)


@settings(deadline=None, max_examples=50)
@given(SIZES)
def test_a_base_is_about_native_and_keeps_the_shape(target):
    base = choose_base_size(target, CONTRACT)
    if target.area <= CONTRACT.native.area:
        assert base == target
        return
    assert base.width % 16 == base.height % 16 == 0
    # A strip cannot be thinner than the grid, so its base has to be larger than native.
    if 0.25 <= target.width / target.height <= 4:
        assert 0.45 <= base.area / CONTRACT.native.area <= 2.2
        left, top, right, bottom = fit_box(base, target)
        assert (right - left) * (bottom - top) >= 0.6 * base.area


@settings(deadline=None, max_examples=50)
@given(SIZES, st.floats(1.1, 4.0))
def test_rounds_grow_evenly_to_the_target(target, upscale):
    base = choose_base_size(target, CONTRACT)
    sizes = [each.size for each in list_rounds(base, target, upscale, 8)]
    if base == target:
        assert sizes == []
        return
    left, _, right, _ = fit_box(base, target)
    ratio = target.width / (right - left)
    if ratio > 1:
        assert sizes[-1] == target
        assert len(sizes) == max(1, math.ceil(math.log(ratio) / math.log(upscale) - 1e-9))


@settings(deadline=None, max_examples=50)
@given(st.integers(4, 60), st.integers(4, 60), st.floats(0.0, 0.9))
def test_windows_leave_nothing_out(width, height, overlap):
    canvas = LatentSize(width, height)
    seen = np.zeros(canvas.shape_hw, bool)
    for box in cover_canvas(canvas, LatentSize(8, 8), overlap):
        assert canvas.box.contains(box)
        seen[box.slices_hw] = True
    assert seen.all()


@pytest.mark.parametrize("size", [PixelSize(2048, 64), PixelSize(64, 2048), PixelSize(4096, 32), PixelSize(1600, 160)])
def test_the_base_and_levels_of_a_strip_keep_eight_cells(size):
    contract = replace(CONTRACT, native=PixelSize(128, 128))
    base = choose_base_size(size, contract)
    assert min(base.width, base.height) >= 64
    assert base.area <= 1.2 * contract.native.area
    levels = [each.size for each in list_rounds(base, size, 2.0, 8)]
    assert levels[-1] == size
    for below, level in pairwise((base, *levels)):
        assert min(level.width, level.height) >= min(64, size.width, size.height)
        left, _, right, _ = fit_box(below, level)
        assert level.width / (right - left) <= 2.0 * (1 + 8 / min(below.width, below.height))


@pytest.mark.parametrize(
    "size", [(112, 144, 344, 432), (64, 256, 304, 1216), (389, 432, 584, 648), (112, 160, 200, 272)]
)
def test_the_part_that_is_shown_is_never_beyond_the_picture(size):
    width, height, *target = size
    left, top, right, bottom = fit_box(PixelSize(width, height), PixelSize(*target))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@settings(deadline=None, max_examples=300)
@given(*[st.integers(1, 4000)] * 4)
def test_no_part_is_beyond_its_picture(width, height, wide, high):
    left, top, right, bottom = fit_box(PixelSize(width, height), PixelSize(wide, high))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert (right - left) * high == pytest.approx((bottom - top) * wide)


def test_a_wide_target_crops_only_a_little_of_its_base():
    base = choose_base_size(PixelSize(1024, 576), CONTRACT)
    assert base == PixelSize(80, 48)
    left, top, right, bottom = fit_box(base, PixelSize(1024, 576))
    assert (right - left) / (bottom - top) == 1024 / 576


def follow(began, rounds):
    """Return what the last round shows of the picture where they began, taken from one to the next."""
    left, top, right, bottom = began.shown
    before = began
    for each in rounds:
        across, down = (right - left) / before.size.width, (bottom - top) / before.size.height
        taken = each.find_taken(before)
        assert 0 <= taken[0] < taken[2] <= before.size.width
        assert 0 <= taken[1] < taken[3] <= before.size.height
        left, right = left + taken[0] * across, left + taken[2] * across
        top, bottom = top + taken[1] * down, top + taken[3] * down
        before = each
    return (left, top, right, bottom)


@settings(deadline=None, max_examples=200)
@given(st.integers(17, 300), st.integers(17, 300), st.sampled_from((PixelSize(64, 64), PixelSize(128, 128))))
def test_what_is_left_of_a_base_after_all_rounds_is_what_the_target_shows(width, height, native):
    target = PixelSize(8 * width, 8 * height)
    base = choose_base_size(target, replace(CONTRACT, native=native))
    rounds = list_rounds(base, target, 2.0, 8)
    if rounds:
        assert follow(show_whole(base), rounds) == pytest.approx(fit_box(base, target), abs=1e-6)
        # Between, whole cells stretch a little; eight cells at least, half a cell at most.
        for each in rounds:
            left, top, right, bottom = each.shown
            across, down = each.size.width / (right - left), each.size.height / (bottom - top)
            assert abs(across / down - 1) <= 0.15 or min(each.size.width, each.size.height) <= 64


@settings(deadline=None, max_examples=200)
@given(st.integers(30, 900), st.integers(30, 900), st.sampled_from((2, 3, 5, 8, 12)))
def test_nothing_is_cut_off_a_picture_that_grows_by_a_whole_scale(width, height, scale):
    picture, target = PixelSize(8 * width, 8 * height), PixelSize(8 * width * scale, 8 * height * scale)
    rounds = list_rounds(picture, target, 2.0, 8, spare=False)
    began = show_whole(picture)
    assert {each.shown for each in rounds} == {began.shown}
    assert follow(began, rounds) == pytest.approx(began.shown)


def test_a_strip_shows_more_of_its_base_on_the_way_and_a_given_picture_does_not():
    base, target = PixelSize(272, 64), PixelSize(2048, 128)
    first, *_, last = list_rounds(base, target, 2.0, 8)
    assert first.size.height == 64
    assert first.shown[3] - first.shown[1] == pytest.approx(17 * 64 / first.size.width * 2048 / 128, rel=0.02)
    assert last.shown == fit_box(base, target)
    kept, *_ = list_rounds(base, target, 2.0, 8, spare=False)
    assert kept.shown == last.shown
