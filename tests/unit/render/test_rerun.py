"""A re-run changes its places, keeps the rest, is the same after any stop, and costs what its places are large."""

from dataclasses import replace

import numpy as np
import pytest

from fakes import CONTRACT, GaussianModel
from sfumato.core.canvas.workspace import DiskSpace, MemorySpace
from sfumato.core.geometry import LatentBox, PixelBox, PixelSize
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.render.budget import GIB, GUESSES, Budget
from sfumato.render.engine import run_plan
from sfumato.render.plan import plan_render
from sfumato.render.rerun import MOST_MAP_CELLS, RERUN_STAGES, Redo, count_windows_again, open_boxes, run_again, weaken

METHOD = CohesiveMethod(strength=0.8, hold=False, predict=False)
REQUEST = RenderRequest(prompt="a cat", size=PixelSize(384, 256), steps=6, seed=5, guidance=3.0, method=METHOD)
PLAN = plan_render(REQUEST, CONTRACT, Budget(memory_bytes=4 * GIB, cost=GUESSES["mini"]))
PLACE = PixelBox(40, 50, 70, 90)
FIRST = Redo(number=1, over=0, boxes=(PLACE,))
SECOND = Redo(number=2, over=1, boxes=(PLACE,))


class Killed(BaseException):
    """What a process cannot catch."""


class Mortal(DiskSpace):
    """A folder whose process dies right after its nth entry."""

    def __init__(self, folder, *, resume, dies_at=None):
        super().__init__(folder, {"request": "one"}, resume=resume)
        self.left, self.notes = dies_at, 0

    def note(self, entry, *, durable=False):
        super().note(entry, durable=durable)
        self.notes += 1
        if self.notes == self.left:
            raise Killed


def drain(steps):
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return end.value, seen


def whole(pixels):
    return pixels.read(pixels.size.box).astype(np.int16)


def render(space, model=None):
    """Return the picture and both re-runs."""
    model = model or GaussianModel()
    result, _ = drain(run_plan(PLAN, REQUEST, model, None, space))
    again = [drain(run_again(model, REQUEST, PLAN, space, redo))[0] for redo in (FIRST, SECOND)]
    return [whole(pixels) for pixels in (result.pixels, *again)]


def test_only_its_places_change_and_what_was_before_stays():
    space, model = MemorySpace(), GaussianModel()
    result, _ = drain(run_plan(PLAN, REQUEST, model, None, space))
    before = whole(result.pixels)
    pixels, seen = drain(run_again(model, REQUEST, PLAN, space, FIRST))
    moved = np.abs(whole(pixels) - before).max(axis=2)
    opened = open_boxes(FIRST.boxes, PLAN.stages[-1], 8).open_rows(slice(0, 32), 0).numpy() > 0
    inside = opened.repeat(8, axis=0).repeat(8, axis=1)
    assert moved[50:90, 40:70].max() > 2
    assert moved[~inside].max() <= 1
    assert np.array_equal(whole(result.pixels), before)
    assert [progress.step for progress in seen] == list(range(1, seen[-1].steps + 1))


def test_a_rerun_that_dies_anywhere_gives_the_same_bytes(tmp_path):
    wanted = render(MemorySpace())
    undisturbed = Mortal(tmp_path / "whole", resume=False)
    result, _ = drain(run_plan(PLAN, REQUEST, GaussianModel(), None, undisturbed))
    made = undisturbed.notes
    for redo, pixels in zip((FIRST, SECOND), wanted[1:], strict=True):
        assert np.array_equal(whole(drain(run_again(GaussianModel(), REQUEST, PLAN, undisturbed, redo))[0]), pixels)
    assert np.array_equal(whole(result.pixels), wanted[0])
    for dies_at in range(made + 1, undisturbed.notes + 1, 4):
        folder = tmp_path / str(dies_at)
        with pytest.raises(Killed):
            render(Mortal(folder, resume=False, dies_at=dies_at))
        found = render(Mortal(folder, resume=True))
        assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True)), dies_at


def test_each_rerun_is_weaker_with_noise_of_its_own():
    last, first, second = (weaken(PLAN.stages[-1], REQUEST, number) for number in range(3))
    assert last == PLAN.stages[-1]
    assert last.first_step < first.first_step < second.first_step < last.steps
    assert {first.noise_stage, second.noise_stage} == {RERUN_STAGES + 1, RERUN_STAGES + 2}


def test_it_costs_what_its_places_are_large():
    space = MemorySpace()
    drain(run_plan(PLAN, REQUEST, GaussianModel(), None, space))
    model = GaussianModel()
    drain(run_again(model, REQUEST, PLAN, space, FIRST))
    window = PLAN.stages[-1].windows[0].size.shape_hw
    drawn = sum(call[0] for call in model.calls if call[1:3] == window)
    assert 0 < count_windows_again(REQUEST, PLAN, 8, FIRST) <= drawn
    large = replace(PLAN, stages=(replace(PLAN.stages[-1], canvas=PixelSize(1024, 1024)),))
    everywhere = replace(FIRST, boxes=(PixelBox(0, 0, 1024, 1024),))
    few, many = (count_windows_again(REQUEST, large, 8, redo) for redo in (FIRST, everywhere))
    assert 8 * few < many


@pytest.mark.parametrize("place", [PLACE, PixelBox(0, 0, 5, 5), PixelBox(380, 250, 384, 256)])
def test_a_place_has_a_whole_window_even_at_an_edge(place):
    stage = PLAN.stages[-1]
    opened = open_boxes((place,), stage, 8).open_rows(slice(0, 32), 0)
    assert int(opened.sum()) >= stage.windows[0].size.area
    inner = place.snap_out(8).to_latent(8)
    assert opened[inner.top : inner.bottom, inner.left : inner.right].all()


def test_the_map_of_a_large_canvas_is_small_and_still_holds_its_places():
    stage = replace(PLAN.stages[-1], canvas=PixelSize(8 * 5000, 8 * 3000))
    freedom = open_boxes((PixelBox(8000, 8000, 8080, 8160),), stage, 8)
    assert max(freedom.first_steps.shape) <= MOST_MAP_CELLS
    assert freedom.open_rows(slice(1000, 1020), 0)[:, 1000:1010].all()
    assert not freedom.open_rows(slice(1200, 1201), 0).any()
    assert not freedom.is_open(LatentBox(2000, 1000, 2016, 1016), 0)
