"""What one place of a finished render takes to draw again, for `sfumato bench growth --place`.

Stands where the self-check would choose places itself: here the place is always the same. Knows no process and no
table. Start reading at `measure_place`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sfumato.canvas.workspace.workspace import Workspace
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import RenderRequest
from sfumato.lab.true_shapes.meter import weigh_tree
from sfumato.models.latent_model import LatentModel
from sfumato.render.progress import RenderResult
from sfumato.render.redraw.run import Redone, run_again
from sfumato.render.redraw.workspace import Redo, Scene
from sfumato.render.stages import Plan
from sfumato.workflows.self_check.judge import cache_result_features, judge_result, update_result_features

# A person of a far group: less than a window of any model.
PLACE = PixelSize(90, 110)
Made = tuple[RenderRequest, Plan, LatentModel, Workspace | None]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Hold seconds of the processor to draw a place again and to judge the picture after, and the most disk on top."""

    drawn_s: float
    judged_s: float
    disk_bytes: int


def measure_place(result: RenderResult, made: Made) -> Placed:
    """Draw the middle of a finished render again and judge the picture after; the render stays as it is."""
    request, plan, model, space = made
    features = cache_result_features(result)
    assert features is not None, "a picture that was grown has a base"
    assert space is not None, "a bench keeps its work on disk"
    assert space.folder is not None, "a bench keeps its work on disk"
    scene = Scene(model=model, request=request, plan=plan, space=space)
    redo = Redo(number=1, over=None, boxes=(_find_middle(result.pixels.size),))
    folder, before = space.folder, weigh_tree(space.folder)
    weighed, began = [before], time.process_time()
    redone = _draw(scene, redo, lambda: weighed.append(weigh_tree(folder)))
    drawn = time.process_time()
    after = replace(result, shown=redone.pixels)
    judge_result(after, plan, model.contract.factor, update_result_features(features, after, redone.squares))
    judged = time.process_time()
    return Placed(drawn_s=drawn - began, judged_s=judged - drawn, disk_bytes=max(weighed) - before)


def _find_middle(size: PixelSize) -> PixelBox:
    left, top = (size.width - PLACE.width) // 2, (size.height - PLACE.height) // 2
    return PixelBox(left, top, left + PLACE.width, top + PLACE.height)


def _draw(scene: Scene, redo: Redo, weigh: Callable[[], None]) -> Redone:
    steps = run_again(scene, redo)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            weigh()
            return end.value
        weigh()
