"""What was typed becomes values: names of options, files and numbers are checked, nothing is decided.

Start reading at `read_values`.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.cli.options import RenderOptions
from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import RequestError
from sfumato.core.escape import escape_controls
from sfumato.core.files import check_path
from sfumato.core.settings import LARGEST_BUDGET_GB

if TYPE_CHECKING:
    from sfumato.core.request import RenderRequest
    from sfumato.workflows.run_options import RunOptions
    from sfumato.workflows.values import RequestValues

_GB = 1024**3
# About when the process started: libraries that take seconds to import are imported later.
STARTED_S = time.monotonic()
# Options whose name differs from the setting's.
_RENAMED = {
    "lora": "loras",
    "embedding": "embeddings",
    "concept": "concepts",
    "focus_box": "focus_boxes",
    "box": "hand_boxes",
    "style": "styles",
    "region": "regions",
    "control": "controls",
}
PREVIEW_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
OUT_SUFFIXES = (*PREVIEW_SUFFIXES, ".tif", ".tiff", ".dzi")


def check_options(options: RenderOptions) -> None:
    """Check what needs no model: names of files, options that need another.

    Raises:
        RequestError: says what to use instead.
    """
    if options.out is not None:
        check_path(options.out, what="the picture")
    if options.out is not None and options.out.suffix and not options.out.is_dir():
        _check_suffix("out", options.out, OUT_SUFFIXES)
    if options.preview is not None:
        check_path(options.preview, what="the preview")
        _check_suffix("preview", options.preview, PREVIEW_SUFFIXES)
    if options.preview is None and options.preview_every is not None:
        raise RequestError("`preview_every` has no effect without `preview`", do="Add a `preview` file.")
    if options.preview_every is not None and options.preview_every < 1:
        raise RequestError("`preview_every` is at least 1", got=options.preview_every, do="Give a number of steps.")
    if options.budget_gb is not None and not 0.0 < options.budget_gb <= LARGEST_BUDGET_GB:
        what = f"`budget_gb` is a number above 0, at most {LARGEST_BUDGET_GB:g}"
        raise RequestError(what, got=options.budget_gb, do="Give gigabytes, like 4.")


def read_values(options: RenderOptions) -> RequestValues:
    """Return the values of the options that say something of the picture."""
    from sfumato.workflows.values import RequestValues

    known = {field.name for field in dataclasses.fields(RequestValues)}
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        name, value = _RENAMED.get(field.name, field.name), getattr(options, field.name)
        if name in known and value is not None:
            values[name] = tuple(value) if isinstance(value, list) else value
    values["seed"] = read_seed(options.seed)
    return RequestValues(**values)


def read_seed(text: str | None) -> int | Any | None:
    """Return the seed that was typed: a number, "random", or None.

    Raises:
        RequestError: it is something else.
    """
    if text is None or text == DEFAULTS.seed:
        return text
    # Other tools write -1 for a random seed.
    if text == "-1":
        return DEFAULTS.seed
    if not text.isdecimal():
        raise RequestError("`seed` is a whole number or random", got=text)
    return int(text)


def make_request(options: RenderOptions) -> RenderRequest:
    """Build the request of the options of `render` or `plan`.

    Raises:
        RequestError: as `workflows.requests.make_request`.
    """
    from sfumato.models.describe import load_contract
    from sfumato.workflows.requests import make_request as make
    from sfumato.workflows.stored import read_stored

    values, stored = read_values(options), None
    if options.source is not None:
        stored, values, left = read_stored(options.source, values)
        sys.stderr.writelines(escape_controls(f"not honoured: {said}") + "\n" for said in left)
    model = values.model or (stored.model if stored else DEFAULTS.model)
    vae = values.vae or (stored.vae if stored else None)
    prediction = values.prediction or (stored.prediction if stored else None)
    contract = load_contract(model, vae=vae, prediction=prediction)
    request = make(values, contract, stored=stored)
    # What is named now is stronger than what a stored picture was computed with.
    return dataclasses.replace(request, arithmetic=None) if options.dtype else request


def make_run_options(options: RenderOptions, out: Path | None) -> RunOptions:
    """Return how to run."""
    from sfumato.core.settings import load_settings
    from sfumato.workflows.run_options import RunOptions

    settings = load_settings()
    budget_gb = settings.budget_gb if options.budget_gb is None else options.budget_gb
    return RunOptions(
        out=out,
        resume=options.resume,
        started_s=STARTED_S,
        report=not options.no_report,
        # However little was allowed is a limit; only nothing is none.
        budget_bytes=max(1, round(budget_gb * _GB)) if budget_gb else None,
        device=options.device or settings.device,
        dtype=options.dtype or settings.dtype,
        preview=options.preview,
        preview_every=options.preview_every or DEFAULTS.preview_every,
    )


def place_output(options: RenderOptions, request: RenderRequest, title: str) -> tuple[RenderRequest, RunOptions]:
    """Choose the output file of a request, and take the seed of the stopped work that it resumes.

    Raises:
        RequestError: work was stopped under such names, and none of it is this request.
    """
    from sfumato.workflows.files.name_output import OUT_FOLDER, find_free_path, is_folder
    from sfumato.workflows.prepare import take_stopped_seed

    out = options.out or OUT_FOLDER
    if options.resume and options.seed is None and options.source is None:
        request = take_stopped_seed(request, out)
    if is_folder(out):
        out = find_free_path(out, title, request, resume=options.resume)
    return request, make_run_options(options, out)


def _check_suffix(setting: str, path: Path, suffixes: tuple[str, ...]) -> None:
    if path.suffix.lower() not in suffixes:
        do = f"Use {', '.join(suffixes[:-1])} or {suffixes[-1]}."
        raise RequestError(f"`{setting}` names no picture format", got=str(path), do=do)
