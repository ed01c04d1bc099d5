"""All commands in one place: which exist, and the module each is loaded from when it runs.

A command's module is imported only when its name is on the command line, so help for all of them
costs nothing. To add a command, see docs/howto/add-a-command.md. Start reading at `make_app`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated

import typer
import typer.main

from sfumato.cli import commands, comparing, finding, focusing, parts, rendering, serving
from sfumato.cli.editing import series
from sfumato.core.version import __version__

if TYPE_CHECKING:
    from typer.core import TyperGroup

WORDS = "Large, cohesive pictures with Stable Diffusion checkpoints, or with mini, the small model inside."


@functools.cache
def make_app() -> TyperGroup:
    """Build the application, once for a process: reading the options of 60 commands takes as long as a small render."""
    app = typer.Typer(
        help=WORDS, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
    )
    app.callback()(_main)
    app.command("render")(rendering.render)
    app.command("plan")(rendering.plan)
    app.command("upscale")(rendering.upscale)
    app.command("focus")(focusing.focus)
    app.command("compare")(comparing.compare)
    app.command("series")(series.series)
    app.command("find")(finding.find)
    app.command("check")(finding.check)
    app.command("repair")(focusing.repair)
    app.command("show")(commands.show)
    app.command("sign")(commands.sign)
    app.command("serve")(serving.serve)
    app.command("doctor")(commands.doctor)
    for name, words, group in (parts.GROUP, focusing.LEDGER_GROUP, *commands.GROUPS):
        members = typer.Typer(help=words, no_args_is_help=True)
        if name == "evaluate":
            members.callback()(commands.warn_of_bundle)
        for command, function in group.items():
            members.command(command)(function)
        app.add_typer(members, name=name)
    return typer.main.get_group(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sfumato {__version__}")
        raise typer.Exit


def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Take what stands before the command."""
    del version
