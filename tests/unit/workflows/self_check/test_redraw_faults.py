"""What the base has not is drawn once more; only what helped is kept; a resumed render decides alike."""

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from fakes import CONTRACT, GaussianModel
from sfumato.canvas.workspace.disk_workspace import DiskSpace
from sfumato.canvas.workspace.workspace import MemorySpace
from sfumato.core.errors import ModelError, StorageError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import CohesiveMethod, GobigMethod, RenderRequest
from sfumato.critic.picture.added_objects import Blob
from sfumato.critic.picture.checks import Judged
from sfumato.render.engine import run_plan
from sfumato.render.plan.budget import GIB, GUESSES, Budget
from sfumato.render.plan.make_plan import plan_render
from sfumato.workflows.report.check_table import write_checks
from sfumato.workflows.self_check.judge import judge_result
from sfumato.workflows.self_check.redraw_faults import MOST_RERUNS, NEARLY_ALL, Rerun, find_new, has_helped, look_again

# Held to nothing, this level is full of what its base has not.
LOOSE = CohesiveMethod(strength=1.0, lock=0.0, hold=False, predict=False)
REQUEST = RenderRequest(prompt="a cat", size=PixelSize(256, 192), steps=6, seed=5, guidance=3.0, method=LOOSE)


def make_plan(request):
    return plan_render(request, CONTRACT, Budget(memory_bytes=4 * GIB, cost=GUESSES["mini"]))


def render(request, space):
    model, plan, seen = GaussianModel(), make_plan(request), []
    steps = run_plan(plan, request, model, None, space)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return look_again(end.value, (request, plan, model, space), seen.append), end.value, seen


def weigh(result):
    return sum(blob.mass for blob in judge_result(result, make_plan(REQUEST), 8).phantoms)


def test_places_that_fail_are_drawn_again_until_they_pass_or_two_rounds_are_over():
    looked, before, seen = render(REQUEST, MemorySpace())
    assert 1 <= len(looked.reruns) <= MOST_RERUNS
    assert {progress.stage for progress in seen} == {f"again: {one.windows} windows" for one in looked.reruns}
    # The bar does not go back, and does not say that all is done.
    assert {progress.done_frac for progress in seen} == {NEARLY_ALL}
    assert looked.reruns[0].before == weigh(before)
    kept = [rerun.after for rerun in looked.reruns if rerun.kept]
    assert weigh(looked.result) == (kept[-1] if kept else weigh(before))
    assert weigh(looked.result) < weigh(before)
    assert all(rerun.windows > 0 and rerun.boxes for rerun in looked.reruns)
    json.dumps([rerun.to_json() for rerun in looked.reruns], allow_nan=False)


def test_a_resumed_render_decides_alike(tmp_path):
    once = render(REQUEST, MemorySpace())[0]
    with_folder = DiskSpace(tmp_path / "work", {"request": "one"}, resume=False)
    render(REQUEST, with_folder)
    with_folder.close()
    again = render(REQUEST, DiskSpace(tmp_path / "work", {"request": "one"}, resume=True))[0]
    assert np.array_equal(np.asarray(once.result.picture), np.asarray(again.result.picture))
    assert [rerun.kept for rerun in once.reruns] == [rerun.kept for rerun in again.reruns]
    assert [rerun.after for rerun in once.reruns] == [rerun.after for rerun in again.reruns]


class Full(DiskSpace):
    """A folder that an error meets where the pixels of a re-run are to lie."""

    def __init__(self, folder, *, resume, error=None, at="rerun1-pixels"):
        super().__init__(folder, {"request": "one"}, resume=resume)
        self.error, self.at = error, at

    def open_pixels(self, name, size):
        if self.error is not None and name == self.at:
            raise self.error
        return super().open_pixels(name, size)


