"""Draw one candidate of a hand: only what a change map frees is drawn anew, the rest of the crop is held and keeps its bytes.

Pure of opinions: knows no parser and no judge. Start reading at `draw_candidate`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from sfumato.core.request import InpaintSource
from sfumato.render.engine import run_plan
from sfumato.render.methods.stage_lists import GuidedMethod
from sfumato.render.plan.budget import GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import Inputs

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from sfumato.core.geometry import PixelBox, PixelSize
    from sfumato.core.request import RenderRequest
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.progress import Progress

# A hand shows its digits from so many px of the model's canvas on.
LEAST_NATIVE_PX = 96
# The side of the crop in sides of the hand where the model's canvas allows: an arm around it says whose hand it is.
CONTEXT, LEAST_CONTEXT = 1.8, 1.2
# Colours are matched by a field as smooth as this share of the crop, px at least (the spread of a Gaussian).
FIELD_FRAC, LEAST_FIELD_PX = 0.12, 3.0
# As much as any plan may have: a crop takes no more than the base that was drawn before it.
_ANY_BYTES = 1 << 60


@dataclass(frozen=True, eq=False, kw_only=True)
class RepairStep:
    """Say what one round draws of a crop.

    `change` is the share of new pixels, float32 [h, w], 0 where the old bytes stay. `start` holds the pixels that
    drawing starts from, uint8 [h, w, 3]: the crop itself, or the crop with a digit erased. `words` say what is done.
    A step that `fills` draws what lies behind a hand, so no words of a hand belong to it.
    """

    change: NDArray[np.float32]
    start: NDArray[np.uint8]
    strength: float
    words: str
    fills: bool = False


def choose_context(native_px: int) -> float:
    """Return the side of a crop in sides of its hand: the hand gets at least 96 px of a canvas that has 116 px or more."""
    return max(LEAST_CONTEXT, min(CONTEXT, native_px / LEAST_NATIVE_PX))


def make_candidate_request(
    request: RenderRequest, prompt: str, canvas: PixelSize, *, strength: float, sha256: str
) -> RenderRequest:
    """Return the request of one candidate: the picture's own, on another canvas, with other words and a mask."""
    return replace(
        request,
        controls=(),
        prompt=prompt,
        size=canvas,
        batch=1,
        focus=None,
        anatomy=None,
        source=InpaintSource(path="hand", sha256=sha256, mask="change", mask_sha256=sha256, strength=strength),
        method=GuidedMethod(lock=0.0),
    )


def draw_candidate(
    step: RepairStep,
    before: NDArray[np.uint8],
    canvas: PixelSize,
    request: RenderRequest,
    model: LatentModel,
    *,
    prompt: str,
    noise_stage: int,
    window_batch: int,
) -> Generator[Progress, None, NDArray[np.uint8]]:
    """Draw a crop anew where the step frees it; return its pixels, uint8 [h, w, 3]. Nothing is written.

    Guarantees the old bytes where `step.change` is 0, and the same pixels for the same crop, step and request.

    Raises:
        BudgetError, ModelError, RequestError, StorageError: as a render.
    """
    size = (canvas.width, canvas.height)
    picture = Image.fromarray(step.start).resize(size, Image.Resampling.LANCZOS)
    freed = Image.fromarray(np.rint(step.change * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    digest = hashlib.sha256(step.start.tobytes() + step.change.tobytes()).hexdigest()
    # Words of a hand would draw a small one into the hole.
    words = model.contract.detail_words if step.fills else prompt or request.prompt
    single = make_candidate_request(request, words, canvas, strength=step.strength, sha256=digest)
    budget = RenderBudget(memory_bytes=_ANY_BYTES, cost=GUESSES[model.contract.family], window_batch=window_batch)
    plan = plan_render(single, model.contract, budget)
    plan = replace(plan, stages=tuple(replace(stage, noise_stage=noise_stage) for stage in plan.stages))
    result = yield from run_plan(plan, single, model, Inputs(picture=picture, mask=freed))
    shape = before.shape[:2]
    drawn = result.picture.convert("RGB").resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
    return lay_inside(before, np.asarray(drawn), step.change)


def lay_inside(before: NDArray[np.uint8], drawn: NDArray[np.uint8], change: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a crop over the old one [h, w, 3] where the change map says so, its colours matched from around it.

    What the autoencoder changed of the colours outside the map is taken back inside too, by a smooth field.
    """
    rest = before.astype(np.float32) - drawn
    kept = (1.0 - change)[..., None]
    spread = max(LEAST_FIELD_PX, FIELD_FRAC * max(change.shape))
    weight = ndimage.gaussian_filter(kept, (spread, spread, 0), mode="nearest") + 1e-3
    field = ndimage.gaussian_filter(rest * kept, (spread, spread, 0), mode="nearest") / weight
    mixed = before + change[..., None] * (field - rest)
    laid = np.rint(np.clip(mixed, 0.0, 255.0)).astype(np.uint8)
    return np.where(change[..., None] > 0.0, laid, before)


def count_native_px(box: PixelBox, frame: PixelBox, canvas: PixelSize) -> int:
    """Return how many px of the canvas the longer side of a hand has."""
    return round(max(box.width, box.height) * canvas.width / frame.width)
