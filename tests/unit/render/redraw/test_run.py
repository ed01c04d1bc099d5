"""A re-run changes its places, keeps the rest, is the same after any stop, and costs what its places are large."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles import tiny_mini
from fakes import CONTRACT, GaussianModel
from sfumato.canvas import grid
from sfumato.canvas.pixels import MemoryPixels
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace
from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import CohesiveMethod, PictureSource, RenderRequest
from sfumato.models.autoencoder import coder as autoencoder
from sfumato.models.load import load_model
from sfumato.render.cohesive.finish import hold_colours
from sfumato.render.cohesive.input_picture import Given
from sfumato.render.engine import Inputs, run_plan
from sfumato.render.plan.budget import GIB, GUESSES, Budget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.redraw.run import count_windows_again, forget_again, run_again
from sfumato.render.redraw.workspace import RERUN_STAGES, Redo, Scene, weaken
from sfumato.render.sampling.pixels import to_bytes

METHOD = CohesiveMethod(strength=0.8, predict=False)
REQUEST = RenderRequest(prompt="a cat", size=PixelSize(384, 256), steps=6, seed=5, guidance=3.0, method=METHOD)
BUDGET = Budget(memory_bytes=4 * GIB, cost=GUESSES["mini"])
PLAN = plan_render(REQUEST, CONTRACT, BUDGET)
PLACE = PixelBox(40, 50, 70, 90)
FIRST = Redo(number=1, over=None, boxes=(PLACE,))
SECOND = Redo(number=2, over=FIRST, boxes=(PLACE, PixelBox(300, 200, 320, 230)))


class Killed(BaseException):
    """What a process cannot catch."""


class Mortal(DiskWorkspace):
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


def open_scene(space, model=None, request=REQUEST):
    return Scene(
        model=model or GaussianModel(), request=request, plan=plan_render(request, CONTRACT, BUDGET), space=space
    )


def render(space):
    """Return the picture and both re-runs."""
    result, _ = drain(run_plan(PLAN, REQUEST, GaussianModel(), None, space))
    again = [drain(run_again(open_scene(space), redo))[0] for redo in (FIRST, SECOND)]
    return [whole(pixels) for pixels in (result.pixels, *(redone.pixels for redone in again))]


@contextmanager
def small_squares():
    """Cut pixels and strips so that the pictures of these tests have several."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(grid, "SIDE_PX", 64)
        patched.setattr(autoencoder, "STRIP_CELLS", 16)
        yield


def test_only_its_places_change_and_what_was_before_stays():
    request = replace(REQUEST, method=replace(METHOD, hold=False))
    space, model = MemoryWorkspace(), GaussianModel()
    result, _ = drain(run_plan(PLAN, request, model, None, space))
    before, scene = whole(result.pixels), open_scene(space, model, request)
    redone, seen = drain(run_again(scene, FIRST))
    moved = np.abs(whole(redone.pixels) - before).max(axis=2)
    (part, level), *_ = scene.make_levels(FIRST)
    opened = np.zeros(moved.shape, bool)
    inside = level.freedom.open_rows(slice(0, part.box.height), 0).numpy() > 0
    opened[part.box.to_pixels(8).slices_hw] = inside.repeat(8, axis=0).repeat(8, axis=1)
    assert moved[50:90, 40:70].max() > 2
    assert moved[~opened].max() == 0
    assert np.array_equal(whole(result.pixels), before)
    assert [progress.step for progress in seen] == list(range(1, seen[-1].steps + 1))


def finish_whole(scene, redo):
    """Return the pixels of a re-run as its level would have made them: all decoded, kept and held."""
    cells, level, size = scene.open_finished(redo), scene.level, scene.level.stage.canvas
    decoded, finished = MemoryPixels(size), MemoryPixels(size)
    read = lambda box: torch.from_numpy(cells.read(box))[None]  # noqa: E731
    scene.model.decode_into(read, size.to_latent(8), lambda box, values: decoded.write(box, to_bytes(values)))
    if level.known is None:
        finished = decoded
    else:
        level.known.keep(decoded, finished)
    if scene.request.method.hold:
        hold_colours(finished, (level.base, level.stage.shown))
    return whole(finished)


class Studio:
    """Pictures that were finished once, with a real autoencoder, and are drawn again in any place."""

    def __init__(self):
        self.model, self._scenes = load_model(tiny_mini(), device="cpu", dtype="fp32"), {}

    def open(self, hold, known):
        if (hold, known) not in self._scenes:
            self._scenes[hold, known] = self._render(hold, known)
        return self._scenes[hold, known]

    def _render(self, hold, known):
        pixels = np.random.default_rng(4).integers(0, 256, (96, 128, 3), np.uint8)
        source = PictureSource(path="a.png", sha256="0" * 64, size=PixelSize(128, 96)) if known else None
        given_picture = Given(PixelSize(128, 96), lambda: iter([pixels]))
        method = replace(METHOD, hold=hold, keep=1.0)
        request = replace(REQUEST, size=PixelSize(256, 192), steps=2, method=method)
        request = replace(request, source=source) if source else request
        plan, space = plan_render(request, self.model.contract, BUDGET), MemoryWorkspace()
        inputs = Inputs(given=given_picture) if known else None
        drain(run_plan(plan, request, self.model, inputs, space))
        scene = Scene(model=self.model, request=request, plan=plan, space=space)
        assert (scene.level.known is not None) == known
        return scene


