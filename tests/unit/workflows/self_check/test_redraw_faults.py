"""What the base has not is drawn once more; only what helped is kept; a resumed render decides alike."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fakes import CONTRACT, GaussianModel
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace
from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core.errors import ModelError, StorageError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import CohesiveMethod, GobigMethod, RenderRequest
from sfumato.critic.picture.added_objects import Blob
from sfumato.critic.picture.checks import Judged
from sfumato.render.engine import run_plan
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.workflows.report.check_table import write_checks
from sfumato.workflows.self_check.judge import judge_result
from sfumato.workflows.self_check.redraw_faults import MOST_RERUNS, NEARLY_ALL, Rerun, find_new, has_helped, look_again

# Held to nothing, this level is full of what its base has not.
LOOSE = CohesiveMethod(strength=1.0, lock=0.0, hold=False, guard=False, predict=False)
REQUEST = RenderRequest(prompt="a cat", size=PixelSize(256, 192), steps=6, seed=5, guidance=3.0, method=LOOSE)


def make_plan(request):
    return plan_render(request, CONTRACT, RenderBudget(memory_bytes=4 * GIB, cost=GUESSES["mini"]))


def render(request, space):
    model, plan, seen = GaussianModel(), make_plan(request), []
    steps = run_plan(plan, request, model, None, space)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            looked = look_again(
                end.value, request=request, plan=plan, model=model, space=space, on_progress=seen.append
            )
            return looked, end.value, seen


@pytest.fixture(scope="module")
def undisturbed():
    """Return what was looked at again, the picture before, and the progress of a render in memory."""
    return render(REQUEST, MemoryWorkspace())


def weigh(result):
    return sum(blob.mass for blob in judge_result(result, make_plan(REQUEST), 8).added_objects)


def test_places_that_fail_are_drawn_again_until_they_pass_or_two_rounds_are_over(undisturbed):
    looked, before, seen = undisturbed
    assert 1 <= len(looked.reruns) <= MOST_RERUNS
    assert {progress.stage for progress in seen} == {"redraw"}
    # The bar does not go back, and does not say that all is done.
    assert {progress.done_frac for progress in seen} == {NEARLY_ALL}
    assert looked.reruns[0].before == weigh(before)
    kept = [rerun.after for rerun in looked.reruns if rerun.kept]
    assert weigh(looked.result) == (kept[-1] if kept else weigh(before))
    assert weigh(looked.result) < weigh(before)
    assert all(rerun.boxes for rerun in looked.reruns)
    json.dumps([rerun.to_json() for rerun in looked.reruns], allow_nan=False)


def test_a_resumed_render_decides_alike(tmp_path, undisturbed):
    once = undisturbed[0]
    with_folder = DiskWorkspace(tmp_path / "work", {"request": "one"}, resume=False)
    render(REQUEST, with_folder)
    with_folder.close()
    again = render(REQUEST, DiskWorkspace(tmp_path / "work", {"request": "one"}, resume=True))[0]
    assert np.array_equal(np.asarray(once.result.picture), np.asarray(again.result.picture))
    assert [rerun.kept for rerun in once.reruns] == [rerun.kept for rerun in again.reruns]
    assert [rerun.after for rerun in once.reruns] == [rerun.after for rerun in again.reruns]


class Full(DiskWorkspace):
    """A folder that an error meets where the pixels of a round are to lie."""

    def __init__(self, folder, *, error, at="redraw1-pixels"):
        super().__init__(folder, {"request": "one"}, resume=False)
        self.error, self.at = error, at

    def open_pixels(self, name, size):
        if name == self.at:
            raise self.error
        return super().open_pixels(name, size)


@pytest.mark.parametrize(
    ("at", "error"),
    [
        ("redraw1-pixels", StorageError("the disk is full")),
        ("redraw1-pixels", MemoryError()),
        ("redraw1-pixels", ModelError("no numbers")),
        ("redraw2-pixels", StorageError("the disk is full")),
    ],
)
def test_a_picture_is_not_lost_with_a_round_that_finds_no_room(at, error, tmp_path, undisturbed):
    once, before, _ = undisturbed
    looked, _, _ = render(REQUEST, Full(tmp_path / "work", error=error, at=at))
    if len(once.reruns) < int(at[6]):
        assert len(looked.reruns) == len(once.reruns)
        return
    last = looked.reruns[-1]
    assert (last.number, last.kept) == (int(at[6]), False)
    assert last.left_out == (str(error) or "the memory is full")
    assert weigh(looked.result) == last.before == last.after
    if last.number == 1:
        assert np.array_equal(np.asarray(looked.result.picture), np.asarray(before.picture))
    assert "was left out" in write_checks(looked.judged, looked.reruns)
    json.dumps(last.to_json(), allow_nan=False)


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


def test_a_report_says_what_was_drawn_again_and_what_was_not_measured(undisturbed):
    rerun = Rerun(number=1, boxes=(PixelBox(0, 0, 8, 8),), before=300.4, after=120.0, kept=False, seconds=1.0)
    judged = Judged((), (Blob((8, 16, 24, 48), 9, 300.0),), {"grain": "judged 4 times reduced"})
    assert write_checks(judged, (rerun,)) == ""
    verdict = judge_result(undisturbed[1], make_plan(REQUEST), 8).verdicts[:1]
    section = write_checks(Judged(verdict, judged.added_objects, judged.left_out), (rerun,))
    kept = write_checks(Judged(verdict, judged.added_objects, judged.left_out), (replace(rerun, kept=True),))
    assert kept != section
    # From 300.4 to 120.
    assert "by 60 %" in section
    assert "judged 4 times reduced" in section
