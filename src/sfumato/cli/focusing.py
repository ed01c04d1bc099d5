"""`sfumato focus`: parts of a picture are drawn anew at the model's native size, the rest stays to the bit.

Imports the workflows only when the command runs. Start reading at `focus`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli.options import UPSCALE_LACKS, RenderOptions, takes_options
from sfumato.cli.rendering import run_request, show_plan
from sfumato.core.errors import RequestError
from sfumato.core.escape import escape_controls

if TYPE_CHECKING:
    from sfumato.core.request import RenderRequest


@dataclass(frozen=True, kw_only=True)
class FocusOptions(RenderOptions):
    """Hold what was typed after `focus`; what makes or sizes a picture stays None."""

    picture: Annotated[Path, typer.Argument(help="The picture.", metavar="PICTURE", show_default=False)]
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            help="What the picture shows; left out: as stored in the picture.",
            metavar="TEXT",
            show_default=False,
            rich_help_panel="The picture",
        ),
    ] = None
    focus_detail: Annotated[
        int | None,
        typer.Option(
            "--focus-detail",
            help="2, 4 or 8: write a .dzi or .tif so many times as large, in which parts keep all detail.",
            metavar="N",
            show_default=False,
            rich_help_panel="The picture",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="List every part, why it is taken or left, and what it costs.",
            rich_help_panel="Running",
            show_default=False,
        ),
    ] = False


FOCUS_LACKS = UPSCALE_LACKS.union(
    ("size", "batch", "method", "upscaler", "overlap", "level_strength", "lock", "detail")
)


@takes_options(FocusOptions, without=FOCUS_LACKS)
def focus(options: FocusOptions) -> None:
    """Draw small faces, people or boxes of a picture anew at native size; what does not fit is dropped.

    Prompt, model and steps come from the picture where it carries them; options change them. --focus names kinds
    (default auto), --focus-box boxes. Outside the parts no pixel changes.
    """
    from sfumato.cli.read_options import check_options, place_output

    check_options(options)
    request = _make_request(options)
    request, run_options = place_output(options, request, f"{options.picture.stem} focus")
    if options.dry_run:
        show_plan(request, run_options, as_json=options.json)
    else:
        run_request(request, run_options, as_json=options.json)


def _make_request(options: FocusOptions) -> RenderRequest:
    from sfumato.canvas.formats.images import read_texts
    from sfumato.cli.read_options import read_values
    from sfumato.models.describe import load_contract
    from sfumato.workflows.requests import make_focus_request
    from sfumato.workflows.stored import read_stored

    values, stored = read_values(options), None
    if not options.picture.is_file():
        raise RequestError("there is no such picture", got=str(options.picture), do="Give a .png, .jpg, .webp or .tif.")
    texts = read_texts(options.picture)
    if "sfumato" in texts or "parameters" in texts:
        try:
            stored, values, left = read_stored(options.picture, values)
        except RequestError:
            # Enlarged without a model, or by another version: the picture is there all the same.
            left = ("what the picture says of how it was made",)
        sys.stderr.writelines(escape_controls(f"not honoured: {said}") + "\n" for said in left)
    model = values.model or (stored.model if stored else None)
    if model is None:
        do = "Name your checkpoint, or `model` mini for pictures of its own small world."
        raise RequestError("focus needs a `model` that knows what the picture shows", do=do)
    contract = load_contract(model, vae=values.vae or (stored.vae if stored else None), prediction=values.prediction)
    return make_focus_request(replace(values, model=model), options.picture, contract, stored=stored)
