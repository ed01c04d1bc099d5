"""Draw one part of a finished picture anew at the model's native size, and lay it back through its mask.

Pure of opinions: knows no finder and no judge. Start reading at `draw_part`; `focus_part` says what a part is.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import ImageSource
from sfumato.render.methods.stage_lists import GuidedMethod
from sfumato.render.passes.focus_part import DrawnPart, FocusTarget, lay_back, make_mask
from sfumato.render.plan.budget import GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import Inputs

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from sfumato.core.request import RenderRequest
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.progress import Progress

# As much as any plan may have: a part takes no more than the base that was drawn before it.
_ANY_BYTES = 1 << 60


def make_part_request(
    request: RenderRequest, prompt: str, canvas: PixelSize, *, strength: float, lock: float, sha256: str
) -> RenderRequest:
    """Return the request of one crop: the picture's own, on another canvas and with other words.

    No prompt takes that of the picture.
    """
    return replace(
        request,
        controls=(),
        prompt=prompt or request.prompt,
        size=canvas,
        batch=1,
        focus=None,
        source=ImageSource(path="box", sha256=sha256, strength=strength),
        method=GuidedMethod(lock=lock),
    )


def draw_part(
    target: FocusTarget,
    before: NDArray[np.uint8],
    frame: PixelBox,
    canvas: PixelSize,
    request: RenderRequest,
    model: LatentModel,
    *,
    strength: float,
    lock: float,
    noise_stage: int,
    window_batch: int,
) -> Generator[Progress, None, DrawnPart]:
    """Draw a crop anew from its pixels `before`, uint8 [h, w, 3]; return it beside the old one. Nothing is written.

    Guarantees the same pixels for the same crop, target and request. Noise comes from the counter, in a stage of its own.

    Raises:
        BudgetError, ModelError, RequestError, StorageError: as a render.
    """
    # The targets of a plan are values of this module, and a plan needs no networks.
    from sfumato.render.engine import run_plan

    picture = Image.fromarray(before).resize((canvas.width, canvas.height), Image.Resampling.LANCZOS)
    digest = hashlib.sha256(before.tobytes()).hexdigest()
    single = make_part_request(request, target.prompt, canvas, strength=strength, lock=lock, sha256=digest)
    budget = RenderBudget(memory_bytes=_ANY_BYTES, cost=GUESSES[model.contract.family], window_batch=window_batch)
    plan = plan_render(single, model.contract, budget)
    plan = replace(plan, stages=tuple(replace(stage, noise_stage=noise_stage) for stage in plan.stages))
    result = yield from run_plan(plan, single, model, Inputs(picture=picture))
    drawn = result.picture.convert("RGB")
    share = make_mask(frame, target.core, oval=target.oval)
    reduced = np.asarray(drawn.resize((frame.width, frame.height), Image.Resampling.LANCZOS))
    return DrawnPart(
        target=target,
        frame=frame,
        share=share,
        before=before,
        after=lay_back(before, reduced, share, max(target.box.width, target.box.height)),
        parent=np.asarray(picture),
        drawn=np.asarray(drawn),
        strength=strength,
    )
