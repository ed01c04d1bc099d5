"""`sfumato series`: many pictures of one wish, with a sheet.

Start reading at `series`.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli.options import RenderOptions, takes_options
from sfumato.core.errors import RequestError
from sfumato.core.escape import escape_controls

if TYPE_CHECKING:
    from sfumato.workflows.job import Event
    from sfumato.workflows.series.series import SeriesPlan

_PANEL = "What varies"
_LACKS = frozenset({"batch", "source", "resume", "preview", "preview_every"})


@dataclass(frozen=True, kw_only=True)
class SeriesOptions(RenderOptions):
    """Hold what was typed after `series`."""

    axis: Annotated[
        list[str] | None,
        typer.Option(
            "--axis",
            help="A setting and its values, steps=10,20 or seed=1-4 or prompt_replace=dog,cat; up to three times.",
            metavar="NAME=VALUES",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    matrix: Annotated[
        bool,
        typer.Option(
            "--matrix",
            help='Every combination of the parts of the prompt behind a bar: "a castle|snow|at night".',
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = False
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts", help="A file with a prompt a line.", metavar="FILE", show_default=False, rich_help_panel=_PANEL
        ),
    ] = None
    init_folder: Annotated[
        Path | None,
        typer.Option(
            "--init-folder",
            help="Start from each picture of a folder.",
            metavar="DIR",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None


@takes_options(SeriesOptions, without=_LACKS)
def series(options: SeriesOptions) -> None:
    """Render a grid over settings, a prompt matrix, a file of prompts, or each picture of a folder; with one sheet."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.cli.progress import show_progress
    from sfumato.cli.read_options import check_options, make_run_options, read_values
    from sfumato.workflows.series.series import SHEET, list_series

    check_options(dataclasses.replace(options, out=None))
    plan = _read_plan(options)
    values = read_values(options)
    variants = list_series(values, plan)
    values = dataclasses.replace(values, seed=variants[0].settings["seed"] if values.seed is None else values.seed)
    out = options.out or _find_folder(options.prompt or "series")
    if out.suffix:
        raise RequestError("`out` of a series is a folder", got=str(out), do="Name a folder.")
    with show_progress(len(variants)) as on_progress:
        from sfumato.workflows.series.series import run_series

        place, index = itertools.count(), -1

        def hear(event: Event) -> None:
            nonlocal index
            if event.kind == "plan":
                index = next(place)
            elif event.kind == "progress":
                on_progress(dataclasses.replace(event, index=index, pictures=len(variants)))

        done = run_series(values, plan, make_run_options(options, out), on_event=hear)
    if options.json:
        print_json(done.to_json())
        return
    lines = [
        f"{one.path}  {', '.join(variant.labels)}" for one, variant in zip(done.pictures, done.variants, strict=True)
    ]
    sys.stdout.write(escape_controls("\n".join([*lines, f"sheet  {out / SHEET}"]), keep="\n") + "\n")


def _read_plan(options: SeriesOptions) -> SeriesPlan:
    from sfumato.workflows.series.axes import GridAxis
    from sfumato.workflows.series.series import LONGEST_PROMPTS_BYTES, SeriesPlan

    text = None
    if options.prompts is not None:
        try:
            if options.prompts.stat().st_size > LONGEST_PROMPTS_BYTES:
                raise RequestError(
                    "the file of `prompts` is too large", got=str(options.prompts), do="Keep it below 1 MB."
                )
            text = options.prompts.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError("the file of `prompts` cannot be read", got=str(options.prompts)) from error
    return SeriesPlan(
        axes=tuple(GridAxis.parse(one) for one in options.axis or ()),
        matrix=options.matrix,
        prompts=text,
        inits=options.init_folder,
    )


def _find_folder(title: str) -> Path:
    """Return a folder that does not exist yet."""
    from sfumato.workflows.files.name_output import OUT_FOLDER, make_stem

    stem = f"series-{make_stem(title)}"
    for count in itertools.count(1):
        path = OUT_FOLDER / (stem if count == 1 else f"{stem}~{count}")
        if not path.exists():
            return path
    raise AssertionError("counting has no end")
