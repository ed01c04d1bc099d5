"""The one place where an error becomes an exit code and a message, or one JSON object with --json.

Knows no command. Exit codes: 0 done, 2 the request is wrong, 3 over budget, 4 a file is refused as
unsafe, 5 the model failed or the disk refused, 130 interrupted. Start reading at `run_command`.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from sfumato.core.errors import InterruptedRender, RequestError, SfumatoError
from sfumato.core.escape import escape_controls, escape_json

if TYPE_CHECKING:
    from typer.core import TyperGroup

# What a shell reports for a program that a closed pipe stopped: 128 + SIGPIPE.
CLOSED_PIPE_EXIT = 141
# A setting as errors name it, and options that have another name.
_SETTING = re.compile(r"`([a-z_]+)`")
_OPTIONS = {
    "loras": "--lora",
    "embeddings": "--embedding",
    "concepts": "--concept",
    "report": "--no-report",
    "request": "--from",
}
# Our own mistake, not the caller's: no class of error stands for it.
DEFECT_EXIT = 1


def run_command(app: TyperGroup, arguments: Sequence[str]) -> int:
    """Run the application and return its exit code; every failure is printed here and nowhere else."""
    as_json = "--json" in arguments
    # What a terminal cannot show is shown as an escape: printing a name must not make a failure of a saved picture.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(list(arguments), standalone_mode=False, prog_name="sfumato")
        sys.stdout.flush()
    except SfumatoError as error:
        return _report(error, as_json=as_json)
    except KeyboardInterrupt:
        code = InterruptedRender.exit_code
    except typer.TyperException as error:
        if not error.format_message():
            # A command that needs another word has printed its help; there is nothing to add.
            return RequestError.exit_code
        return _report(_usage_error(error), as_json=as_json)
    except BrokenPipeError:
        return _close_pipe()
    except Exception as error:  # noqa: BLE001 the last net: a defect is shown whole, never half
        return _report_defect(error, as_json=as_json)
    # typer returns what the command returned, or the code of an early exit: of --help, or of Ctrl-C, which it swallows.
    if code == InterruptedRender.exit_code:
        return _report(InterruptedRender("stopped", do="Start the same command again."), as_json=as_json)
    return code if isinstance(code, int) else 0


def print_json(value: object) -> None:
    """Print one JSON object as the last line of stdout."""
    text = escape_json(json.dumps(value, ensure_ascii=False, allow_nan=False))
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        text = json.dumps(value, allow_nan=False)
    sys.stdout.write(f"{text}\n")


def _report(error: SfumatoError, *, as_json: bool) -> int:
    parts = {name: None if text is None else name_options(text) for name, text in error.to_json().items()}
    if as_json:
        print_json({**parts, "exit_code": error.exit_code})
    else:
        sys.stderr.write(_three_parts(parts))
    return error.exit_code


def name_options(text: str) -> str:
    """Return a message with the names of settings, which stand in backticks, as the options of the command line."""
    return _SETTING.sub(lambda found: _OPTIONS.get(found[1], f"--{found[1].replace('_', '-')}"), text)


def _three_parts(parts: dict[str, str | None]) -> str:
    lines = [f"sfumato: {parts['what']}"]
    if parts["got"] is not None:
        lines.append(f"  got: {parts['got']}")
    if parts["do"]:
        lines.append(f"  do:  {parts['do']}")
    return "\n".join(lines) + "\n"


def _usage_error(error: typer.TyperException) -> RequestError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "sfumato"
    return RequestError(error.format_message().rstrip("."), do=f"See {command} --help.")


def _report_defect(error: Exception, *, as_json: bool) -> int:
    sys.stderr.write(escape_controls("".join(traceback.format_exception(error)), keep="\n"))
    sys.stderr.write("sfumato: this is a defect of sfumato, not of your request; please report the lines above\n")
    if as_json:
        what = f"{type(error).__name__}: {error}"
        print_json({"error": "defect", "what": what, "got": None, "do": "Report it.", "exit_code": DEFECT_EXIT})
    return DEFECT_EXIT


def _close_pipe() -> int:
    # Python would complain once more when it flushes stdout at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return CLOSED_PIPE_EXIT
