"""One page that shows a render: the picture and its base, the self-check, the command, plan and actual time.

A single HTML file; `frame` holds its look and what may run in it. Knows no model: it gets values. Start reading at
`write_report`, then `_page`.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image

from sfumato.canvas.pixels import PixelStore
from sfumato.core.files import write_atomic
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import PictureMethod, PictureSource, RenderRequest
from sfumato.core.resampling import fit_box
from sfumato.critic.picture.checks import Judged
from sfumato.render.passes.focus_outcome import FocusOutcome
from sfumato.render.progress import StageTrace
from sfumato.render.stages import Plan
from sfumato.workflows.repair.run import AnatomyResult
from sfumato.workflows.report.before_after import View, write_crops, write_view
from sfumato.workflows.report.check_table import write_checks
from sfumato.workflows.report.commands import list_settings, write_command, write_repeat_command
from sfumato.workflows.report.focus_table import write_anatomy, write_focus
from sfumato.workflows.report.frame import (
    write_bytes,
    write_copy_text,
    write_figure,
    write_frame,
    write_heading,
    write_time,
)
from sfumato.workflows.self_check.redraw_faults import Rerun

# A result that shows less than this share of its base says so.
LEAST_SHOWN_FRAC = 0.8
_BASIS = {"probe": "a probe of this machine", "measured": "the pace of earlier renders", "guess": "a guess"}
_SPENT = {"re-runs": "redraw what the self-check found"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Report:
    """Hold what a page shows. `seconds` names what was spent outside the stages (load, save)."""

    request: RenderRequest
    plan: Plan
    trace: tuple[StageTrace, ...]
    picture: PixelStore
    base: Image.Image | None
    picture_path: Path
    seconds: dict[str, float]
    peak_bytes: int | None
    machine: str
    judged: Judged | None = None
    reruns: tuple[Rerun, ...] = ()
    unjudged: str = ""
    focus: tuple[FocusOutcome, ...] = ()
    anatomy: AnatomyResult | None = None


def write_report(path: Path, report: Report) -> None:
    """Write the page of a render; it appears whole or not at all.

    Raises:
        StorageError: the disk refuses.
    """
    # A file name that is no text has characters that UTF-8 cannot hold.
    page = _page(report).encode("utf-8", "replace")
    write_atomic(path, lambda stream: stream.write(page))


def _page(report: Report) -> str:
    request = report.request
    view = View(
        picture=report.picture,
        base=report.base,
        canvas=report.plan.canvas,
        name=report.picture_path.name,
        marks=tuple(PixelBox(*blob.box) for blob in (report.judged.added_objects if report.judged else ())),
        is_photo=isinstance(request.source, PictureSource),
    )
    parts = [
        write_heading(request.prompt, request.negative),
        write_view(view),
        _facts(report),
        write_checks(report.judged, report.reruns, unjudged=report.unjudged),
        write_focus(report.focus),
        write_anatomy(report.anatomy),
        write_crops(view),
        _again(report),
        _stages(report),
        _base(report),
    ]
    return write_frame(request.prompt or "untitled", parts, report.machine)


def _facts(report: Report) -> str:
    picture, canvas, source = report.picture.size, report.plan.canvas, report.request.source
    facts = [("Size", f"{picture.width} × {picture.height} px")]
    if canvas != picture and report.request.method.kind != PictureMethod.kind:
        facts.append(("Cut from", f"{canvas.width} × {canvas.height} px"))
    if isinstance(source, PictureSource):
        if source.size != picture:
            facts.append(("Larger than your picture", f"{picture.area / source.size.area:.1f} times"))
    elif report.base is not None:
        times = picture.area / (report.base.width * report.base.height)
        facts.append(("Larger than the base", f"{times:.1f} times"))
    facts += [
        ("Seed", str(report.request.seed)),
        ("Method", report.request.method.kind),
        ("Drawn in", write_time(sum(stage.seconds for stage in report.trace))),
        ("Memory used", write_bytes(report.peak_bytes)),
    ]
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f"<dl class=facts>{cells}</dl>"


def _again(report: Report) -> str:
    request = report.request
    parts = ["<section><h2>Make it again</h2>", write_copy_text(write_repeat_command(report.picture_path))]
    parts.append(
        "<p class=note>This command works in any folder while the picture stays where it is. "
        "The picture stores all its settings, and the same weights give the same bytes.</p>"
    )
    command = write_command(request)
    if command is not None:
        parts += ["<h3>With the settings written out</h3>", write_copy_text(command)]
    if request.prompt:
        parts += ["<h3>The prompt</h3>", write_copy_text(request.prompt)]
    if request.negative:
        parts += ["<h3>What to leave out</h3>", write_copy_text(request.negative)]
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in list_settings(request)
    )
    parts.append(f"<details><summary>All settings</summary><table class=settings>{rows}</table></details></section>")
    return "".join(parts)


def _base(report: Report) -> str:
    """Return the base at its own size; nothing where there is none, or where it is a picture of the user."""
    if report.base is None or isinstance(report.request.source, PictureSource):
        return ""
    words = f"The base, {report.base.width} × {report.base.height} px: what the model draws at once{_say_part(report.base, report.plan)}"
    return f"<section><h2>The base</h2><div class=base>{write_figure(report.base, words)}</div></section>"


def _say_part(picture: Image.Image, plan: Plan) -> str:
    """Say what the result shows of its base where that is much less than all of it: of a strip."""
    base = PixelSize(*picture.size)
    left, top, right, bottom = fit_box(base, plan.canvas)
    if (right - left) * (bottom - top) >= LEAST_SHOWN_FRAC * base.area:
        return ""
    return f"; the result shows the middle {right - left:.0f} × {bottom - top:.0f} of it"


def _stages(report: Report) -> str:
    longest = max([1e-9, *(max(stage.seconds, stage.planned_s) for stage in report.trace)])
    head = (
        "<th>Stage<th class=minor>Size<th class=minor>Steps<th class=minor>Model calls, at most<th class=short>Planned"
        "<th class=short>Took<th class=bar>"
    )
    rows = "".join(_stage_row(stage, longest) for stage in report.trace)
    rows += "".join(
        f"<tr><td>{escape(_SPENT.get(name, name))}</td>{'<td class=minor></td>' * 3}<td></td>"
        f"<td class=short>{write_time(took)}</td><td></td></tr>"
        for name, took in report.seconds.items()
    )
    lines = "".join(f"<p class=note>{escape(line)}</p>" for line in _list_notes(report))
    return (
        f"<section><h2>Time and memory</h2><div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
        "</table></div><p class=note><i class='key planned'></i>planned<i class='key took'></i>took</p>"
        f"{lines}</section>"
    )


def _stage_row(stage: StageTrace, longest: float) -> str:
    return (
        f"<tr><td>{escape(stage.name)}</td><td class=minor>{escape(stage.size.replace('x', ' × '))}</td><td class=minor>{stage.steps}</td>"
        f"<td class=minor>{stage.evaluations:,}</td><td class=short>{write_time(stage.planned_s)}</td>"
        f"<td class=short>{write_time(stage.seconds)}</td>{_bar(stage.planned_s, stage.seconds, longest)}</tr>"
    )


def _bar(planned_s: float, took_s: float, longest_s: float) -> str:
    """Draw what was planned above what was taken."""
    # Attributes, not styles: the rules of the page allow no inline style.
    return (
        "<td class=bar><svg viewBox='0 0 100 16' preserveAspectRatio=none aria-hidden=true>"
        f"{_rect('planned', planned_s / longest_s, top=0)}{_rect('took', took_s / longest_s, top=8)}</svg></td>"
    )


def _rect(name: str, share: float, *, top: int) -> str:
    return f"<rect class={name} x=0 y={top} width={max(0.5, 100.0 * share):.1f} height=6 />"


def _list_notes(report: Report) -> list[str]:
    """Say how far the plan was off."""
    took = sum(stage.seconds for stage in report.trace)
    plan, peak = report.plan, report.peak_bytes
    # What an earlier run did took no time here.
    off = "" if any(stage.is_resumed for stage in report.trace) else _off(plan.seconds, took)
    times = f"All stages: planned {write_time(plan.seconds)}, took {write_time(took)}{off}."
    memory = f"planned {write_bytes(plan.memory_bytes)}, used {write_bytes(peak)}{_off(plan.memory_bytes, peak)}"
    return [
        f"Planned times come from {_BASIS[plan.basis]}. {times}",
        f"Memory: {memory}. One model call draws up to {plan.window_batch} tiles.",
    ]


def _off(planned: float, actual: float | None) -> str:
    if not planned or not actual:
        return ""
    more = actual / planned - 1.0
    return f" ({abs(more):.0%} {'more' if more > 0 else 'less'} than planned)"
