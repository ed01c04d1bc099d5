"""A method in one file: draw the left part of the canvas, then mirror it. See docs/howto/add-a-method.md."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import ClassVar

from PIL import Image, ImageOps

from sfumato.core.geometry import PixelSize
from sfumato.core.request import Method
from sfumato.core.validate import check_float
from sfumato.render.methods.native import run_sample
from sfumato.render.progress import RenderResult


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorMethod(Method):
    """Draw the left half of the canvas and mirror it; `wide` is the share of the width that is drawn."""

    kind: ClassVar[str] = "mirror"
    wide: float = 0.5

    def __post_init__(self) -> None:
        check_float("the share that is drawn", self.wide, low=0.1, high=0.5)


def list_mirror_stages(stages):
    """List one stage: the part of the canvas that is drawn."""
    canvas = stages.canvas
    half = PixelSize(round(canvas.width * stages.request.method.wide / 8) * 8, canvas.height)
    return (stages.make("half", half, stages.cover(half)),)


def run_mirror(work, plan, inputs, space, watch) -> Generator[object, None, RenderResult]:
    """Draw the part, and fill the canvas with it and its mirror image."""
    (stage,) = plan.stages
    half = yield from run_sample(replace(work, request=replace(work.request, size=stage.canvas)), stage, inputs, watch)
    watch.close(stage)
    whole = Image.new("RGB", (plan.size.width, plan.size.height))
    for turn, left in enumerate(range(0, whole.width, half.width)):
        whole.paste(ImageOps.mirror(half) if turn % 2 else half, (left, 0))
    return RenderResult(shown=whole, base=None, trace=watch.trace)
