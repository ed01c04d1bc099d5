"""One page that shows a render: the picture, the base it grew from, settings, plan against actual.

A single HTML file without links, scripts or fonts from elsewhere; every text in it is escaped.
Knows no model; it is given values. Start reading at `write_report`, then `_page`; the look is
in `report_style`.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path

from PIL import Image

from sfumato.canvas.pixels import PixelStore, make_small
from sfumato.core.escape import write_command
from sfumato.core.files import write_atomic
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import ImageSource, InpaintSource, PictureSource, RenderRequest
from sfumato.core.resampling import fit_box
from sfumato.core.version import __version__
from sfumato.critic.picture.checks import Judged
from sfumato.render.progress import StageTrace
from sfumato.render.stages import Plan
from sfumato.workflows.files.output_paths import MARK
from sfumato.workflows.forecast.calibration_store import measure_error
from sfumato.workflows.report.check_table import write_checks
from sfumato.workflows.self_check.redraw_faults import Rerun

STYLE = """
:root { color-scheme: light dark; --ink: #22201d; --soft: #6f6a62; --paper: #f7f5f1; --card: #fffdf9; --line: #e3ded5;
  --mark: #a4552f; }
@media (prefers-color-scheme: dark) { :root { --ink: #ece7de; --soft: #a09a8f; --paper: #181715; --card: #211f1c;
  --line: #37332e; --mark: #e08a5b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 20px 60px; }
h1 { font: 600 30px/1.25 Georgia, "Times New Roman", serif; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font: 600 20px/1.3 Georgia, "Times New Roman", serif; margin: 48px 0 14px; }
h3 { font-size: 15px; font-weight: 600; margin: 26px 0 10px; color: var(--soft); }
.negative, .note, figcaption, footer { color: var(--soft); font-size: 14px; overflow-wrap: anywhere; }
figure { margin: 0; }
figcaption { margin-top: 6px; }
img { display: block; width: 100%; height: auto; border-radius: 6px; background: var(--line); }
.hero { margin-top: 22px; }
.hero img { width: auto; max-width: 100%; margin: 0 auto; box-shadow: 0 6px 30px rgb(0 0 0 / .18); }
.hero figcaption { text-align: center; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 1px; margin: 28px 0 0;
  background: var(--line); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.facts div { background: var(--card); padding: 12px 14px; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 2px 0 0; font-size: 18px; font-variant-numeric: tabular-nums; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line);
  font-size: 15px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 8px 12px; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
thead th { color: var(--soft); font-size: 13px; font-weight: 600; }
tr:last-child > * { border-bottom: 0; }
.settings th { width: 22%; color: var(--soft); font-weight: 500; }
.bar { width: 22%; }
.bar i { display: block; height: 9px; min-width: 2px; margin-top: 7px; background: var(--mark); border-radius: 3px; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 12px 14px; overflow-x: auto;
  font: 14px/1.5 ui-monospace, Menlo, Consolas, monospace; }
footer { margin-top: 56px; }
@media (max-width: 640px) { .pair { grid-template-columns: 1fr; } }
"""


# A page is to be mailed: pictures in it are at most this wide, and lossy.
WIDEST_PICTURE_PX = 1600
# A result that shows less than this share of its base says so.
LEAST_SHOWN_FRAC = 0.8
PICTURE_QUALITY = 88
# The detail that is shown pixel by pixel, base beside result.
DETAIL_SIDE_PX = 320


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


def write_report(path: Path, report: Report) -> None:
    """Write the page of a render; it appears whole or not at all.

    Raises:
        StorageError: the disk refuses.
    """
    page = _page(report).encode()
    write_atomic(path, lambda stream: stream.write(page))


def _page(report: Report) -> str:
    parts = [_hero(report), _facts(report), _pair(report), _checks(report)]
    parts += [_stages(report), _settings(report), _again(report)]
    return write_frame(report.request.prompt or "untitled", parts, report.machine)


def write_frame(title: str, parts: list[str], foot: str) -> str:
    """Return a whole page of parts in HTML; empty ones are left out, title and foot are escaped."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"{MARK}\n"
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} · Sfumato</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>Sfumato {escape(__version__)} · {escape(foot)}</footer>\n</main>\n</body>\n</html>\n"
    )


def _hero(report: Report) -> str:
    request = report.request
    negative = f'<p class="negative">without: {escape(request.negative)}</p>' if request.negative else ""
    return (
        f"<header><h1>{escape(request.prompt) or '<em>no prompt</em>'}</h1>{negative}</header>\n"
        f"<figure class=hero>{_image(make_small(report.picture, WIDEST_PICTURE_PX), 'the result')}"
        f"<figcaption>{escape(report.picture_path.name)}, {request.size} px</figcaption></figure>"
    )


def _checks(report: Report) -> str:
    return write_checks(report.judged, report.reruns, unjudged=report.unjudged)


def _facts(report: Report) -> str:
    rendered = sum(stage.seconds for stage in report.trace)
    facts = [
        ("size", f"{report.picture.size.width} × {report.picture.size.height}"),
        ("seed", str(report.request.seed)),
        ("method", report.request.method.kind),
        ("render time", write_time(rendered)),
        ("evaluations, at most", f"{report.plan.evaluations:,}"),
        ("peak memory", write_bytes(report.peak_bytes)),
    ]
    source, canvas = report.request.source, report.plan.canvas
    if canvas != report.picture.size:
        facts.insert(1, ("cut from", f"{canvas.width} × {canvas.height}"))
    if isinstance(source, PictureSource):
        facts.insert(1, ("pixels of the picture", f"× {report.picture.size.area / source.size.area:.1f}"))
    elif report.base is not None:
        times = report.picture.size.area / (report.base.width * report.base.height)
        facts.insert(1, ("pixels of the base", f"× {times:.1f}"))
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f"<dl class=facts>{cells}</dl>"


def _pair(report: Report) -> str:
    if report.base is None:
        return ""
    box = _detail_box(report.picture.size)
    enlarged = _enlarge_part(report.base, report.plan.canvas, box)
    detail = Image.fromarray(report.picture.read(box))
    size = f"{report.base.width} × {report.base.height}"
    given = isinstance(report.request.source, PictureSource)
    words = (
        f"The given picture, at {size}"
        if given
        else f"The base, {size}: rendered at about the native size of the model{_say_part(report)}"
    )
    return (
        "<section><h2>From the base to the result</h2><div class=pair>"
        f"{write_figure(report.base, words)}"
        f"{write_figure(make_small(report.picture, WIDEST_PICTURE_PX), 'The result, at the same width')}</div>"
        "<h3>The middle, pixel by pixel</h3><div class=pair>"
        f"{write_figure(enlarged, 'The same, only enlarged (Lanczos)' if given else 'The base, only enlarged (Lanczos)')}"
        f"{write_figure(detail, 'The result')}</div></section>"
    )


def _say_part(report: Report) -> str:
    """Say what the result shows of its base where that is much less than all of it: of a strip."""
    assert report.base is not None, "only a base is shown in part"
    base = PixelSize(*report.base.size)
    left, top, right, bottom = fit_box(base, report.plan.canvas)
    if (right - left) * (bottom - top) >= LEAST_SHOWN_FRAC * base.area:
        return ""
    return f"; the result shows the middle {right - left:.0f} × {bottom - top:.0f} of it"


def _stages(report: Report) -> str:
    longest = max([stage.seconds for stage in report.trace] + [1e-9])
    rows = "".join(_stage_row(stage, longest) for stage in report.trace)
    other = "".join(
        f"<tr><td>{escape(name)}</td><td></td><td></td><td></td><td></td><td>{write_time(took)}</td><td></td></tr>"
        for name, took in report.seconds.items()
    )
    planned = {"probe": "a probe of this machine", "measured": "the pace of earlier renders", "guess": "a guess"}
    note = f"Planned times come from {planned[report.plan.basis]}. {_compare(report)}"
    return (
        "<section><h2>Plan and actual</h2><div class=scroll><table><thead><tr><th>stage<th>canvas<th>steps"
        "<th>evaluations, at most<th>planned<th>took<th></tr></thead>"
        f"<tbody>{rows}{other}</tbody></table></div>"
        f"<p class=note>{escape(note)}</p></section>"
    )


def _compare(report: Report) -> str:
    """Say how far the plan was off, and how many windows memory allowed in one call."""
    took = sum(stage.seconds for stage in report.trace)
    plan, peak = report.plan, report.peak_bytes
    memory = f"planned {write_bytes(plan.memory_bytes)}, peak {write_bytes(peak)}{_off(plan.memory_bytes, peak)}"
    # What an earlier run did took no time here.
    off = "" if any(stage.is_resumed for stage in report.trace) else _off(plan.seconds, took)
    stages = f"planned {write_time(plan.seconds)}, took {write_time(took)}{off}"
    return f"Stages: {stages}. Memory: {memory}. At most {plan.window_batch} windows in one call."


def _off(planned: float, actual: float | None) -> str:
    error = measure_error(planned, actual)
    return "" if error is None else f" ({error:+.0%})"


def _stage_row(stage: StageTrace, longest: float) -> str:
    share = 100.0 * stage.seconds / longest
    return (
        f"<tr><td>{escape(stage.name)}</td><td>{escape(stage.size)}</td><td>{stage.steps}</td>"
        f"<td>{stage.evaluations:,}</td><td>{write_time(stage.planned_s)}</td><td>{write_time(stage.seconds)}</td>"
        f'<td class=bar><i style="width:{share:.1f}%"></i></td></tr>'
    )


def _settings(report: Report) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in list_settings(report.request)
    )
    return f"<section><h2>Settings</h2><table class=settings>{rows}</table></section>"


def list_settings(request: RenderRequest) -> list[tuple[str, str]]:
    """List the settings of a request that a reader of a page wants to see, as (name, value)."""
    rows = [
        ("model", request.model),
        ("vae", request.vae or ""),
        ("sampler", f"{request.sampler}, {request.schedule}, {request.steps} steps"),
        ("guidance", f"{request.guidance:g}" + _also(" rescaled by ", request.guidance_rescale)),
        ("clip skip", str(request.clip_skip) if request.clip_skip > 1 else ""),
        ("LoRA", ", ".join(f"{lora.path} : {lora.weight:g}" for lora in request.loras)),
        ("embeddings", ", ".join(request.embeddings)),
        ("source", _source(request)),
        ("method", _method(request)),
        ("request", request.request_hash()),
    ]
    return [(name, value) for name, value in rows if value]


def _source(request: RenderRequest) -> str:
    source = request.source
    if isinstance(source, ImageSource):
        return f"{source.path} at strength {source.strength:g}"
    if isinstance(source, InpaintSource):
        return f"{source.path} inside {source.mask} at strength {source.strength:g}"
    if isinstance(source, PictureSource):
        return f"{source.path}, {source.size} px, grown as it is"
    return ""


def _method(request: RenderRequest) -> str:
    """Return the name of the method and its settings."""
    method = request.method
    named = [(field.name, getattr(method, field.name)) for field in fields(method)]
    said = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in named]
    return f"{method.kind}: {', '.join(said)}" if said else method.kind


