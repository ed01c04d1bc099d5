"""`sfumato compare`: parse, render by each method, print.

The options of `render` that all methods share. Start reading at `compare`.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from typing import TYPE_CHECKING

from sfumato.cli.options import COMPARE_LACKS, CompareOptions, takes_options
from sfumato.cli.rendering import OUT_FOLDER, find_free_path, make_wishes
from sfumato.core.escape import escape_controls

if TYPE_CHECKING:
    from pathlib import Path

    from sfumato.core.request import RenderRequest
    from sfumato.workflows.compare.compare import Compared


@takes_options(CompareOptions, without=COMPARE_LACKS)
def compare(options: CompareOptions) -> None:
    """Render one prompt by several methods, same seed, steps and base: pictures, one sheet, one page, and a table."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.cli.progress import show_progress
    from sfumato.cli.read_options import check_options, make_request, model_of
    from sfumato.models.describe import load_contract
    from sfumato.workflows.compare.compare import check_resume, list_requests, read_methods
    from sfumato.workflows.compare.compare import compare as run_compare

    names = read_methods(options.methods)
    check_resume(names, resume=options.resume)
    check_options(dataclasses.replace(options, out=None))
    contract = load_contract(model_of(options, None), vae=options.vae)
    request = make_request(options, None, contract)
    list_requests(request, names, contract)
    wishes = dataclasses.replace(
        make_wishes(options, request), out=options.out or _find_folder(request, resume=options.resume)
    )
    with show_progress(len(names)) as on_progress:
        done = run_compare(request, names, wishes, on_progress=on_progress)
    if options.json:
        print_json({**done.to_json(), "request": request.to_json()})
    else:
        sys.stdout.write(escape_controls(_describe(done), keep="\n"))


def _find_folder(request: RenderRequest, *, resume: bool) -> Path:
    """Return a folder that tells prompt and seed, and that nobody has written to; with `resume`, that of stopped work."""
    from sfumato.canvas.workspace.disk_workspace import find_resumable
    from sfumato.workflows.compare.compare import find_work

    first = find_free_path(OUT_FOLDER, f"compare {request.prompt}", request).with_suffix("")
    for count in itertools.count(1):
        path = first if count == 1 else first.with_name(f"{first.name}~{count}")
        if not path.exists() or (resume and find_resumable(find_work(path))):
            return path
    raise AssertionError("counting has no end")


def _describe(done: Compared) -> str:
    from sfumato.core.table import align
    from sfumato.workflows.compare.page import list_rows

    lines = [*align(list_rows(done.made)), "", f"sheet  {done.sheet}", f"page   {done.page}"]
    return "\n".join(lines) + "\n"
