"""The focus pass: a verdict for each part, weaker tries, old pixels where all fail, nothing outside a mask, resumable."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import CONTRACT, GaussianModel
from sfumato.canvas.pixels import MemoryPixels
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace
from sfumato.canvas.workspace.workspace import Entry, MemoryWorkspace
from sfumato.core.focus import FocusSettings
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import RenderRequest
from sfumato.render.passes.focus import (
    SETTLED_FRAC,
    FocusPass,
    LeftPart,
    list_strengths,
    measure_fine_change,
    run_focus,
)
from sfumato.render.passes.focus_part import MOST_NATIVE_AREAS, FocusTarget, find_crop, lay_back, make_mask

SIZE = PixelSize(320, 256)
REQUEST = RenderRequest(prompt="a cat", size=SIZE, steps=6, seed=5)
FIRST, SECOND = PixelBox(60, 60, 76, 76), PixelBox(200, 150, 220, 172)


def make_pixels():
    values = np.random.default_rng(0).integers(0, 256, (*SIZE.shape_hw, 3), dtype=np.uint8)
    return MemoryPixels(SIZE, values)


def aim(box, **more):
    return FocusTarget(kind="face", box=box, core=box, context=2.0, prompt="a face", **more)


@dataclass
class Judge:
    """Drops as often as it is told, and remembers what it saw."""

    drops: int = 0
    parts: list[object] = field(default_factory=list)

    def __call__(self, pixels, part):
        self.parts.append(part)
        return "not this one" if len(self.parts) <= self.drops else ""


def run(levels, judge=None, *, space=None, model=None, pixels=None, **more):
    work = FocusPass(
        settings=FocusSettings(**more),
        find=lambda _, level, kept: levels[level] if level < len(levels) else (),
        judge=judge or Judge(),
    )
    return drive(
        run_focus(work, pixels or make_pixels(), REQUEST, model or GaussianModel(), space or MemoryWorkspace())
    )


def drive(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def read(pixels):
    return pixels.read(pixels.size.box)


def test_each_part_has_a_verdict_of_its_own_and_nothing_outside_its_mask_changes():
    pixels, judge = make_pixels(), Judge(drops=3)
    before = read(pixels)
    result = run([[aim(FIRST), aim(SECOND), LeftPart(kind="wall", box=FIRST, reason="a wall")]], judge, pixels=pixels)
    assert [(one.verdict, one.tries) for one in result.outcomes] == [("left", 0), ("dropped", 3), ("kept", 1)]
    after = read(result.pixels)
    part = judge.parts[-1]
    masked = np.zeros(SIZE.shape_hw, bool)
    masked[part.frame.slices_hw] = part.share > 0
    assert np.array_equal(after[~masked], before[~masked])
    assert (after[SECOND.slices_hw] != before[SECOND.slices_hw]).any(axis=-1).mean() > 0.5
    assert np.array_equal(after[FIRST.slices_hw], before[FIRST.slices_hw])
    assert np.array_equal(read(pixels), before)


def test_each_try_is_weaker_and_has_noise_of_its_own():
    judge = Judge(drops=9)
    (outcome,) = run([[aim(FIRST)]], judge).outcomes
    strengths = [part.strength for part in judge.parts]
    assert strengths == sorted(strengths, reverse=True)
    assert len(set(strengths)) == 3
    assert outcome.reasons == ("not this one",) * 3
    assert not np.array_equal(judge.parts[0].drawn, judge.parts[1].drawn)


def test_deeper_parts_and_larger_ones_are_drawn_more_weakly():
    chosen = FocusSettings()
    assert list_strengths(chosen, 1, 4.0)[0] < list_strengths(chosen, 0, 4.0)[0]
    assert list_strengths(chosen, 1, 1.5, is_blank=True)[0] > chosen.strength
    assert list_strengths(chosen, 0, 1.5)[0] < list_strengths(chosen, 0, 2.5)[0] == chosen.strength


def test_a_level_sees_what_the_level_above_put_back():
    seen = []

    def find(pixels, level, kept):
        seen.append((level, tuple(kept), read(pixels)))
        return (aim(FIRST),) if level == 0 else ()

    work = FocusPass(settings=FocusSettings(), find=find, judge=Judge(), levels=2)
    drive(run_focus(work, make_pixels(), REQUEST, GaussianModel(), MemoryWorkspace()))
    assert [(level, kept) for level, kept, _ in seen] == [(0, ()), (1, (FIRST,))]
    assert not np.array_equal(seen[0][2], seen[1][2])


def test_what_lies_in_a_part_whose_detail_stopped_changing_is_left():
    flat = MemoryPixels(SIZE, np.full((*SIZE.shape_hw, 3), 90, np.uint8))
    assert measure_fine_change(read(flat), read(flat)) == 0.0
    noise = read(make_pixels())
    assert measure_fine_change(read(flat), noise) > 1 - 1e-3
    eye = PixelBox(64, 64, 70, 70)
    inner, outer = aim(eye), aim(FIRST)
    result = run([[outer], [inner]])
    assert result.outcomes[0].changed > SETTLED_FRAC
    assert [one.verdict for one in result.outcomes] == ["kept", "kept"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sfumato.render.passes.focus.SETTLED_FRAC", 1e9)
        settled = run([[outer], [inner, aim(SECOND)]])
    assert [one.verdict for one in settled.outcomes] == ["kept", "left", "kept"]
    assert "no longer changes" in settled.outcomes[1].reasons[0]


def test_it_repeats_to_the_byte_and_a_stopped_pass_draws_decided_parts_no_second_time(tmp_path):
    parts = [[aim(FIRST), aim(SECOND)]]
    whole, judge = GaussianModel(), Judge(drops=1)
    once = run(parts, judge, model=whole, detail=4)
    space = DiskWorkspace(tmp_path / "work", {"request": "one"}, resume=False)
    space.note(Entry({"picture": "there"}))
    work = FocusPass(
        settings=FocusSettings(detail=4), find=lambda _, level, kept: parts[0] if level == 0 else (), judge=Judge(1)
    )
    stopped = run_focus(work, make_pixels(), REQUEST, GaussianModel(), space)
    while "2 of 2" not in next(stopped).stage:
        pass
    stopped.close()
    space.close()
    again, space = GaussianModel(), DiskWorkspace(tmp_path / "work", {"request": "one"}, resume=True)
    result = run(parts, model=again, space=space, detail=4)
    assert np.array_equal(read(result.pixels), read(once.pixels))
    space.close()
    assert [(one.verdict, one.tries, one.reasons) for one in result.outcomes] == [
        (one.verdict, one.tries, one.reasons) for one in once.outcomes
    ]
    assert len(again.calls) < len(whole.calls)
    for one, other in zip(result.outcomes, once.outcomes, strict=True):
        assert (one.changed, one.deep.core, one.deep.frame) == (other.changed, other.deep.core, other.deep.frame)
        assert np.array_equal(one.deep.drawn, other.deep.drawn)


def test_a_model_that_fails_ends_the_pass_and_keeps_what_was_put_back():
    calls = GaussianModel()
    run([[aim(FIRST)]], model=calls)
    result = run([[aim(FIRST), aim(SECOND), aim(FIRST)]], model=GaussianModel(poison=len(calls.calls) + 1))
    assert [one.verdict for one in result.outcomes] == ["kept", "dropped"]
    assert "no picture" in result.outcomes[1].reasons[0]


def test_without_parts_the_picture_is_returned_itself():
    pixels = make_pixels()
    assert run([], pixels=pixels).pixels is pixels


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 300), st.integers(0, 240), st.integers(1, 320), st.integers(1, 256), st.floats(1.5, 2.5))
def test_a_crop_holds_its_box_inside_the_picture_at_native_size_or_above(left, top, width, height, context):
    box = PixelBox(left, top, left + width, top + height).clip(SIZE)
    frame, canvas = find_crop(box, context, SIZE, CONTRACT)
    assert SIZE.box.contains(frame)
    assert frame.contains(box)
    assert canvas == canvas.round_up(CONTRACT.factor)
    assert canvas.area >= 0.8 * CONTRACT.native.area
    # Whole cells may be half a cell less than the crop; beyond the most areas a crop is drawn smaller than it is.
    is_capped = frame.area > MOST_NATIVE_AREAS * CONTRACT.native.area
    assert is_capped or canvas.width > frame.width - CONTRACT.factor


def test_a_small_part_is_drawn_at_native_size_and_a_large_one_through_windows():
    model = GaussianModel()
    run([[aim(FIRST)]], model=model)
    native = CONTRACT.native.to_latent(8).shape_hw
    assert {call[1:3] for call in model.calls} == {native}
    large = GaussianModel()
    judge = Judge()
    run([[aim(PixelBox(40, 40, 140, 120))]], judge, model=large)
    assert {call[1:3] for call in large.calls} == {native}
    assert judge.parts[0].drawn.shape[0] > CONTRACT.native.height


@pytest.mark.parametrize("oval", [False, True])
def test_a_mask_is_whole_in_its_core_and_nothing_far_away(oval):
    core = PixelBox(40, 50, 80, 80)
    share = make_mask(PixelBox(0, 0, 120, 130), core, oval=oval)
    assert share[65, 60] == 1.0
    # A corner of the core.
    assert (share[51, 41] < 0.3) if oval else (share[51, 41] == 1.0)
    assert share[0].max() == share[-1].max() == share[:, 0].max() == share[:, -1].max() == 0.0


def test_colours_are_matched_and_bytes_outside_the_mask_stay():
    before = np.full((60, 60, 3), 100, np.uint8)
    drawn = np.full((60, 60, 3), 160, np.uint8)
    drawn[28:32, 28:32] = 250
    share = make_mask(PixelBox(0, 0, 60, 60), PixelBox(20, 20, 40, 40))
    laid = lay_back(before, drawn, share, 20)
    assert (laid[share == 0] == 100).all()
    # The wide difference of 60 levels is gone, the small bright spot is there.
    assert abs(float(laid[21:24, 21:24].mean()) - 100) < 15
    assert laid[30, 30, 0] > 150
