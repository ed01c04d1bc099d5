"""The first pass: what the self-check finds beyond the base is drawn anew from the base, and kept only if that helped.

Joins engine and critic for one finished render, whose picture no pass can lose. Start reading at `look_again`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.pixels import PixelStore
from sfumato.canvas.workspace.workspace import Workspace
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import RenderRequest
from sfumato.core.resampling import fit_box
from sfumato.core.serialize import Json
from sfumato.critic.picture.added_objects import Blob
from sfumato.critic.picture.checks import Judged
from sfumato.critic.picture.feature_cache import FeatureCache
from sfumato.models.latent_model import LatentModel
from sfumato.render.methods.registry import find_method
from sfumato.render.passes.redraw_box import PassProposal
from sfumato.render.passes.run import RenderPass, run_pass
from sfumato.render.progress import Progress, RenderResult
from sfumato.render.stages import Plan
from sfumato.workflows.self_check.judge import cache_result_features, judge_result, update_result_features

# The share of the whole that is told while a place is drawn again: the render is done, its picture is not.
NEARLY_ALL = 0.999
# The enlarged base lacks fine detail, so much of the schedule is drawn; then less, in case too much was.
STRENGTHS = (0.5, 0.35)
MOST_RERUNS = len(STRENGTHS)
# A round takes at least this share of the mass of failing blobs away, or its new edges are not worth it.
LEAST_GAIN_FRAC = 0.1


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """Hold one round: its boxes in px, the mass of failing blobs before and after, and what became of it.

    `left_out` says why a round that found no room, or whose model failed, changed nothing; None where it was judged.
    """

    number: int
    boxes: tuple[PixelBox, ...]
    before: float
    after: float
    kept: bool
    seconds: float
    left_out: str | None = None

    def to_json(self) -> dict[str, Json]:
        """Return the round as JSON values."""
        return {
            "number": self.number,
            "boxes": [[box.left, box.top, box.right, box.bottom] for box in self.boxes],
            "mass_before": round(self.before, 1),
            "mass_after": round(self.after, 1),
            "kept": self.kept,
            "seconds": round(self.seconds, 3),
            "left_out": self.left_out,
        }


@dataclass(frozen=True, eq=False)
class CheckedRender:
    """Hold what is to be saved, its verdicts, and the rounds it took."""

    result: RenderResult
    judged: Judged | None
    reruns: tuple[Rerun, ...] = ()


def look_again(
    result: RenderResult,
    *,
    request: RenderRequest,
    plan: Plan,
    model: LatentModel,
    space: Workspace | None,
    on_progress: Callable[[Progress], None],
) -> CheckedRender:
    """Judge a render, and draw the boxes anew that show what its base has not, at most twice.

    A round is kept if the failing blobs weigh a tenth less and none is where none was. Depends on pixels and
    request alone, so a resumed render decides alike. Without a workspace nothing is drawn. A round that fails, or
    that the disk or the memory has no room for, is left out: the picture is finished without it.
    """
    features, factor = cache_result_features(result), model.contract.factor
    judged = judge_result(result, plan, factor, features)
    keeps_work = find_method(request.method).keeps_work and len(plan.stages) > 1
    if space is None or features is None or judged is None or not keeps_work or not judged.added_objects:
        return CheckedRender(result, judged)
    faults = _Faults(result, plan, model, features, judged)
    work = RenderPass(name="redraw", find=faults.find, judge=faults.judge, rounds=MOST_RERUNS)
    steps = run_pass(work, result.pixels, request, model, space, window_batch=plan.window_batch)
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            passed = end.value
            break
        count = len(plan.stages)
        on_progress(replace(progress, stage="redraw", stage_index=count, stages=count + 1, done_frac=NEARLY_ALL))
    reruns = tuple(
        Rerun(
            number=one.number,
            boxes=tuple(proposal.box for proposal in one.proposals),
            before=before,
            after=after,
            kept=one.kept,
            seconds=one.seconds,
            left_out=one.dropped,
        )
        for one, (before, after) in zip(passed.rounds, faults.list_masses(), strict=True)
    )
    return CheckedRender(faults.result, faults.judged, reruns)


class _Faults:
    """Find the failing blobs of a render, and judge whether a round lessened them. A leaf."""

    def __init__(
        self, result: RenderResult, plan: Plan, model: LatentModel, features: FeatureCache, judged: Judged
    ) -> None:
        self.result, self.judged = result, judged
        self._plan, self._model, self._features = plan, model, features
        self._masses: list[list[float]] = []

    def find(self, pixels: PixelStore, number: int) -> tuple[PassProposal, ...]:
        """Propose the box of every failing blob, from the enlarged base."""
        if not self.judged.added_objects:
            return ()
        mass = _weigh(self.judged.added_objects)
        self._masses.append([mass, mass])
        assert self.result.base is not None, "what was judged has a base"
        base, size = self.result.base, pixels.size

        def read_base(box: PixelBox) -> NDArray[np.uint8]:
            return enlarge_part(base, size, box)

        return tuple(
            PassProposal(
                box=PixelBox(*blob.box).clip(size),
                strength=STRENGTHS[number - 1],
                reason="not in the base",
                # Words of the whole scene would draw the scene again.
                prompt=self._model.contract.detail_words,
                start=read_base,
            )
            for blob in self.judged.added_objects
        )

    def judge(self, pixels: PixelStore, squares: Sequence[PixelBox]) -> bool:
        """Tell whether a round is kept, and remember the picture if it is."""
        result = replace(self.result, shown=pixels)
        features = update_result_features(self._features, result, squares)
        judged = judge_result(result, self._plan, self._model.contract.factor, features)
        assert judged is not None, "what was judged once can be judged again"
        self._masses[-1][1] = _weigh(judged.added_objects)
        kept = has_helped(self.judged.added_objects, judged.added_objects)
        if kept:
            self.result, self.judged, self._features = result, judged, features
        return kept

    def list_masses(self) -> list[tuple[float, float]]:
        """Return the mass of failing blobs before and after each round."""
        return [(before, after) for before, after in self._masses]


def enlarge_part(base: Image.Image, size: PixelSize, box: PixelBox) -> NDArray[np.uint8]:
    """Return a box of a picture of some size as the base shows it, enlarged, uint8 [h, w, 3]."""
    left, top, right, bottom = fit_box(PixelSize(*base.size), size)
    across, down = (right - left) / size.width, (bottom - top) / size.height
    part = (left + box.left * across, top + box.top * down, left + box.right * across, top + box.bottom * down)
    inside = (max(0.0, part[0]), max(0.0, part[1]), min(float(base.width), part[2]), min(float(base.height), part[3]))
    return np.asarray(base.convert("RGB").resize((box.width, box.height), Image.Resampling.LANCZOS, box=inside))


def has_helped(before: tuple[Blob, ...], after: tuple[Blob, ...]) -> bool:
    """Tell whether a tenth of the failing mass is gone and none lies where none was."""
    return _weigh(after) <= (1.0 - LEAST_GAIN_FRAC) * _weigh(before) and not find_new(after, before)


def find_new(after: tuple[Blob, ...], before: tuple[Blob, ...]) -> tuple[Blob, ...]:
    """Return the blobs that touch none of those before."""
    known = [PixelBox(*blob.box) for blob in before]
    return tuple(blob for blob in after if not any(PixelBox(*blob.box).find_overlap(box) for box in known))


def _weigh(blobs: tuple[Blob, ...]) -> float:
    return sum(blob.mass for blob in blobs)