def _again(report: Report) -> str:
    # The same format: bytes are promised within one.
    again = f"again{report.picture_path.suffix}"
    command = write_command("sfumato", "render", "--from", Path(report.picture_path.name), "--out", again)
    return (
        f"<section><h2>Render it again</h2><pre>{escape(command)}</pre>"
        "<p class=note>The picture carries its whole request; with the same weights this gives the same bytes.</p>"
        "</section>"
    )


def write_figure(picture: Image.Image, caption: str) -> str:
    """Return a picture with a caption, as HTML."""
    return f"<figure>{_image(picture, caption)}<figcaption>{escape(caption)}</figcaption></figure>"


def _image(picture: Image.Image, words: str) -> str:
    shown = picture
    if picture.width > WIDEST_PICTURE_PX:
        height = max(1, round(picture.height * WIDEST_PICTURE_PX / picture.width))
        shown = picture.resize((WIDEST_PICTURE_PX, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    shown.save(stream, format="WEBP", quality=PICTURE_QUALITY)
    text = base64.b64encode(stream.getvalue()).decode()
    size = f'width="{shown.width}" height="{shown.height}"'
    return f'<img src="data:image/webp;base64,{text}" alt="{escape(words)}" {size}>'


def _detail_box(size: PixelSize) -> PixelBox:
    width, height = (min(side, DETAIL_SIDE_PX) for side in (size.width, size.height))
    left, top = (size.width - width) // 2, (size.height - height) // 2
    return PixelBox(left, top, left + width, top + height)


def _enlarge_part(base: Image.Image, size: PixelSize, box: PixelBox) -> Image.Image:
    """Return a box of the base as it would be enlarged to a size that shows its middle."""
    shown = fit_box(PixelSize(*base.size), size)
    across, down = (shown[2] - shown[0]) / size.width, (shown[3] - shown[1]) / size.height
    first = (shown[0] + box.left * across, shown[1] + box.top * down)
    part = (*first, min(shown[2], first[0] + box.width * across), min(shown[3], first[1] + box.height * down))
    return base.resize((box.width, box.height), Image.Resampling.LANCZOS, box=part)


def _also(words: str, value: float) -> str:
    return f"{words}{value:g}" if value else ""


def write_time(seconds: float) -> str:
    """Write a duration the way people read it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def write_bytes(count: int | None) -> str:
    """Write memory in GiB, or that it was not measured."""
    return "not measured" if count is None else f"{count / 1024**3:.2f} GiB"
