"""Write the reference pages from the code: `python -m sfumato.cli.reference` (`make docs`).

One page each for settings, errors and the command line; a guard compares them with what stands in
docs/reference/. Knows the tables, not what is in them. Start reading at `make_pages`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.core import TyperArgument

from sfumato.cli.app import make_app
from sfumato.core import errors
from sfumato.core.settings import PREFIX, Row, Settings, find_row

FOLDER = Path("docs/reference")
NOTE = "<!-- Written by `make docs` from the code; edits are lost. -->\n"


def main() -> None:
    """Write the pages into the folder docs/reference/ of the working directory."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in make_pages().items():
        (FOLDER / name).write_text(text)


def make_pages() -> dict[str, str]:
    """Return every page by its file name."""
    return {"settings.md": write_settings(), "errors.md": write_errors(), "cli.md": write_commands()}


def write_settings() -> str:
    """Write the page of settings."""
    rows = [
        [
            f"`{PREFIX}{field.name.upper()}`",
            type(field.default).__name__,
            _default(field.default),
            _range(row),
            row.words,
        ]
        for field in dataclasses.fields(Settings)
        for row in [find_row(field.name)]
    ]
    head = "What may differ between machines without changing what a request means. A misspelt name is an error."
    return _page("Settings", head, _table(["variable", "type", "default", "allowed", "what"], rows))


def write_errors() -> str:
    """Write the page of errors."""
    kinds = sorted(errors.SfumatoError.__subclasses__(), key=lambda kind: (kind.exit_code, kind.kind))
    rows = [[str(kind.exit_code), f"`{kind.kind}`", f"`{kind.__name__}`", inspect.getdoc(kind) or ""] for kind in kinds]
    head = (
        "Everything that a caller can cause has three parts: what is wrong, what was received, what to do. "
        'With `--json` it is printed as `{"error": kind, "what": …, "got": …, "do": …}`. Exit code 0 is done, '
        "1 is a defect of sfumato itself."
    )
    return _page("Errors", head, _table(["exit code", "kind", "class", "meaning"], rows))


def write_commands() -> str:
    """Write the page of commands with their options."""
    parts = [_command_section(path, command) for path, command in _walk(make_app(), "sfumato")]
    head = "Every command sets nothing but its own options; `--help` prints the same words in the terminal."
    return _page("Command line", head, "\n\n".join(parts) + "\n")


def _walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in sorted(children):
        yield from _walk(children[name], f"{path} {name}")


def _command_section(path: str, command: Any) -> str:
    words = inspect.cleandoc(command.help or "")
    shown = [parameter for parameter in command.params if not parameter.hidden]
    names = [_name(parameter) for parameter in shown if isinstance(parameter, TyperArgument)]
    usage = " ".join([path, *names, *(["[options]"] if len(shown) > len(names) else [])])
    rows = [
        [f"`{_name(parameter)}`", _kind(parameter), _shown_default(parameter), parameter.help or ""]
        for parameter in shown
    ]
    table = _table(["option", "type", "default", "what"], rows) if rows else ""
    return f"## {path}\n\n{words}\n\n```\n{usage}\n```\n\n{table}".rstrip()


def _name(parameter: Any) -> str:
    if isinstance(parameter, TyperArgument):
        return parameter.metavar or (parameter.name or "").upper()
    return ", ".join([*parameter.opts, *parameter.secondary_opts])


def _kind(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return "flag"
    kind = parameter.type_descriptor.annotation
    name = parameter.metavar or getattr(kind, "__name__", str(kind))
    return f"{name}, repeatable" if parameter.multiple or parameter.nargs == -1 else name


def _shown_default(parameter: Any) -> str:
    value = parameter.default
    # Flags are off, and a default made when the command runs has no value to print.
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float | Path):
        return ""
    return _default(str(value))


def _default(value: object) -> str:
    return f"`{value}`" if value != "" else "empty"


def _range(row: Row) -> str:
    if row.choices:
        return " ".join(f"`{choice}`" for choice in row.choices)
    return "" if row.low is None or row.high is None else f"{row.low:g} – {row.high:g}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _page(title: str, head: str, body: str) -> str:
    return f"{NOTE}# {title}\n\n{head}\n\n{body}"


if __name__ == "__main__":
    main()
