"""What the self-check finds beyond the base is drawn once more, weaker, and kept only if that helped.

Joins engine and critic for one finished render, whose picture no re-run can lose. Start reading at `look_again`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from sfumato.canvas.workspace.workspace import Workspace
from sfumato.core.errors import BudgetError, LostWorkError, ModelError, SfumatoError, StorageError
from sfumato.core.geometry import PixelBox
from sfumato.core.request import RenderRequest
from sfumato.core.serialize import Json
from sfumato.critic.picture.added_objects import Blob
from sfumato.critic.picture.checks import Judged
from sfumato.critic.picture.feature_cache import Survey
from sfumato.models.latent_model import LatentModel
from sfumato.render.methods.registry import find_method
from sfumato.render.progress import Progress, RenderResult
from sfumato.render.redraw.run import Redone, count_windows_again, forget_again, run_again
from sfumato.render.redraw.workspace import Redo, Scene
from sfumato.render.stages import Plan
from sfumato.workflows.self_check.judge import judge_result, survey_result, survey_result_again

# The share of the whole that is told while a place is drawn again: the render is done, its picture is not.
NEARLY_ALL = 0.999
# Weaker and weaker: after two rounds next to nothing would be drawn.
MOST_RERUNS = 2
# What a re-run fails of without harm to the picture that is there.
_NO_ROOM = (StorageError, BudgetError, ModelError, MemoryError, torch.OutOfMemoryError)
# A re-run takes at least this share of the mass of failing blobs away, or it is not worth another look at the edges it drew.
LEAST_GAIN_FRAC = 0.1


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Say why a re-run was left out, and whether its work is kept, so that it can be done after all."""

    why: str
    is_kept: bool

    def to_json(self) -> dict[str, Json]:
        """Return it as JSON values."""
        return {"why": self.why, "can_be_resumed": self.is_kept}


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """Hold one re-run: its places in px, the windows drawn, the mass of failing blobs before and after, what became of it.

    One that was left out drew no more than a part of its windows, and changed nothing.
    """

    number: int
    boxes: tuple[PixelBox, ...]
    windows: int
    before: float
    after: float
    kept: bool
    seconds: float
    left_out: LeftOut | None = None

    def to_json(self) -> dict[str, Json]:
        """Return the re-run as JSON values."""
        return {
            "number": self.number,
            "boxes": [[box.left, box.top, box.right, box.bottom] for box in self.boxes],
            "windows": self.windows,
            "mass_before": round(self.before, 1),
            "mass_after": round(self.after, 1),
            "kept": self.kept,
            "seconds": round(self.seconds, 3),
            "left_out": self.left_out.to_json() if self.left_out else None,
        }


@dataclass(frozen=True, eq=False)
class Looked:
    """Hold what is to be saved, its verdicts, and the re-runs it took."""

    result: RenderResult
    judged: Judged | None
    reruns: tuple[Rerun, ...] = ()


def look_again(
    result: RenderResult,
    made: tuple[RenderRequest, Plan, LatentModel, Workspace | None],
    on_progress: Callable[[Progress], None],
) -> Looked:
    """Judge a render; draw the windows again where it shows what its base has not, at most twice.

    A re-run is kept if the failing blobs weigh a tenth less and none is where none was. Depends on pixels and
    request alone, so a resumed render decides alike. Without a workspace nothing is drawn again. A re-run that
    fails, or that the disk or the memory has no room for, is left out: the picture is finished without it.

    Raises:
        StorageError: the disk has no room for a note either; what was noted can be resumed.
        LostWorkError: what a stopped re-run left is gone.
    """
    request, plan, model, space = made
    survey = survey_result(result)
    looked = Looked(result, judge_result(result, plan, model.contract.factor, survey))
    if space is None or survey is None or not find_method(request.method).keeps_work or len(plan.stages) < 2:
        return looked
    scene, over = Scene(model=model, request=request, plan=plan, space=space), None
    for number in range(1, MOST_RERUNS + 1):
        if looked.judged is None or not looked.judged.phantoms or (looked.reruns and looked.reruns[-1].left_out):
            break
        boxes = tuple(PixelBox(*blob.box).clip(plan.stages[-1].canvas) for blob in looked.judged.phantoms)
        redo = Redo(number=number, over=over, boxes=boxes)
        looked, survey = _try((looked, survey), scene, redo, on_progress)
        over = redo if looked.reruns[-1].kept else over
    return looked


def _try(
    seen: tuple[Looked, Survey], scene: Scene, redo: Redo, on_progress: Callable[[Progress], None]
) -> tuple[Looked, Survey]:
    """Draw and judge again; return what is to be kept, with the re-run in its list."""
    looked, survey = seen
    plan, factor, began = scene.plan, scene.model.contract.factor, time.monotonic()
    assert looked.judged is not None, "only what was judged is drawn again"
    windows = count_windows_again(scene.request, plan, factor, redo)
    before = sum(blob.mass for blob in looked.judged.phantoms)

    def tell(progress: Progress) -> None:
        stage, count = f"again: {windows} windows", len(plan.stages)
        on_progress(replace(progress, stage=stage, stage_index=count, stages=count + 1, done_frac=NEARLY_ALL))

    def close(after: float, *, kept: bool, left_out: LeftOut | None = None) -> tuple[Rerun, ...]:
        took, number, boxes = time.monotonic() - began, redo.number, redo.boxes
        done = Rerun(
            number=number,
            boxes=boxes,
            windows=windows,
            before=before,
            after=after,
            kept=kept,
            seconds=took,
            left_out=left_out,
        )
        return (*looked.reruns, done)

    try:
        redone = _draw(scene, redo, tell)
    except LostWorkError:
        # Left out, it would be another picture.
        raise
    except _NO_ROOM as error:
        forget_again(scene, redo)
        return replace(looked, reruns=close(before, kept=False, left_out=_say_left_out(error))), survey
    result = replace(looked.result, shown=redone.pixels)
    survey_after = survey_result_again(survey, result, redone.squares)
    judged = judge_result(result, plan, factor, survey_after)
    assert judged is not None, "what was judged once can be judged again"
    kept = has_helped(looked.judged.phantoms, judged.phantoms)
    reruns = close(sum(blob.mass for blob in judged.phantoms), kept=kept)
    return (Looked(result, judged, reruns), survey_after) if kept else (replace(looked, reruns=reruns), survey)


def _say_left_out(error: Exception) -> LeftOut:
    # What the model cannot draw it can draw no better tomorrow.
    said = str(error) if isinstance(error, SfumatoError) else "the memory is full"
    return LeftOut(why=said, is_kept=not isinstance(error, ModelError))


def has_helped(before: tuple[Blob, ...], after: tuple[Blob, ...]) -> bool:
    """Tell whether a tenth of the failing mass is gone and none lies where none was."""
    was, left = (sum(blob.mass for blob in blobs) for blobs in (before, after))
    return left <= (1.0 - LEAST_GAIN_FRAC) * was and not find_new(after, before)


def find_new(after: tuple[Blob, ...], before: tuple[Blob, ...]) -> tuple[Blob, ...]:
    """Return the blobs that touch none of those before."""
    known = [PixelBox(*blob.box) for blob in before]
    return tuple(blob for blob in after if not any(PixelBox(*blob.box).find_overlap(box) for box in known))


def _draw(scene: Scene, redo: Redo, on_progress: Callable[[Progress], None]) -> Redone:
    steps = run_again(scene, redo)
    while True:
        try:
            on_progress(next(steps))
        except StopIteration as end:
            return end.value
