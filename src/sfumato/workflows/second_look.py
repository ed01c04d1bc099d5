"""What the self-check finds beyond the base is drawn once more, weaker, and kept only if that helped.

Joins engine and critic for one finished render. Start reading at `look_again`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sfumato.core.canvas.pixels import PixelStore
from sfumato.core.canvas.workspace import Workspace
from sfumato.core.geometry import PixelBox
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.core.tagged import Json
from sfumato.critic.checks import Judged
from sfumato.critic.phantoms import Blob
from sfumato.models.contract import LatentModel
from sfumato.render.rerun import Redo, count_windows_again, run_again
from sfumato.render.stages import Plan
from sfumato.render.trace import Progress, RenderResult
from sfumato.workflows.self_check import judge_result

# The share of the whole that is told while a place is drawn again: the render is done, its picture is not.
NEARLY_ALL = 0.999
# Weaker and weaker: after two rounds next to nothing would be drawn.
MOST_RERUNS = 2
# A re-run takes at least this share of the mass of failing blobs away, or it is not worth another look at the edges it drew.
LEAST_GAIN_FRAC = 0.1


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """Hold one re-run: its places in px, the windows drawn, the mass of failing blobs before and after, what became of it."""

    number: int
    boxes: tuple[PixelBox, ...]
    windows: int
    before: float
    after: float
    kept: bool
    seconds: float

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
    request alone, so a resumed render decides alike. Without a workspace nothing is drawn again.

    Raises:
        ModelError: a window gave numbers that are no picture.
        StorageError: the disk refuses; what was noted can be resumed.
    """
    request, plan, model, space = made
    looked = Looked(result, judge_result(result, plan, model.contract.factor))
    if space is None or not isinstance(request.method, CohesiveMethod) or len(plan.stages) < 2:
        return looked
    over = 0
    for number in range(1, MOST_RERUNS + 1):
        if looked.judged is None or not looked.judged.phantoms:
            break
        boxes = tuple(PixelBox(*blob.box).clip(plan.stages[-1].canvas) for blob in looked.judged.phantoms)
        redo = Redo(number=number, over=over, boxes=boxes)
        looked = _try(looked, (request, plan, model, space), redo, on_progress)
        over = number if looked.reruns[-1].kept else over
    return looked


def _try(
    looked: Looked,
    made: tuple[RenderRequest, Plan, LatentModel, Workspace],
    redo: Redo,
    on_progress: Callable[[Progress], None],
) -> Looked:
    request, plan, model, space = made
    began = time.monotonic()
    assert looked.judged is not None, "only what was judged is drawn again"
    windows = count_windows_again(request, plan, model.contract.factor, redo)

    def tell(progress: Progress) -> None:
        stage, count = f"again: {windows} windows", len(plan.stages)
        on_progress(replace(progress, stage=stage, stage_index=count, stages=count + 1, done_frac=NEARLY_ALL))

    pixels = _draw(model, request, (plan, space), redo, tell)
    result = replace(looked.result, shown=pixels)
    judged = judge_result(result, plan, model.contract.factor)
    assert judged is not None, "what was judged once can be judged again"
    before, after = (sum(blob.mass for blob in one.phantoms) for one in (looked.judged, judged))
    kept = has_helped(looked.judged.phantoms, judged.phantoms)
    done = Rerun(
        number=redo.number,
        boxes=redo.boxes,
        windows=windows,
        before=before,
        after=after,
        kept=kept,
        seconds=time.monotonic() - began,
    )
    reruns = (*looked.reruns, done)
    return Looked(result, judged, reruns) if kept else replace(looked, reruns=reruns)


def has_helped(before: tuple[Blob, ...], after: tuple[Blob, ...]) -> bool:
    """Tell whether a tenth of the failing mass is gone and none lies where none was."""
    was, left = (sum(blob.mass for blob in blobs) for blobs in (before, after))
    return left <= (1.0 - LEAST_GAIN_FRAC) * was and not find_new(after, before)


def find_new(after: tuple[Blob, ...], before: tuple[Blob, ...]) -> tuple[Blob, ...]:
    """Return the blobs that touch none of those before."""
    known = [PixelBox(*blob.box) for blob in before]
    return tuple(blob for blob in after if not any(PixelBox(*blob.box).find_overlap(box) for box in known))


def _draw(
    model: LatentModel,
    request: RenderRequest,
    made: tuple[Plan, Workspace],
    redo: Redo,
    on_progress: Callable[[Progress], None],
) -> PixelStore:
    steps = run_again(model, request, *made, redo)
    while True:
        try:
            on_progress(next(steps))
        except StopIteration as end:
            return end.value
