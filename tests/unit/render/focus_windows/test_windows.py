"""Focus windows: drawn beside their level, fused into it, laid over it where the judge agrees, the same bytes after a stop."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fakes import CONTRACT, GaussianModel
from sfumato.canvas.latents import MemoryLatents
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace
from sfumato.core.focus import WHILE, FocusSettings
from sfumato.core.geometry import LatentBox, LatentSize, PixelBox, PixelSize
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.render.engine import Inputs, run_plan
from sfumato.render.focus_windows.place import LEAST_SCALE, MOST_WINDOWS, choose_windows, place_window
from sfumato.render.focus_windows.windows import Fused, FusedPatch
from sfumato.render.passes.focus_outcome import FocusWhileSampling
from sfumato.render.passes.focus_part import FocusTarget
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.sampling.latent_rows import Planes

BUDGET = RenderBudget(memory_bytes=4 * GIB, cost=GUESSES["mini"])
SIZE = PixelSize(192, 256)
SETTINGS = FocusSettings(words=("face",), when=WHILE)
REQUEST = RenderRequest(
    prompt="a cat",
    size=SIZE,
    steps=4,
    seed=5,
    guidance=3.0,
    method=CohesiveMethod(strength=0.6, predict=False),
    focus=SETTINGS,
)


def aim(left, top, side, **more):
    box = PixelBox(left, top, left + side, top + side)
    return FocusTarget(kind="face", box=box, core=box, context=2.0, prompt="a face", **more)


class Killed(BaseException):
    """What a process cannot catch."""


class Mortal(DiskWorkspace):
    """A folder whose process dies right before its nth entry or part."""

    def __init__(self, folder, *, resume, dies_at=None):
        super().__init__(folder, {"request": "one"}, resume=resume)
        self.dies_at, self.count = dies_at, 0

    def note(self, entry, *, durable=False):
        self.tick()
        super().note(entry, durable=durable)

    def save_part(self, name, arrays):
        self.tick()
        super().save_part(name, arrays)

    def tick(self):
        self.count += 1
        if self.count == self.dies_at:
            self._lock.release()
            raise Killed


def run(request=REQUEST, *, drops=0, space=None, parts=None, model=None):
    judged = []

    def judge(_pixels, part):
        judged.append(part)
        return "not this one" if len(judged) <= drops else ""

    def place(_below, _taken, canvas):
        scale = canvas.width / SIZE.width
        named = parts or [aim(round(60 * scale), round(100 * scale), max(4, round(16 * scale)))]
        return tuple(named)

    focus = FocusWhileSampling(settings=SETTINGS, place=place, judge=judge)
    plan = plan_render(request, CONTRACT, BUDGET)
    steps = run_plan(plan, request, model or GaussianModel(), Inputs(focus=focus), space)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, judged


def test_a_part_is_drawn_larger_and_laid_over_the_last_level():
    model = GaussianModel()
    result, judged = run(model=model)
    assert [(one.kind, one.verdict, one.stage) for one in result.focus][-1] == ("face", "kept", "level 2 of 2")
    assert all(part.drawn.shape == (64, 64, 3) for part in judged)
    assert all(LEAST_SCALE * part.frame.width <= 64 for part in judged)
    # What was kept stands in the picture.
    outcome = result.focus[-1]
    assert np.array_equal(np.asarray(result.picture)[outcome.frame.slices_hw], outcome.after)
    # Native size, one at a time: the windows.
    assert sum(call[1:3] == (8, 8) for call in model.calls) >= 4


def test_what_the_judge_drops_is_not_laid_and_says_why():
    result, _ = run(drops=9)
    assert {one.verdict for one in result.focus} == {"dropped"}
    assert {one.reasons for one in result.focus} == {("not this one",)}
    assert result.focus[-1].to_json()["stage"] == "level 2 of 2"


@pytest.mark.parametrize("sampler", ["DPM++ 2M", "DPM++ SDE"])
def test_a_render_that_dies_anywhere_gives_the_same_bytes(sampler, tmp_path):
    request = replace(REQUEST, sampler=sampler)
    wanted, _ = run(request)
    whole = Mortal(tmp_path / "whole", resume=False)
    found, _ = run(request, space=whole)
    assert np.array_equal(np.asarray(found.picture), np.asarray(wanted.picture))
    for dies_at in range(9, whole.count, 17):
        folder = tmp_path / str(dies_at)
        with pytest.raises(Killed):
            run(request, space=Mortal(folder, resume=False, dies_at=dies_at))
        again, _ = run(request, space=Mortal(folder, resume=True))
        assert np.array_equal(np.asarray(again.picture), np.asarray(wanted.picture)), dies_at
        told = [(one.box, one.verdict, one.reasons) for one in again.focus]
        assert told == [(one.box, one.verdict, one.reasons) for one in wanted.focus]


def test_without_parts_the_level_is_as_it_was():
    alone = run_plan(plan_render(REQUEST, CONTRACT, BUDGET), REQUEST, GaussianModel(), Inputs(), None)
    while True:
        try:
            next(alone)
        except StopIteration as end:
            plain = end.value
            break
    large = [aim(10, 10, 90)]
    result, judged = run(parts=large)
    assert judged == []
    assert np.array_equal(np.asarray(result.picture), np.asarray(plain.picture))


def test_windows_lie_inside_gain_twice_and_share_no_middle():
    assert place_window(aim(100, 100, 40), SIZE, CONTRACT) is None
    corner = place_window(aim(188, 250, 4), SIZE, CONTRACT)
    cells = SIZE.to_latent(8)
    assert corner is not None
    assert corner.right == cells.width
    assert corner.bottom == cells.height
    assert corner.width == corner.height == 2
    twice = choose_windows([aim(100, 100, 12), aim(102, 102, 8), aim(20, 20, 8)], SIZE, CONTRACT)
    assert [target.box.left for target, _ in twice] == [100, 20]
    many = [aim(8 * (n % 20), 8 * (n // 20), 6) for n in range(60)]
    assert len(choose_windows(many, SIZE, CONTRACT)) == MOST_WINDOWS


def test_fused_predictions_are_the_same_in_any_bands_and_written_nowhere():
    store = MemoryLatents(LatentSize(12, 16), 4)
    planes = Planes(store, 4, torch.device("cpu"))
    planes.write(slice(0, 16), torch.randn(4, 16, 12))
    before = store.read(LatentSize(12, 16).box).copy()
    share = torch.rand(5, 4)
    patch = FusedPatch(cells=LatentBox(3, 6, 7, 11), clean=torch.randn(1, 4, 5, 4), share=share)
    fused = Fused(planes=planes, patches=(patch,))
    whole = fused.read(slice(0, 16))
    bands = torch.cat([fused.read(slice(top, top + 3)) for top in range(0, 15, 3)] + [fused.read(slice(15, 16))], dim=1)
    assert torch.equal(whole, bands)
    assert torch.equal(whole[:, :6], torch.from_numpy(before[:, :6]))
    expected = torch.lerp(torch.from_numpy(before[:, 6:11, 3:7]), patch.clean[0], share)
    assert torch.allclose(whole[:, 6:11, 3:7], expected)
    assert np.array_equal(store.read(LatentSize(12, 16).box), before)
