"""Which stages the methods beside cohesive have, from sizes alone, and what they refuse: the half of them that a plan reads.

Pure; draws nothing and imports no networks. The other half is in the modules beside this one. Start reading at
`list_native_stages`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import RequestError
from sfumato.core.request import GobigMethod, Method, MultidiffusionMethod, PictureSource
from sfumato.core.validate import check_float
from sfumato.nn.schedules import first_step
from sfumato.render.layout import choose_base_size, list_rounds, show_whole
from sfumato.render.plan.list_stages import StageUse
from sfumato.render.plan.sizes import check_enlarging
from sfumato.render.stages import Stage

if TYPE_CHECKING:
    from sfumato.core.request import RenderRequest
    from sfumato.models.contract import ModelContract
    from sfumato.render.plan.list_stages import StageList

# What neighbouring windows share where a part is larger than native size.
OVERLAP_FRAC = 0.5
# Red, green and blue of a pixel on disk.
_PIXEL_BYTES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidedMethod(Method):
    """Hold the low band of every prediction to the starting picture by `lock`, 0 (free) to 1 (kept)."""

    kind: ClassVar[str] = "guided"
    lock: float = 0.5

    def __post_init__(self) -> None:
        check_float("the lock of the low band", self.lock, low=0.0, high=1.0)


def list_native_stages(stages: StageList) -> tuple[StageUse, ...]:
    """List the one stage of the method."""
    return (stages.make("native", stages.canvas, stages.cover(stages.canvas)),)


def list_multidiffusion_stages(stages: StageList) -> tuple[StageUse, ...]:
    """List the one stage of the method: windows of native size, or of the size that its settings name."""
    method = stages.request.method
    assert isinstance(method, MultidiffusionMethod), "the row of the method plans its own settings"
    cover = stages.cover(stages.canvas, method.window or stages.contract.native, method.overlap)
    return (stages.make("multidiffusion", stages.canvas, cover),)


def list_guided_stages(stages: StageList) -> tuple[StageUse, ...]:
    """List the one stage of the method: the whole canvas at once, or windows of native size."""
    native, canvas = stages.contract.native, stages.canvas
    is_native = canvas.area <= native.area * DEFAULTS.native_slack
    cover = stages.cover(canvas) if is_native else stages.cover(canvas, native, OVERLAP_FRAC)
    return (stages.make("focus", canvas, cover),)


def settings_of(request: RenderRequest) -> GobigMethod:
    """Return the settings of a request for this method."""
    assert isinstance(request.method, GobigMethod), "the row of the method plans its own settings"
    return request.method


def check_gobig(request: RenderRequest, contract: ModelContract) -> None:
    """Check that there is something to enlarge.

    Raises: as `check_enlarging`.
    """
    check_enlarging(request, contract, strength=settings_of(request).strength, option="`slice_strength`")


def list_gobig_stages(stages: StageList) -> tuple[StageUse, ...]:
    """List the base and the rounds of slices."""
    request, contract, method = stages.request, stages.contract, settings_of(stages.request)
    base = choose_base_size(request.size, contract)
    rounds = list_rounds(base, request.size, method.upscale, contract.factor)
    steps = method.steps or request.steps
    found, below = [stages.make("base", base, stages.cover(base))], show_whole(base)
    for index, each in enumerate(rounds, start=1):
        cover = stages.cover(each.size, contract.native, method.overlap)
        begin, count = first_step(steps, method.strength), cover.count()
        use = stages.make(
            f"round {index} of {len(rounds)}", each.size, cover, first_step=begin, steps=steps, noise_stage=index
        )
        ticks = (steps - begin) * stages.count_calls(count)
        stage = replace(use.stage, ticks=ticks, unit="slice step", taken=each.find_taken(below), shown=each.shown)
        # Every slice is a picture of its own to the autoencoder.
        slice_px = cover.size.to_pixels(contract.factor)
        found.append(replace(use, stage=stage, coded=slice_px, encodes=count, decodes=count, below=below.size))
        below = each
    return tuple(found)


def list_picture_stages(stages: StageList) -> tuple[StageUse, ...]:
    """List the one stage: the picture is laid out; its memory is that of the crops that a pass draws."""
    native, canvas = stages.contract.native, stages.canvas
    stage = Stage(
        name="picture",
        canvas=canvas,
        windows=(native.to_latent(stages.contract.factor).box,),
        window_batch=1,
        overlap_cells=0,
        steps=1,
        first_step=0,
        ticks=1,
        evaluations=0,
    )
    return (
        StageUse(stage=stage, calls=0, coded=native, decodes=0, in_bands=True, work_bytes=canvas.area * _PIXEL_BYTES),
    )


def check_picture(request: RenderRequest, contract: ModelContract) -> None:
    """Check that there is a picture, and that it keeps its size.

    Raises:
        RequestError: it does not.
    """
    del contract
    if not isinstance(request.source, PictureSource) or request.source.size != request.size:
        do = "Leave `size` out; enlarge the picture with sfumato upscale."
        raise RequestError("a picture that is worked on keeps its size", got=str(request.size), do=do)
    if request.focus is None and request.anatomy is None:
        raise RequestError("nothing would be drawn anew", do="Say `focus` auto, or give a `focus_box`.")
