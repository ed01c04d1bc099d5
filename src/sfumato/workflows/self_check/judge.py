"""The self-check of a render: where its windows met, and what the critic says of the result beside its base.

Joins plan and critic; neither knows the other. Start reading at `judge_result`.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.memory import give_back_memory
from sfumato.core.resampling import fit_box
from sfumato.critic.picture.checks import Judged, judge_picture
from sfumato.critic.picture.feature_cache import FeatureCache, cache_features, update_features
from sfumato.critic.picture.picture_reader import StoredPicture
from sfumato.critic.picture.seams import Lines
from sfumato.render.progress import RenderResult
from sfumato.render.stages import Plan

# A base of fewer pixels a side says too little of what it shows.
SMALLEST_BASE_PX = 32


def judge_result(result: RenderResult, plan: Plan, factor: int, features: FeatureCache | None = None) -> Judged | None:
    """Judge a result by the calibrated checks; None where there is no base to hold it against.

    `factor` is the pixels of a latent cell. A verdict changes nothing in the picture. The result is read in
    parts: memory does not grow with it; what `features` hold is not read again.
    """
    base = _find_base(result)
    if base is None:
        return None
    return judge_picture(StoredPicture(result.pixels), base, find_lines(plan, factor), features)


def cache_result_features(result: RenderResult) -> FeatureCache | None:
    """Read the whole of a result that can be judged; None where it cannot."""
    base = _find_base(result)
    features = None if base is None else cache_features(StoredPicture(result.pixels), base)
    give_back_memory()
    return features


def update_result_features(before: FeatureCache, result: RenderResult, squares: Sequence[PixelBox]) -> FeatureCache:
    """Read a result anew that has changed in some squares."""
    features = update_features(before, StoredPicture(result.pixels), squares)
    give_back_memory()
    return features


def say_unjudged(result: RenderResult) -> str:
    """Say why a result that has a base cannot be held against it; empty where it can, and where it has none."""
    if result.base is None or _find_base(result) is not None:
        return ""
    side = _find_least_side(result.base, result.pixels.size)
    return f"the result shows {side:.3g} px of the short side of its base, and fewer than {SMALLEST_BASE_PX} say too little"


def _find_base(result: RenderResult) -> Image.Image | None:
    """Return what a result is held against, None where there is nothing, or too little of it."""
    base = result.base
    if base is None or _find_least_side(base, result.pixels.size) < SMALLEST_BASE_PX:
        return None
    return base


def _find_least_side(base: Image.Image, canvas: PixelSize) -> float:
    """Return the shorter side, in px, of the part of the base that a canvas shows: of a long strip it is little."""
    left, top, right, bottom = fit_box(PixelSize(*base.size), canvas)
    return round(min(right - left, bottom - top), 6)


def find_lines(plan: Plan, factor: int) -> Lines | None:
    """Return where windows of the last stage end, in px; None where they moved from step to step."""
    last = plan.stages[-1]
    if last.moving:
        return None
    boxes = [box.to_pixels(factor) for box in last.windows]
    # Windows of a picture whose sides meet may stick out, and end on the other side.
    xs = {edge % last.canvas.width for box in boxes for edge in (box.left, box.right)} - {0}
    ys = {edge % last.canvas.height for box in boxes for edge in (box.top, box.bottom)} - {0}
    return Lines(tuple(sorted(xs)), tuple(sorted(ys)))
