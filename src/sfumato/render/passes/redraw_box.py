"""Draw one box of a finished picture anew through the engine, and lay it over the picture with soft edges.

The box is a small img2img request of its own, with context around it. Knows no finder and no judge. Start reading at
`draw_box`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sfumato.core.defaults import DEFAULTS
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import ImageSource, MultidiffusionMethod, NativeMethod
from sfumato.render.engine import run_plan
from sfumato.render.plan.budget import GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import Inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from sfumato.canvas.pixels import PixelStore
    from sfumato.core.request import RenderRequest
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.progress import Progress

# Context around a box, as a share of its longer side, and at least so many cells: the denoiser sees where the box lies,
# and soft edges need room.
CONTEXT_FRAC, LEAST_CONTEXT_CELLS = 0.25, 2
# A box is drawn on a canvas of at most so many native areas: it is held in memory, and one prompt speaks for all of it.
MOST_NATIVE_AREAS = 16
# As much as any plan may have: a box takes no more than the picture it lies in.
_ANY_BYTES = 1 << 60


@dataclass(frozen=True, kw_only=True)
class PassProposal:
    """Propose to draw a box (px of the picture) anew.

    `strength` is the share of the schedule that is drawn, `reason` says why, for people. An empty `prompt` takes the
    prompt of the picture. At `scale` 2 the box is drawn twice as large as it is in the picture, then shrunk: a small
    face gets the pixels of a large one. `start` gives the pixels that drawing starts from, uint8 [h, w, 3] of any box
    of the picture; None starts from the picture itself.
    """

    box: PixelBox
    strength: float
    reason: str
    prompt: str = ""
    scale: float = 1.0
    start: Callable[[PixelBox], NDArray[np.uint8]] | None = None


def draw_box(
    pixels: PixelStore,
    proposal: PassProposal,
    request: RenderRequest,
    model: LatentModel,
    *,
    noise_stage: int,
    window_batch: int,
) -> Generator[Progress, None, tuple[PixelBox, NDArray[np.uint8]]]:
    """Draw a proposal; return the box that changes, its context included, and its pixels, uint8 [h, w, 3].

    Guarantees the same pixels for the same picture, proposal and request. Noise comes from the counter, in a stage
    of its own. Nothing is written.

    Raises:
        BudgetError, ModelError, RequestError, StorageError: as a render.
    """
    frame, canvas = find_frame(proposal, pixels.size, model.contract.native, model.contract.factor)
    before = pixels.read(frame)
    inside = _feather(frame, proposal.box)[..., None]
    start = before if proposal.start is None else _mix(before, proposal.start(frame), inside)
    picture = Image.fromarray(start).resize((canvas.width, canvas.height), Image.Resampling.LANCZOS)
    is_native = canvas.area <= model.contract.native.area * DEFAULTS.native_slack
    single = replace(
        request,
        prompt=proposal.prompt or request.prompt,
        size=canvas,
        batch=1,
        source=ImageSource(path="box", sha256=hashlib.sha256(start.tobytes()).hexdigest(), strength=proposal.strength),
        method=NativeMethod() if is_native else MultidiffusionMethod(),
        seamless="off",
        controls=(),
    )
    budget = RenderBudget(memory_bytes=_ANY_BYTES, cost=GUESSES[model.contract.family], window_batch=window_batch)
    plan = plan_render(single, model.contract, budget)
    plan = replace(plan, stages=tuple(replace(stage, noise_stage=noise_stage) for stage in plan.stages))
    result = yield from run_plan(plan, single, model, Inputs(picture=picture))
    drawn = result.picture.convert("RGB").resize((frame.width, frame.height), Image.Resampling.LANCZOS)
    return frame, _mix(before, np.asarray(drawn), inside)


def find_frame(
    proposal: PassProposal, picture: PixelSize, native: PixelSize, factor: int
) -> tuple[PixelBox, PixelSize]:
    """Return the part of a picture that is drawn, the box with context, and the canvas that it is drawn on.

    The part has at least native size on the canvas where the picture is large enough, and whole cells.
    """
    box = proposal.box.clip(picture)
    context = max(LEAST_CONTEXT_CELLS * factor, math.ceil(CONTEXT_FRAC * max(box.width, box.height)))
    left, right = _grow(box.left, box.right, context, native.width / proposal.scale, picture.width)
    top, bottom = _grow(box.top, box.bottom, context, native.height / proposal.scale, picture.height)
    frame = PixelBox(left, top, right, bottom)
    most = MOST_NATIVE_AREAS * native.area
    scale = min(proposal.scale, math.sqrt(most / frame.area))
    sides = (max(factor, round(side * scale / factor) * factor) for side in (frame.width, frame.height))
    return frame, PixelSize(*sides)


def _grow(begin: int, end: int, context: int, least: float, side: int) -> tuple[int, int]:
    """Grow a span by its context and to a least length, inside a side; room that one end lacks goes to the other."""
    length = min(side, max(end - begin + 2 * context, math.ceil(least)))
    first = max(0, min((begin + end - length) // 2, side - length))
    return first, first + length


def _feather(frame: PixelBox, box: PixelBox) -> NDArray[np.float32]:
    """Return the share of new pixels [h, w]: 1 in the box, falling to 0 at the edge of the frame, save at the picture's."""
    across = _ramp(frame.width, box.left - frame.left, box.right - frame.left)
    down = _ramp(frame.height, box.top - frame.top, box.bottom - frame.top)
    return down[:, None] * across[None, :]


def _ramp(length: int, begin: int, end: int) -> NDArray[np.float32]:
    at = np.arange(length, dtype=np.float32) + 0.5
    left = at / begin if begin > 0 else np.ones(length, np.float32)
    right = (length - at) / (length - end) if end < length else np.ones(length, np.float32)
    return np.clip(np.minimum(left, right), 0.0, 1.0).astype(np.float32)


def _mix(old: NDArray[np.uint8], new: NDArray[np.uint8], share: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(old + share * (new.astype(np.float32) - old)).astype(np.uint8)
