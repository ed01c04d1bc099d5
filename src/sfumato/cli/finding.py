"""`sfumato find`: parse, find, draw, print.

Imports the workflow only when the command runs. Start reading at `find`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.commands import Json
from sfumato.core.escape import escape_controls


def find(
    picture: Annotated[Path, typer.Argument(help="A photograph, a render, or a picture of mini.", metavar="PICTURE")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Where a marked copy goes: .png, .jpg or .webp.", metavar="FILE", show_default=False
        ),
    ] = None,
    kinds: Annotated[
        str, typer.Option("--kinds", help="Only these kinds, as face,hand.", metavar="KIND,KIND", show_default=False)
    ] = "",
    by: Annotated[
        str, typer.Option("--by", help="Only this finder: faces, hands or drawn.", metavar="NAME", show_default=False)
    ] = "",
    json: Json = False,
) -> None:
    """Find faces, eyes, mouths, hands and people in a picture.

    Photographs and renders of checkpoints need parts: fetch them once with `sfumato parts get`. Pictures that mini
    drew are looked at by the detector that ships with it too.
    """
    from sfumato.cli.exit_codes import print_json
    from sfumato.core.errors import RequestError
    from sfumato.core.files import open_regular

    # Refused before the libraries of networks are imported, which takes seconds.
    with open_regular(picture, what="the picture"):
        if out is not None and out.exists() and out.samefile(picture):
            raise RequestError("the marked copy would replace the picture", got=str(out), do="Name another `out`.")
    if out is not None:
        from sfumato.workflows.find.mark import check_suffix

        check_suffix(out)
    from sfumato.workflows.find.find import find_things, open_store

    named = [kind for kind in kinds.split(",") if kind.strip()]
    done = find_things(picture, kinds=named, by=by)
    if done.missing:
        sys.stderr.write(f"warning: not all finders looked; fetch once: sfumato parts get {' '.join(done.missing)}\n")
    if out is not None:
        from sfumato.workflows.find.mark import save_marks

        save_marks(out, open_store(picture), done.found)
    if json:
        print_json({**done.to_json(), "marked": None if out is None else str(out)})
        return
    for one in done.found:
        box = one.box
        sys.stdout.write(
            f"{one.kind:<6}  {one.confidence:.2f}  {box.left},{box.top},{box.width},{box.height}  {one.by}\n"
        )
    if not done.found:
        sys.stdout.write(f"nothing found by {', '.join(done.by)}\n")
    if out is not None:
        sys.stdout.write(escape_controls(f"marked  {out}") + "\n")
