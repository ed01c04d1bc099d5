"""`sfumato compare`: parse, render by each method or model, print.

Start reading at `compare`.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.cli.options import COMPARE_LACKS, CompareOptions, takes_options
from sfumato.core.escape import escape_controls

if TYPE_CHECKING:
    from sfumato.core.request import RenderRequest
    from sfumato.workflows.compare.compare import Comparison
    from sfumato.workflows.job import Event


@takes_options(CompareOptions, without=COMPARE_LACKS)
def compare(options: CompareOptions) -> None:
    """Render one prompt by several methods or with several models: pictures, one sheet, one page, and a table."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.cli.progress import show_progress
    from sfumato.cli.read_options import check_options, make_run_options, read_values
    from sfumato.workflows.compare.compare import check_resume, list_requests

    check_options(dataclasses.replace(options, out=None))
    methods, models = _split(options.methods), _split(options.models)
    values = read_values(options)
    requests = list_requests(values, methods=methods, models=models)
    if options.resume and options.seed is None:
        values = dataclasses.replace(values, seed=_find_stopped_seed(requests))
        requests = list_requests(values, methods=methods, models=models)
    check_resume(requests, resume=options.resume)
    first = next(iter(requests.values()))
    values = dataclasses.replace(values, seed=first.seed)
    out = options.out or _find_folder(first, resume=options.resume)
    with show_progress(len(requests)) as on_progress:
        from sfumato.workflows.compare.compare import run_comparison

        names, place = list(requests), iter(range(len(requests)))
        index = -1

        def hear(event: Event) -> None:
            nonlocal index
            if event.kind == "plan":
                index = next(place)
            elif event.kind == "progress":
                on_progress(dataclasses.replace(event, index=index, pictures=len(names)))

        done = run_comparison(values, make_run_options(options, out), methods=methods, models=models, on_event=hear)
    if options.json:
        print_json({**done.to_json(), "request": done.request.to_json()})
    else:
        sys.stdout.write(escape_controls(_describe(done), keep="\n"))


def _split(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _find_folder(request: RenderRequest, *, resume: bool) -> Path:
    """Return a folder that tells prompt and seed and holds nothing; with `resume`, that of stopped work."""
    from sfumato.canvas.workspace.disk_workspace import find_resumable
    from sfumato.workflows.compare.compare import find_work
    from sfumato.workflows.files.name_output import OUT_FOLDER, find_free_path

    first = find_free_path(OUT_FOLDER, f"compare {request.prompt}", request).with_suffix("")
    for count in itertools.count(1):
        path = first if count == 1 else first.with_name(f"{first.name}~{count}")
        if not path.exists() or (resume and find_resumable(find_work(path))):
            return path
    raise AssertionError("counting has no end")


def _find_stopped_seed(requests: dict[str, RenderRequest]) -> int:
    """Return the seed of the stopped comparison that is to be resumed, or the one drawn now."""
    from sfumato.workflows.compare.compare import find_work
    from sfumato.workflows.files.name_output import OUT_FOLDER
    from sfumato.workflows.prepare import take_stopped_seed

    drawn = next(iter(requests.values())).seed
    for folder in sorted(OUT_FOLDER.glob("compare-*")):
        for request in requests.values():
            found = take_stopped_seed(request, find_work(folder).with_suffix(""))
            if found.seed != drawn:
                return found.seed
    return drawn


def _describe(done: Comparison) -> str:
    from sfumato.core.cards import align
    from sfumato.workflows.compare.compare import PAGE, SHEET
    from sfumato.workflows.compare.page import list_rows

    assert done.folder is not None, "the command writes files"
    lines = [*align(list_rows(done.pictures)), "", f"sheet  {done.folder / SHEET}", f"page   {done.folder / PAGE}"]
    return "\n".join(lines) + "\n"