@pytest.mark.parametrize("at", ["rerun1-pixels", "rerun2-pixels"])
def test_a_picture_is_not_lost_with_a_re_run_that_has_no_room(at, tmp_path):
    once, before, _ = render(REQUEST, MemorySpace())
    assert len(once.reruns) == 2
    space = Full(tmp_path / "work", resume=False, error=StorageError("the disk is full"), at=at)
    looked, _, _ = render(REQUEST, space)
    last = looked.reruns[-1]
    assert (last.number, last.kept, last.left_out.is_kept) == (int(at[5]), False, True)
    assert "the disk is full" in last.left_out.why
    assert weigh(looked.result) == last.before
    if last.number == 1:
        assert np.array_equal(np.asarray(looked.result.picture), np.asarray(before.picture))
    assert "--resume" in write_checks(looked.judged, looked.reruns)
    json.dumps(last.to_json(), allow_nan=False)
    space.close()
    after_all = render(REQUEST, Full(tmp_path / "work", resume=True))[0]
    assert np.array_equal(np.asarray(once.result.picture), np.asarray(after_all.result.picture))


@pytest.mark.parametrize(("error", "is_kept"), [(MemoryError(), True), (ModelError("no numbers"), False)])
def test_nor_with_one_that_the_memory_or_the_model_ends(error, is_kept, tmp_path):
    looked, before, _ = render(REQUEST, Full(tmp_path / "work", resume=False, error=error))
    assert looked.result is before
    assert looked.reruns[-1].left_out.is_kept == is_kept
    assert ("--resume" in write_checks(looked.judged, looked.reruns)) == is_kept


def test_a_re_run_that_lost_a_file_while_it_was_stopped_is_not_left_out(tmp_path):
    """The picture without it would be another one."""
    space = DiskSpace(tmp_path / "work", {"request": "one"}, resume=False)
    render(REQUEST, space)
    space.close()
    (tmp_path / "work" / "rerun1-pixels.pixels").unlink()
    before = sorted(path.name for path in (tmp_path / "work").iterdir())
    with (
        pytest.raises(StorageError, match="lost"),
        closing(DiskSpace(tmp_path / "work", {"request": "one"}, resume=True)) as again,
    ):
        render(REQUEST, again)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == before


def test_other_methods_are_judged_and_left_alone():
    request = RenderRequest(prompt="a cat", size=PixelSize(128, 128), steps=4, method=GobigMethod(strength=0.9))
    looked, before, _ = render(request, None)
    assert looked.reruns == ()
    assert looked.result is before
    assert looked.judged is not None


def test_a_blob_is_new_where_none_was():
    old, moved, other = Blob((10, 10, 30, 30), 9, 300.0), Blob((25, 25, 50, 50), 9, 90.0), Blob((60, 0, 70, 9), 9, 90.0)
    assert find_new((moved, other), (old,)) == (other,)
    assert find_new((moved,), (old,)) == ()


def test_a_re_run_has_helped_when_a_tenth_is_gone_and_nothing_is_new():
    old, other = Blob((10, 10, 30, 30), 9, 300.0), Blob((60, 0, 70, 9), 9, 90.0)
    assert has_helped((old,), (replace(old, mass=270.0),))
    assert not has_helped((old,), (replace(old, mass=299.0),))
    assert not has_helped((old,), (other,))
    assert has_helped((old, other), (old,))


def test_a_report_says_what_was_drawn_again_and_what_was_not_measured():
    rerun = Rerun(
        number=1, boxes=(PixelBox(0, 0, 8, 8),), windows=12, before=300.4, after=120.0, kept=False, seconds=1.0
    )
    judged = Judged((), (Blob((8, 16, 24, 48), 9, 300.0),), {"grain": "judged 4 times reduced"})
    assert write_checks(judged, (rerun,)) == ""
    verdict = judge_result(render(REQUEST, None)[1], make_plan(REQUEST), 8).verdicts[:1]
    section = write_checks(Judged(verdict, judged.phantoms, judged.left_out), (rerun,))
    kept = write_checks(Judged(verdict, judged.phantoms, judged.left_out), (replace(rerun, kept=True),))
    assert kept != section
    # From 300.4 to 120.
    assert "by 60 %" in section
    assert "judged 4 times reduced" in section
