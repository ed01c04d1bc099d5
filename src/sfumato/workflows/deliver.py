"""A drawn picture is checked, saved and reported.

Start reading at `deliver`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from sfumato.canvas.formats.images import file_sha256
from sfumato.canvas.formats.save import save_shown
from sfumato.canvas.overlay import crop_pixels
from sfumato.core.memory import measure_peak_memory
from sfumato.core.metadata.write import WeightDigests, write_metadata
from sfumato.core.request import RenderRequest
from sfumato.render.passes.deep_level import open_deep_level
from sfumato.workflows.job import Picture
from sfumato.workflows.report.check_table import say_left_out
from sfumato.workflows.report.page import Report, write_report
from sfumato.workflows.self_check.judge import say_unjudged

if TYPE_CHECKING:
    from sfumato.critic.picture.checks import Judged
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.passes.focus_outcome import FocusOutcome
    from sfumato.render.progress import RenderResult
    from sfumato.render.stages import Plan
    from sfumato.workflows.repair.run import AnatomyResult
    from sfumato.workflows.safety.check import SafetyVerdict
    from sfumato.workflows.self_check.redraw_faults import Rerun


@dataclass(frozen=True, eq=False, kw_only=True)
class DrawnPicture:
    """Hold a picture that is drawn and checked and not yet saved. Times are on the monotonic clock."""

    request: RenderRequest
    plan: Plan
    digests: WeightDigests
    result: RenderResult
    checks: Judged | None
    reruns: tuple[Rerun, ...]
    focus: tuple[FocusOutcome, ...] = ()
    focus_s: float = 0.0
    anatomy: AnatomyResult | None = None
    anatomy_s: float = 0.0
    safety: SafetyVerdict | None = None
    model: LatentModel
    path: Path | None
    report: bool
    opened_s: float | None
    began_s: float
    drawn_s: float
    checked_s: float


def deliver(drawn: DrawnPicture) -> Picture:
    """Save a picture and its report where it has a path, and return it; without a path it stays in memory.

    Raises:
        StorageError: the disk refuses.
    """
    result = _cut(drawn.result, drawn.request)
    unchecked = "" if drawn.checks else say_unjudged(drawn.result)
    peak = measure_peak_bytes(drawn.model.device)
    picture = Picture(
        request=drawn.request,
        plan=drawn.plan,
        digests=drawn.digests,
        trace=result.trace,
        opened_s=drawn.opened_s,
        peak_bytes=peak,
        # Beside a device with memory of its own.
        host_peak_bytes=measure_peak_memory() if drawn.model.device.type == "cuda" else None,
        checks=drawn.checks,
        unchecked=unchecked,
        reruns=drawn.reruns,
        focus=drawn.focus,
        anatomy=drawn.anatomy,
        safety=drawn.safety,
        warnings=(*(said for said in map(say_left_out, drawn.reruns) if said), *_say_safety(drawn.safety)),
        base=result.base,
    )
    if drawn.path is None:
        return replace(picture, shown=result.picture, seconds=time.monotonic() - drawn.began_s)
    shown, focus = result.shown, drawn.request.focus
    if focus is not None and focus.detail > 1:
        deep = [one.deep for one in drawn.focus if one.deep is not None]
        shown = open_deep_level(result.pixels, deep, focus.detail)
    texts = write_metadata(drawn.request, drawn.digests)
    if drawn.safety is not None:
        texts["parameters"] += f", Safety: {drawn.safety}"
    save_shown(drawn.path, shown, texts)
    page = drawn.path.with_suffix(".html") if drawn.report else None
    if page:
        write_report(page, _make_report(drawn, result, unchecked, peak))
    return replace(
        picture,
        path=drawn.path,
        report_path=page,
        sha256=file_sha256(drawn.path),
        seconds=time.monotonic() - drawn.began_s,
    )


def _say_safety(verdict: SafetyVerdict | None) -> tuple[str, ...]:
    return () if verdict is None or verdict.state == "passed" else (f"safety: {verdict.state}. {verdict.reason}",)


def _make_report(drawn: DrawnPicture, result: RenderResult, unchecked: str, peak: int | None) -> Report:
    assert drawn.path is not None, "a report lies beside a file"
    spent = {} if drawn.opened_s is None else {"open the model": drawn.opened_s}
    spent["save"] = time.monotonic() - drawn.checked_s - drawn.focus_s - drawn.anatomy_s
    if drawn.checks is not None:
        again_s = sum(rerun.seconds for rerun in drawn.reruns)
        spent |= {"self-check": drawn.checked_s - drawn.drawn_s - again_s}
        spent |= {"re-runs": again_s} if drawn.reruns else {}
    spent |= {"focus": drawn.focus_s} if drawn.request.focus else {}
    spent |= {"anatomy": drawn.anatomy_s} if drawn.request.anatomy else {}
    return Report(
        request=drawn.request,
        plan=drawn.plan,
        trace=result.trace,
        picture=result.pixels,
        base=result.base,
        picture_path=drawn.path,
        seconds=spent,
        peak_bytes=peak,
        machine=_describe_machine(drawn.model),
        judged=drawn.checks,
        unjudged=unchecked,
        reruns=drawn.reruns,
        focus=drawn.focus,
        anatomy=drawn.anatomy,
    )


def measure_peak_bytes(device: torch.device) -> int | None:
    """Return the most memory this process has held on a device so far; None where it cannot be told."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return measure_peak_memory() if device.type == "cpu" else None


def _cut(result: RenderResult, request: RenderRequest) -> RenderResult:
    """Return the part of a canvas that the request wants, where the canvas had to be larger."""
    shown = result.shown
    return result if isinstance(shown, Image.Image) else replace(result, shown=crop_pixels(shown, request.size))


def _describe_machine(model: LatentModel) -> str:
    where = (
        torch.cuda.get_device_name(model.device)
        if model.device.type == "cuda"
        else f"{torch.get_num_threads()} CPU threads"
    )
    return f"torch {torch.__version__}, {where}, {str(model.dtype).removeprefix('torch.')}"
