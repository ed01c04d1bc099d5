"""`sfumato render` and `sfumato plan`: parse, plan or run, print.

Imports the workflows only when a command runs. Start reading at `render`.
"""

from __future__ import annotations

import itertools
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.cli.options import UPSCALE_LACKS, PlanOptions, RenderOptions, UpscaleOptions, takes_options
from sfumato.core.escape import escape_controls

if TYPE_CHECKING:
    from sfumato.core.request import RenderRequest
    from sfumato.render.stages import Plan
    from sfumato.workflows.forecast.plan_request import Wishes
    from sfumato.workflows.generate import Generated

OUT_FOLDER = Path("out")
# Characters of the prompt that the name of a file may carry.
_NAME_CHARACTERS = 40
_GB = 1024**3
# About when the process started: libraries that take seconds to import are imported later.
_BEGAN = time.monotonic()


@takes_options(RenderOptions)
def render(options: RenderOptions) -> None:
    """Render a prompt to a picture, with a report beside it."""
    run_request(*_ask(options), as_json=options.json)


def run_request(request: RenderRequest, wishes: Wishes, *, as_json: bool) -> None:
    """Render a request, and print what became of it."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.cli.plan_table import write_cost
    from sfumato.cli.progress import show_progress

    def announce(plan: Plan) -> None:
        line = None if as_json else write_cost(plan, wishes)
        if line is not None:
            sys.stderr.write(f"{line}\n")

    with show_progress(request.batch) as on_progress:
        # The libraries of networks take seconds; by now something says that work has begun.
        from sfumato.workflows.generate import generate

        done = generate(request, wishes, on_progress=on_progress, on_plan=announce)
    for picture in done:
        sys.stderr.writelines(escape_controls(f"warning: {picture.path}: {said}") + "\n" for said in picture.warnings)
    if as_json:
        pictures = [picture.to_json() for picture in done]
        print_json({**pictures[0], "pictures": pictures, "request": request.to_json()})
        return
    for picture in done:
        sys.stdout.write(_describe(picture))


@takes_options(PlanOptions)
def plan(options: PlanOptions) -> None:
    """Say what render would do with the same options: stages, memory, disk, time. Exit 3 if over budget."""
    request, wishes = _ask(options)
    if options.probe:
        from sfumato.workflows.forecast.calibrate import run_probe

        run_probe(request.model, vae=request.vae, device=wishes.device, dtype=wishes.dtype)
    show_plan(request, wishes, as_json=options.json)


def show_plan(request: RenderRequest, wishes: Wishes, *, as_json: bool) -> None:
    """Plan a request, and print the plan."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.cli.plan_table import write_plan
    from sfumato.workflows.forecast.plan_request import plan_request

    made = plan_request(request, wishes)
    if as_json:
        print_json({**made.to_json(), "request": request.to_json()})
    else:
        sys.stdout.write(escape_controls(write_plan(made), keep="\n"))


def _ask(options: RenderOptions) -> tuple[RenderRequest, Wishes]:
    from sfumato.cli.read_options import check_options, make_request, model_of, read_stored
    from sfumato.models.describe import load_contract

    check_options(options)
    stored = read_stored(options)
    vae = options.vae or (stored.vae if stored else None)
    request = make_request(options, stored, load_contract(model_of(options, stored), vae=vae))
    return request, make_wishes(options, request)


def make_wishes(options: RenderOptions, request: RenderRequest, *, words: str | None = None) -> Wishes:
    """Return how to render; a picture without --out is named by its prompt, or by other words."""
    from sfumato.core.settings import load_settings
    from sfumato.workflows.forecast.plan_request import Wishes

    settings, title = load_settings(), request.prompt if words is None else words
    budget_gb = settings.budget_gb if options.budget_gb is None else options.budget_gb
    return Wishes(
        out=options.out or find_free_path(OUT_FOLDER, title, request, resume=options.resume),
        resume=options.resume,
        began=_BEGAN,
        report=not options.no_report,
        # However little was given is a limit; only nothing is none.
        budget_bytes=max(1, round(budget_gb * _GB)) if budget_gb else None,
        device=options.device or settings.device,
        dtype=options.dtype or settings.dtype,
        preview=options.preview,
        preview_every=options.preview_every or Wishes.preview_every,
    )


def find_free_path(folder: Path, title: str, request: RenderRequest, *, resume: bool = False) -> Path:
    """Return a path that tells title and seed, where no picture is that it would replace; with `resume`, that of stopped work.

    Raises:
        RequestError: work was stopped under such names, and none of it is this request.
    """
    from sfumato.canvas.workspace.disk_workspace import find_resumable, name_work
    from sfumato.workflows.files.output_paths import find_stopped, list_paths

    words = re.sub(r"[^a-z0-9]+", "-", title.lower())[:_NAME_CHARACTERS].strip("-") or "picture"
    stem = f"{words}-{request.seed}"
    if resume:
        stopped = find_stopped([_number(folder, stem, count) for count in _list_counts(folder, stem)], request)
        if stopped is not None:
            return stopped
    for count in itertools.count(1):
        path = _number(folder, stem, count)
        places = list_paths(path, request.batch)
        if not any(place.exists() or find_resumable(name_work(place)) for place in places):
            return path
    raise AssertionError("counting has no end")


def _number(folder: Path, stem: str, count: int) -> Path:
    return folder / f"{stem}{f'-{count}' if count > 1 else ''}.png"


def _list_counts(folder: Path, stem: str) -> list[int]:
    """Return every number that the name of a work in a folder may count to; somebody may have removed those before it."""
    names = [path.name.removeprefix(stem) for path in folder.glob(f"{stem}*.work")]
    return sorted({1, *(int(digits) for name in names for digits in re.findall("[0-9]+", name))})


def _describe(picture: Generated) -> str:
    lines = [
        f"picture  {escape_controls(str(picture.path))}  ({picture.plan.size}, seed {picture.seed}, {picture.seconds:.1f} s)"
    ]
    if picture.report_path:
        lines.append(f"report   {escape_controls(str(picture.report_path))}")
    return "\n".join(lines) + "\n"


@takes_options(UpscaleOptions, without=UPSCALE_LACKS)
def upscale(options: UpscaleOptions) -> None:
    """Grow a picture to a larger size, with new detail and a report beside it; --dry-run only says what it would cost."""
    from sfumato.cli.read_options import check_options, make_upscale
    from sfumato.models.describe import load_contract

    check_options(options)
    request = make_upscale(options, load_contract(options.model or "mini", vae=options.vae))
    wishes = make_wishes(options, request, words=f"{options.picture.stem} {request.size}")
    if options.dry_run:
        show_plan(request, wishes, as_json=options.json)
    else:
        run_request(request, wishes, as_json=options.json)