@pytest.fixture(scope="module")
def studio():
    return Studio()


places = st.tuples(st.integers(0, 250), st.integers(0, 190), st.integers(1, 40), st.integers(1, 40)).map(
    lambda box: PixelBox(box[0], box[1], min(box[0] + box[2], 256), min(box[1] + box[3], 192))
)


@settings(max_examples=6, deadline=None)
@given(first=st.lists(places, min_size=1, max_size=2), second=places, hold=st.booleans(), known=st.booleans())
def test_its_pixels_are_those_of_a_whole_decoding(studio, first, second, hold, known):
    with small_squares():
        scene = studio.open(hold, known)
        one = Redo(number=1, over=None, boxes=tuple(first))
        two = Redo(number=2, over=one, boxes=(second,))
        for redo in (one, two):
            before = whole(scene.open_finished(redo.over).pixels)
            redone, _ = drain(run_again(scene, redo))
            found = whole(redone.pixels)
            assert np.array_equal(found, finish_whole(scene, redo))
            for square in redone.squares:
                before[square.slices_hw] = found[square.slices_hw]
            assert np.array_equal(found, before)
        for redo in (two, one):
            forget_again(scene, redo)


def test_a_rerun_that_dies_anywhere_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "SIDE_PX", 64)
    wanted = render(MemoryWorkspace())
    undisturbed = Mortal(tmp_path / "whole", resume=False)
    drain(run_plan(PLAN, REQUEST, GaussianModel(), None, undisturbed))
    made, finishing = undisturbed.notes, []
    for redo, pixels in zip((FIRST, SECOND), wanted[1:], strict=True):
        redone, _ = drain(run_again(open_scene(undisturbed), redo))
        assert np.array_equal(whole(redone.pixels), pixels)
        # The last strip, that all are decoded, and that all is done.
        finishing += range(undisturbed.notes - 2, undisturbed.notes + 1)
    for dies_at in sorted({*range(made + 1, undisturbed.notes, 9), *finishing}):
        folder = tmp_path / str(dies_at)
        with pytest.raises(Killed):
            render(Mortal(folder, resume=False, dies_at=dies_at))
        found = render(Mortal(folder, resume=True))
        assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True)), dies_at


def test_a_rerun_that_was_forgotten_left_nothing_and_can_be_drawn_after_all(tmp_path):
    wanted = render(MemoryWorkspace())
    space = DiskWorkspace(tmp_path / "work", {"request": "one"}, resume=False)
    drain(run_plan(PLAN, REQUEST, GaussianModel(), None, space))
    names = {path.name for path in space.folder.iterdir()}
    steps = run_again(open_scene(space), FIRST)
    for _ in range(3):
        next(steps)
    steps.close()
    forget_again(open_scene(space), FIRST)
    assert {path.name for path in space.folder.iterdir()} == names
    space.close()
    found = render(DiskWorkspace(tmp_path / "work", {"request": "one"}, resume=True))
    assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_each_rerun_is_weaker_with_noise_of_its_own():
    last, (first, second) = PLAN.stages[-1], (weaken(PLAN.stages[-1], REQUEST, number) for number in (1, 2))
    assert last.first_step < first.first_step < second.first_step < last.steps
    stages = [level.stage.noise_stage for redo in (FIRST, SECOND) for _, level in open_parts(redo)]
    assert len(set(stages)) == len(stages) == 3
    assert min(stages) > RERUN_STAGES


def open_parts(redo):
    space = MemoryWorkspace()
    drain(run_plan(PLAN, REQUEST, GaussianModel(), None, space))
    return open_scene(space).make_levels(redo)


def test_it_costs_what_its_places_are_large(monkeypatch):
    monkeypatch.setattr(grid, "SIDE_PX", 64)
    space = MemoryWorkspace()
    drain(run_plan(PLAN, REQUEST, GaussianModel(), None, space))
    model = GaussianModel()
    drain(run_again(open_scene(space, model), FIRST))
    window = PLAN.stages[-1].windows[0].size.shape_hw
    drawn = sum(call[0] for call in model.calls if call[1:3] == window)
    assert 0 < count_windows_again(REQUEST, PLAN, 8, FIRST) <= drawn
    # Bands of 8 cells: the place, and what is held otherwise around it; the lower half is as it was.
    assert {("decode", top) for top in (0, 8, 16)} >= set(model.coded)
    large = replace(PLAN, stages=(replace(PLAN.stages[-1], canvas=PixelSize(1024, 1024)),))
    everywhere = replace(FIRST, boxes=(PixelBox(0, 0, 1024, 1024),))
    few, many = (count_windows_again(REQUEST, large, 8, redo) for redo in (FIRST, everywhere))
    assert 8 * few < many
